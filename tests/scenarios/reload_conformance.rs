//! Every edit is followed once, whole, and in order, however it was saved, and no frame is lost meanwhile.
//!
//! Each kind of saving is tried on its own server, many times over, while a session keeps two frames in flight. Two
//! keys say in every edit which one it is: a pair that does not match would be half of one edit and half of another.

use std::{
    fs,
    io::Write,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use segue_tests::{Live, Profiles, Server, gradient_jpeg, segue};
use serde_json::Value;

/// How often each kind of edit is made.
const EDITS: u32 = 200;

/// Events alone have to do: the next look at the files is ten minutes away.
const EVENTS_ONLY: &[&str] = &["--set", "reload.poll_interval_millis=600000"];

/// As often as a client likes, so that two frames are always in flight.
const NO_PAUSE: &[&str] = &["--set", "capture.min_frame_interval_millis=0"];

/// What one edit says.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Pair {
    jpeg_quality: u32,
    max_dimension_px: u32,
}

impl Pair {
    fn of(edit: u32) -> Self {
        Self { jpeg_quality: 1 + edit % 100, max_dimension_px: 1000 + edit }
    }

    /// As an overlay. The first part alone would be a profile, too, and so would the first two.
    fn parts(self) -> [String; 3] {
        let Self { jpeg_quality, max_dimension_px } = self;
        [
            format!("extends = \"base\"\n\n[capture]\njpeg_quality = {jpeg_quality}\n"),
            "# Longer side of a frame in pixels.\n".repeat(50),
            format!("max_dimension_px = {max_dimension_px}\n"),
        ]
    }

    fn text(self) -> String {
        self.parts().concat()
    }
}

/// Makes the edits one after the other, each once the one before has arrived.
async fn expect_all_followed(server: &Server, mut save: impl FnMut(u32, Pair) -> Result<()>) -> Result<()> {
    let mut live = Live::start(server.address(), gradient_jpeg(64, 48)?).await?;
    for edit in 1..=EDITS {
        let pair = Pair::of(edit);
        save(edit, pair).with_context(|| format!("edit {edit} can't be made"))?;
        let arrived = live.text_of("limits").await;
        let limits = arrived.with_context(|| format!("edit {edit} was missed: {:#?}", server.reloads()))?;
        ensure!(pair_of(&limits) == pair, "edit {edit} was torn: {limits}");
        ensure!(limits["generation"] == edit + 1, "edit {edit} is not the next generation: {limits}");
    }
    server.applied(EDITS + 1)?;
    let outcomes = [("applied", EDITS + 1), ("rejected", 0), ("unchanged", 0), ("superseded", 0)];
    for (outcome, expected) in outcomes {
        let seen = server.metric(&format!("segue_config_reloads_total{{outcome=\"{outcome}\"}}"))?;
        ensure!(seen == u64::from(expected), "{seen} of {expected} are {outcome}: {:#?}", server.reloads());
    }
    live.answers_under(EDITS + 1).await?;
    let flow = live.finish().await?;
    let lost = flow.dropped.len();
    ensure!(lost == 0, "{lost} of {} frames were lost, the first one: {:?}", flow.sent, flow.dropped.first());
    ensure!(flow.answered == flow.sent && flow.answered > EDITS, "{flow:?}");
    Ok(())
}

fn pair_of(limits: &Value) -> Pair {
    let number = |key: &str| limits[key].as_u64().and_then(|value| u32::try_from(value).ok()).unwrap_or_default();
    Pair { jpeg_quality: number("jpeg_quality"), max_dimension_px: number("max_dimension_px") }
}

/// Puts `text` into a new file, and that into the place of `path`.
fn rename_over(path: &Path, text: &str) -> Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, text)?;
    Ok(fs::rename(new, path)?)
}

/// Writes `path` in three goes. Every tenth time the writer rests for longer than the files have to be quiet.
fn write_slowly(path: &Path, edit: u32, pair: Pair) -> Result<()> {
    let pause = Duration::from_millis(if edit.is_multiple_of(10) { 40 } else { 3 });
    let mut file = fs::File::create(path)?;
    for part in pair.parts() {
        file.write_all(part.as_bytes())?;
        file.flush()?;
        sleep(pause);
    }
    Ok(())
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("{command:?} can't be run"))?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}

fn serve(profiles: &Profiles, arguments: &[&str]) -> Result<Server> {
    profiles.serve(&[arguments, NO_PAUSE].concat())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_written_in_place_is_followed() -> Result<()> {
    let profiles = Profiles::copy()?;
    let server = serve(&profiles, EVENTS_ONLY)?;
    expect_all_followed(&server, |_, pair| profiles.write("default", pair.text())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_written_slowly_is_followed_once_it_is_whole() -> Result<()> {
    let profiles = Profiles::copy()?;
    let server = serve(&profiles, EVENTS_ONLY)?;
    expect_all_followed(&server, |edit, pair| write_slowly(&profiles.file("default"), edit, pair)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looks_in_between_tear_no_file_that_is_written_slowly() -> Result<()> {
    let profiles = Profiles::copy()?;
    let server = serve(&profiles, &["--set", "reload.poll_interval_millis=10"])?;
    expect_all_followed(&server, |edit, pair| write_slowly(&profiles.file("default"), edit, pair)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_renamed_over_the_old_one_is_followed() -> Result<()> {
    let profiles = Profiles::copy()?;
    let server = serve(&profiles, EVENTS_ONLY)?;
    expect_all_followed(&server, |_, pair| rename_over(&profiles.file("default"), &pair.text())).await
}

/// A save that begins just when the one before has been quiet for long enough: whoever reads now must notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_save_that_begins_while_the_one_before_is_read_is_not_torn() -> Result<()> {
    const SETTLE: Duration = Duration::from_millis(20);
    let profiles = Profiles::copy()?;
    let server = serve(&profiles, EVENTS_ONLY)?;
    let mut live = Live::start(server.address(), gradient_jpeg(64, 48)?).await?;
    for edit in 1..=EDITS / 2 {
        let (first, second) = (Pair { max_dimension_px: 2000 + edit, ..Pair::of(edit) }, Pair::of(edit));
        profiles.write("default", first.text())?;
        // Now a little earlier, now a little later.
        let begin = Instant::now() + SETTLE - Duration::from_micros(500) + Duration::from_micros(100) * (edit % 20);
        sleep(SETTLE - Duration::from_millis(2));
        while Instant::now() < begin {
            std::hint::spin_loop();
        }
        write_slowly(&profiles.file("default"), edit, second)?;
        loop {
            match pair_of(&live.text_of("limits").await?) {
                pair if pair == second => break,
                pair => ensure!(pair == first, "{pair:?} is neither {first:?} nor {second:?}"),
            }
        }
    }
    let rejected = server.metric("segue_config_reloads_total{outcome=\"rejected\"}")?;
    ensure!(rejected == 0, "{rejected} halves were read: {:#?}", server.reloads());
    live.finish().await?;
    Ok(())
}

/// Vim moves the old file away, writes a new one, and keeps the old one as a backup; in /tmp, too, if it has to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_vim_saves_is_followed() -> Result<()> {
    let profiles = Profiles::copy()?;
    let server = serve(&profiles, EVENTS_ONLY)?;
    let file = profiles.file("base");
    expect_all_followed(&server, |_, Pair { jpeg_quality, max_dimension_px }| {
        run(Command::new("vim")
            .args(["-u", "NONE", "-N", "-es", "-c", "set backup writebackup backupcopy=no backupskip="])
            .args(["-c", &format!("/^jpeg_quality/s/= .*/= {jpeg_quality}/")])
            .args(["-c", &format!("/^max_dimension_px/s/= .*/= {max_dimension_px}/")])
            .args(["-c", "wq"])
            .arg(&file))
    })
    .await?;
    ensure!(file.with_extension("toml~").exists(), "vim left no backup: it did not do its dance");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_sed_edits_is_followed() -> Result<()> {
    let profiles = Profiles::copy()?;
    let server = serve(&profiles, EVENTS_ONLY)?;
    let file = profiles.file("base");
    expect_all_followed(&server, |_, Pair { jpeg_quality, max_dimension_px }| {
        let quality = format!("0,/^jpeg_quality/s/^jpeg_quality = .*/jpeg_quality = {jpeg_quality}/");
        let size = format!("s/^max_dimension_px = .*/max_dimension_px = {max_dimension_px}/");
        run(Command::new("sed").args(["-i", "-e", &quality, "-e", &size]).arg(&file))
    })
    .await
}

/// A volume of a ConfigMap: every file is a link through `..data`, which is swapped when all new files are there.
struct Volume<'a>(&'a Path);

impl Volume<'_> {
    fn publish(&self, version: u32, profiles: &[(&str, String)]) -> Result<()> {
        let (old, new) = (self.0.join(format!("..{}", version - 1)), format!("..{version}"));
        fs::create_dir(self.0.join(&new))?;
        for (name, text) in profiles {
            fs::write(self.0.join(&new).join(name), text)?;
        }
        symlink(&new, self.0.join("..data_tmp"))?;
        fs::rename(self.0.join("..data_tmp"), self.0.join("..data"))?;
        if old.exists() {
            fs::remove_dir_all(old)?;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mounted_config_map_is_followed() -> Result<()> {
    let profiles = Profiles::copy()?;
    let base = profiles.text("base")?;
    let directory = profiles.directory();
    fs::remove_dir_all(&directory)?;
    fs::create_dir(&directory)?;
    let volume = Volume(&directory);
    volume.publish(1, &[("base.toml", base.clone()), ("default.toml", "extends = \"base\"\n".into())])?;
    for name in ["base.toml", "default.toml"] {
        symlink(format!("..data/{name}"), directory.join(name))?;
    }
    let server = serve(&profiles, EVENTS_ONLY)?;
    expect_all_followed(&server, |edit, pair| {
        volume.publish(edit + 1, &[("base.toml", base.clone()), ("default.toml", pair.text())])
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_deleted_and_restored_is_followed_when_it_is_back() -> Result<()> {
    let profiles = Profiles::copy()?;
    let server = serve(&profiles, EVENTS_ONLY)?;
    expect_all_followed(&server, |edit, pair| {
        fs::remove_file(profiles.file("default"))?;
        // Every tenth time the server surely looks while it is gone.
        sleep(Duration::from_millis(if edit.is_multiple_of(10) { 60 } else { 3 }));
        profiles.write("default", pair.text())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_is_followed_to_the_file_that_is_edited() -> Result<()> {
    let profiles = Profiles::copy()?;
    let target = profiles.outside().join("lab.toml");
    fs::rename(profiles.file("default"), &target)?;
    symlink("../lab.toml", profiles.file("default"))?;
    let server = serve(&profiles, EVENTS_ONLY)?;
    expect_all_followed(&server, |edit, pair| {
        if edit.is_multiple_of(2) { rename_over(&target, &pair.text()) } else { Ok(fs::write(&target, pair.text())?) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_the_server_may_only_read_is_followed() -> Result<()> {
    let profiles = Profiles::copy()?;
    let directory = profiles.directory();
    let Some(server) = serve_read_only_mount(&profiles)? else {
        eprintln!("NOT MOUNTED: a mount needs rights that are missing here; a directory of mode 0555 stands in for it");
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o555))?;
        let server = serve(&profiles, EVENTS_ONLY)?;
        expect_all_followed(&server, |_, pair| profiles.write("default", pair.text())).await?;
        return Ok(fs::set_permissions(&directory, fs::Permissions::from_mode(0o755))?);
    };
    expect_all_followed(&server, |edit, pair| match edit.is_multiple_of(2) {
        true => rename_over(&profiles.file("default"), &pair.text()),
        false => profiles.write("default", pair.text()),
    })
    .await
}

/// A server that sees the profiles through a read-only mount, in a mount namespace of its own: the mount goes with it.
fn serve_read_only_mount(profiles: &Profiles) -> Result<Option<Server>> {
    const MOUNTED: &str = "mount --bind \"$0\" \"$1\" && mount -o remount,bind,ro \"$1\" && \
        ! touch \"$1/probe\" 2>/dev/null && shift && exec \"$@\"";
    let mounted = profiles.outside().join("mounted");
    fs::create_dir(&mounted)?;
    let with_mount = || {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", MOUNTED]);
        command.arg(profiles.directory()).arg(&mounted).stdin(Stdio::null());
        command
    };
    if !with_mount().arg("true").status().is_ok_and(|status| status.success()) {
        return Ok(None);
    }
    let serve = segue(&[&["serve", "--listen", "127.0.0.1:0"], EVENTS_ONLY, NO_PAUSE].concat());
    let mut command = with_mount();
    command.arg(serve.get_program()).args(serve.get_args()).arg("--profiles").arg(&mounted);
    command.current_dir(serve.get_current_dir().context("the program is called from nowhere")?).env_remove("RUST_LOG");
    Server::start_command(&mut command).map(Some)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_only_looks_follows_files_written_in_place_and_renamed() -> Result<()> {
    let profiles = Profiles::copy()?;
    let server = serve(&profiles, &["--set", "reload.watch=poll", "--set", "reload.poll_interval_millis=30"])?;
    expect_all_followed(&server, |edit, pair| match edit.is_multiple_of(2) {
        true => rename_over(&profiles.file("default"), &pair.text()),
        false => profiles.write("default", pair.text()),
    })
    .await
}

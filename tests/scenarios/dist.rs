//! The archive of `cargo xtask dist` on a clean Debian: by hand, and as a service of a systemd that really runs.
//! `cargo xtask test dist` makes what it needs. Only root may, so elsewhere it is skipped.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use segue_tests::{Client, Server, gradient_jpeg};
use tempfile::TempDir;

/// How long systemd may take for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// A command on a Debian that is only this scenario's.
fn on_debian(kind: &str, work: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--uts", "--ipc", "--cgroup"]);
    if kind == "booted" {
        command.args(["--pid", "--fork", "--kill-child"]);
    }
    command.args(["sh", concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/dist.sh"), kind]).arg(work).args(arguments);
    command
}

/// Whoever runs the archive: not root, on a file system that can't be written.
fn by_hand(arguments: &[&str]) -> Result<(TempDir, Command)> {
    let work = tempfile::tempdir()?;
    let command = on_debian("plain", work.path(), &[&["/opt/segue/segue"], arguments].concat());
    Ok((work, command))
}

#[tokio::test]
#[ignore = "it needs the archive and a Debian to unpack it on: cargo xtask test dist"]
async fn the_archive_serves_without_rights_network_or_anything_else() -> Result<()> {
    let (_work, mut check) = by_hand(&["check"])?;
    let checked = check.output()?;
    ensure!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));

    let (_work, mut serve) = by_hand(&["serve", "--offline", "--listen", "127.0.0.1:0"])?;
    let server = Server::start_command(&mut serve)?;
    let mut client = Client::connect(server.address()).await?;
    client.frame(1, &gradient_jpeg(64, 64)?).await?;
    client.result().await?;

    let (_work, mut models) = by_hand(&["models", "verify"])?;
    let verified = models.output()?;
    ensure!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    Ok(())
}

/// A Debian that systemd has started.
struct Machine {
    init: Child,
    /// systemd's process, as it is called outside.
    id: String,
    root: String,
    _work: TempDir,
}

impl Machine {
    fn boot() -> Result<Self> {
        let work = tempfile::tempdir()?;
        let init = on_debian("booted", work.path(), &[]).stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let id = until("systemd to start", || {
            let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", init.id())).ok()?;
            let child = children.split_whitespace().next()?.to_owned();
            let name = fs::read_to_string(format!("/proc/{child}/comm")).ok()?;
            (name.trim() == "systemd").then_some(child)
        })?;
        let root = work.path().join("root").to_string_lossy().into_owned();
        let machine = Self { init, id, root, _work: work };
        until("systemd to be up", || {
            let state = machine.shell("systemctl is-system-running || true").ok()?;
            // Other units than ours may fail, such as terminals that there are none of.
            ["running", "degraded"].contains(&state.trim()).then_some(())
        })?;
        Ok(machine)
    }

    /// What the commands printed.
    fn shell(&self, script: &str) -> Result<String> {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.id, "--mount", "--pid", "--uts", "--ipc", "chroot", &self.root]);
        let output = command
            .args(["/bin/sh", "-euc", script])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .output()?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            bail!("{script}: {printed}{}\n{}", String::from_utf8_lossy(&output.stderr), self.journal());
        }
        Ok(printed)
    }

    fn journal(&self) -> String {
        self.shell("journalctl --no-pager -u segue -n 40 || true").unwrap_or_default()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // What it is the first process of ends with it.
        let _ = self.init.kill();
        let _ = self.init.wait();
    }
}

fn until<T>(what: &str, mut is_so: impl FnMut() -> Option<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = is_so() {
            return Ok(value);
        }
        ensure!(start.elapsed() < PATIENCE, "waited for {what}");
        sleep(Duration::from_millis(100));
    }
}

/// The steps of examples/systemd/README.md, at another port: the machine shares the network of this one.
fn install(machine: &Machine, address: &str) -> Result<()> {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/systemd/README.md"))?;
    let steps = readme.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).context("no steps")?;
    let mine = |line: &&str| !line.starts_with("tar ") && !line.starts_with("systemctl status");
    let mut script: Vec<_> = steps.lines().filter(mine).map(str::to_owned).collect();
    let start = script.iter().position(|line| line.starts_with("systemctl daemon-reload")).context("no start")?;
    script.insert(start, format!("sed -i 's/127.0.0.1:8080/{address}/' /etc/systemd/system/segue.socket"));
    machine.shell(&script.join("\n"))?;
    Ok(())
}

async fn a_frame_at(address: &str) -> Result<()> {
    let mut client = Client::connect(address).await?;
    client.frame(1, &gradient_jpeg(64, 64)?).await?;
    client.result().await?;
    Ok(())
}

#[tokio::test]
#[ignore = "it needs the archive and a Debian to unpack it on: cargo xtask test dist"]
async fn systemd_runs_it_as_its_readme_says() -> Result<()> {
    let machine = Machine::boot()?;
    let port = segue_tests::free_port()?;
    let address = format!("127.0.0.1:{port}");
    machine.shell("systemd-analyze verify /opt/segue/systemd/segue.service /opt/segue/systemd/segue.socket")?;
    install(&machine, &address)?;
    a_frame_at(&address).await.with_context(|| machine.journal())?;

    // It is nobody's user, may write nothing but its own, and the plugin's process has its sandbox within that.
    let process = "/proc/$(systemctl show -P MainPID segue)";
    let status = machine.shell(&format!("cat {process}/status"))?;
    ensure!(status.contains("NoNewPrivs:\t1") && status.contains("CapEff:\t0000000000000000"), "{status}");
    ensure!(!status.contains("Uid:\t0"), "{status}");
    ensure!(!machine.journal().contains("sandbox"), "{}", machine.journal());

    // An edit, as the README says.
    machine.shell("sed -i 's/^jpeg_quality = 70/jpeg_quality = 51/' /etc/segue/profiles/production.toml")?;
    until("the edit to be applied", || machine.journal().contains("generation=2").then_some(()))?;

    // Models are handled as the service's user.
    let as_service = "systemd-run --quiet -P -p DynamicUser=yes -p User=segue -p CacheDirectory=segue -E SEGUE_CACHE=/var/cache/segue";
    let models = machine
        .shell(&format!("{as_service} /opt/segue/segue models verify; {as_service} touch /var/cache/segue/mine"))?;
    ensure!(models.contains("selfie"), "{models}");

    // It is killed, and started again: who comes meanwhile waits.
    machine.shell("systemctl kill -s KILL segue")?;
    a_frame_at(&address).await.with_context(|| machine.journal())?;
    machine.shell("systemctl restart segue")?;
    a_frame_at(&address).await.with_context(|| machine.journal())?;

    // A profile that can't be is told, and not tried again.
    machine.shell("sed -i 's/^jpeg_quality = .*/jpeg_quality = 140/' /etc/segue/profiles/production.toml")?;
    machine.shell("systemctl stop segue.socket segue; systemctl start segue || true")?;
    let state = machine.shell("systemctl show -P ExecMainStatus -P NRestarts -P ActiveState segue")?;
    ensure!(state.contains("failed") && state.contains('2'), "{state}");
    ensure!(machine.journal().contains("140 is greater than 100"), "{}", machine.journal());
    Ok(())
}

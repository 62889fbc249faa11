//! Crash reports: a file for each, with what is known of it and nothing of any picture.

use std::{
    backtrace::Backtrace,
    env, fs, panic,
    path::{Path, PathBuf},
    sync::OnceLock,
    thread,
};

/// So many are kept, the newest.
const KEPT: usize = 50;

static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// Writes reports of this process's panics, and those that [`crashed`] is told of, into `folder`; where that is empty, into
/// the folder that systemd gives a service, or the user's own.
pub fn report_into(folder: &str) {
    let folder = match folder {
        "" => env::var_os("STATE_DIRECTORY").map(PathBuf::from).or_else(own_folder),
        folder => Some(folder.into()),
    };
    let Some(folder) = folder else { return };
    if FOLDER.set(folder.join("crashes")).is_err() {
        return;
    }
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        before(panic);
        let thread = thread::current().name().unwrap_or("unnamed").to_owned();
        crashed("panic", &format!("{panic}\nthread: {thread}\n{}", Backtrace::force_capture()));
    }));
}

fn own_folder() -> Option<PathBuf> {
    dirs::state_dir().or_else(dirs::cache_dir).map(|folder| folder.join("segue"))
}

/// Writes a report of what crashed, and how. Where that can't be, the log says so, which has the essence of it already.
pub fn crashed(what: &str, how: &str) {
    let Some(folder) = FOLDER.get() else { return };
    match write(folder, what, how) {
        Ok(file) => tracing::error!(report = %file.display(), "Crash report written"),
        Err(error) => tracing::warn!(folder = %folder.display(), %error, "No crash report can be written"),
    }
}

fn write(folder: &Path, what: &str, how: &str) -> std::io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let now = jiff::Timestamp::now();
    let file = folder.join(format!("{}-{what}.txt", now.strftime("%Y%m%dT%H%M%S%.6fZ")));
    let version = env!("CARGO_PKG_VERSION");
    fs::write(&file, format!("Segue {version}, process {}, {now}\n{what}: {how}\n", std::process::id()))?;
    let mut reports: Vec<_> = fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    // Their names are in the order of time.
    reports.sort();
    for old in reports.iter().rev().skip(KEPT) {
        fs::remove_file(old)?;
    }
    Ok(file)
}

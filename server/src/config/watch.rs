//! Tells when an editor has finished with files.
//!
//! It watches directories, not files: most editors, and Kubernetes, put a new file in the old one's place. Symbolic
//! links are followed, and every directory in which one of them lies is watched, too.
//!
//! Architecture invariant: it only signals. A file that is open for writing is never reported; what a close, a rename,
//! a new link or a removal finished is, once nothing happened for the settle time. Events arrive a moment after what they tell
//! of: whoever has read the files lets the watch catch up before asking whether they were read in peace.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::{Component, Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, CreateKind, ModifyKind},
};
use rustix::fs::{MemfdFlags, memfd_create};
use tokio::sync::Notify;

/// A writer that wrote nothing for so long, and has not closed the file, counts as gone.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// More links than these are a circle.
const MOST_LINKS: usize = 40;

/// A file in memory that nobody else can open: to open it causes an event, and changes nothing. Each watch has its own, or
/// one would hear the other's.
struct Bell {
    _file: OwnedFd,
    path: PathBuf,
}

impl Bell {
    /// `None` where there is no such thing.
    fn new() -> Option<Self> {
        let file = memfd_create("segue-bell", MemfdFlags::CLOEXEC).ok()?;
        let path = format!("/proc/self/fd/{}", file.as_raw_fd()).into();
        Some(Self { _file: file, path })
    }

    fn ring(&self) -> bool {
        fs::File::open(&self.path).is_ok()
    }
}

/// A bell that is not heard for so long has no events.
const LONGEST_ECHO: Duration = Duration::from_millis(500);

/// Follows files.
#[derive(Default)]
pub struct Watch {
    shared: Arc<Shared>,
    watcher: Option<RecommendedWatcher>,
    /// The directories that are watched, by device and inode: a directory may be replaced by another of its name.
    directories: BTreeMap<PathBuf, Option<(u64, u64)>>,
    bell: Option<Bell>,
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Seen>,
    happened: Notify,
    rang: Notify,
}

/// What the events said.
#[derive(Default)]
struct Seen {
    /// Files and links that matter, by their real directory.
    paths: BTreeSet<PathBuf>,
    /// Directories in which files matter that were not there when this was said.
    folders: BTreeSet<PathBuf>,
    /// Files that somebody began to write, and when they last wrote.
    writing: BTreeMap<PathBuf, Instant>,
    /// When something was last finished, until that is reported.
    finished: Option<Instant>,
    /// How many events there were.
    events: u64,
    /// Where the bell lies.
    bell: Option<PathBuf>,
    /// How often the bell rang.
    rings: u64,
}

impl Watch {
    /// Follows `files` from now on, and whatever links lead to them; and what else comes to be in `folders`. When that means
    /// other files or directories than before, it signals at once: something may have changed while nobody was watching.
    pub fn follow<'a>(&mut self, files: impl IntoIterator<Item = &'a Path>, folders: &[PathBuf]) -> notify::Result<()> {
        // Each file, and its directory, which may be replaced as a whole.
        let both = files.into_iter().flat_map(|file| [Some(file), file.parent()]).flatten();
        let paths: BTreeSet<_> = both.chain(folders.iter().map(PathBuf::as_path)).flat_map(hops).collect();
        let folders: BTreeSet<_> = folders.iter().filter_map(|folder| hops(folder).pop()).collect();
        let watched = paths.iter().filter_map(|path| path.parent()).chain(folders.iter().map(PathBuf::as_path));
        let directories: BTreeMap<_, _> = watched.map(|path| (path.to_owned(), identity(path))).collect();
        let is_watching = self.watcher.is_some() && directories == self.directories;
        if self.shared.seen().follow(paths, folders) && is_watching {
            self.shared.finish();
        }
        if is_watching {
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| shared.take(event))?;
        for (path, _) in directories.iter().filter(|(_, identity)| identity.is_some()) {
            watcher.watch(path, RecursiveMode::NonRecursive)?;
        }
        let is_heard = |bell: &Bell| watcher.watch(&bell.path, RecursiveMode::NonRecursive).is_ok();
        let bell = self.bell.take().or_else(Bell::new).filter(is_heard);
        self.shared.seen().bell = bell.as_ref().map(|bell| bell.path.clone());
        self.bell = bell;
        // The old watcher goes only now, so that no moment is unwatched.
        self.watcher = Some(watcher);
        self.directories = directories;
        self.shared.finish();
        Ok(())
    }

    /// Stops following.
    pub fn stop(&mut self) {
        *self = Self::default();
    }

    /// Has [`Self::settled`] report, whether or not anything happens.
    pub fn signal(&self) {
        self.shared.finish();
    }

    /// Done when something was finished and not read since, nothing more happened for `settle`, and no file is being
    /// written.
    pub async fn settled(&self, settle: Duration) {
        loop {
            let rest = self.shared.seen().quiet_in(settle);
            match rest {
                Some(Duration::ZERO) => break,
                // An event that comes meanwhile moves the end.
                Some(rest) => drop(tokio::time::timeout(rest, self.shared.happened.notified()).await),
                None => self.shared.happened.notified().await,
            }
        }
    }

    /// Takes what was finished as read, if that was before the next event.
    pub fn was_read(&self, events: u64) {
        let mut seen = self.shared.seen();
        seen.finished = seen.finished.filter(|_| seen.events != events);
    }

    /// Done when every event of what happened until now is taken. They come in order: one more is caused, and awaited.
    pub async fn caught_up(&self) {
        let rings = self.shared.seen().rings;
        let has_rung = self.bell.as_ref().is_some_and(Bell::ring);
        if !has_rung {
            return;
        }
        let heard = async {
            while self.shared.seen().rings == rings {
                self.shared.rang.notified().await;
            }
        };
        // In vain only where files have no events, and then there is nothing to wait for.
        let _ = tokio::time::timeout(LONGEST_ECHO, heard).await;
    }

    /// How many events there were. What was read between two equal counts was read in peace.
    pub fn events(&self) -> u64 {
        self.shared.seen().events
    }

    /// Whether somebody is writing one of the files.
    pub fn is_being_written(&self) -> bool {
        self.shared.seen().is_being_written()
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(&self) {
        let mut seen = self.seen();
        seen.finished = Some(Instant::now());
        seen.events += 1;
        self.happened.notify_one();
    }

    fn take(&self, event: notify::Result<Event>) {
        let Ok(event) = event else { return };
        if event.need_rescan() {
            return self.finish();
        }
        for path in &event.paths {
            let comes_whole = matches!(event.kind, EventKind::Create(_)) && comes_whole(path);
            let mut seen = self.seen();
            if seen.bell.as_ref() == Some(path) {
                seen.rings += 1;
                self.rang.notify_one();
                continue;
            }
            let has_finished = seen.matters(path) && seen.take(&event.kind, path, comes_whole);
            drop(seen);
            if has_finished {
                self.finish();
            }
            self.happened.notify_one();
        }
    }
}

impl Seen {
    fn matters(&self, path: &Path) -> bool {
        self.paths.contains(path) || path.parent().is_some_and(|folder| self.folders.contains(folder))
    }

    /// Takes an event of a path that matters; whether it finished something.
    fn take(&mut self, kind: &EventKind, path: &Path, comes_whole: bool) -> bool {
        match kind {
            EventKind::Create(CreateKind::File) if !comes_whole => {}
            EventKind::Modify(ModifyKind::Data(_)) => {}
            EventKind::Create(_)
            | EventKind::Access(AccessKind::Close(AccessMode::Write))
            | EventKind::Modify(ModifyKind::Name(_))
            | EventKind::Remove(_) => {
                self.writing.remove(path);
                return true;
            }
            _ => return false,
        }
        self.writing.insert(path.to_owned(), Instant::now());
        self.events += 1;
        false
    }

    /// Takes over what matters from now on; whether that is something else than before.
    fn follow(&mut self, paths: BTreeSet<PathBuf>, folders: BTreeSet<PathBuf>) -> bool {
        let before = (std::mem::replace(&mut self.paths, paths), std::mem::replace(&mut self.folders, folders));
        let mut writing = std::mem::take(&mut self.writing);
        writing.retain(|path, _| self.matters(path));
        self.writing = writing;
        (&before.0, &before.1) != (&self.paths, &self.folders)
    }

    fn is_being_written(&mut self) -> bool {
        self.writing.retain(|_, last| last.elapsed() < LONGEST_PAUSE);
        !self.writing.is_empty()
    }

    /// How long it has to stay quiet until what was finished can be reported; `None` when nothing was.
    fn quiet_in(&mut self, settle: Duration) -> Option<Duration> {
        let finished = self.finished?;
        let rest = settle.saturating_sub(finished.elapsed());
        Some(if self.is_being_written() { rest.max(settle) } else { rest })
    }
}

/// Whether it is a link, symbolic or hard: nobody will close it.
fn comes_whole(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink() || metadata.nlink() > 1)
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Every symbolic link on the way to `path`, and the file at its end, each by its real directory.
fn hops(path: &Path) -> Vec<PathBuf> {
    let Ok(absolute) = std::path::absolute(path) else { return Vec::new() };
    let (mut hops, mut real) = (Vec::new(), PathBuf::new());
    let parts = |path: &Path| path.components().map(|part| part.as_os_str().to_owned()).collect::<VecDeque<_>>();
    let mut rest = parts(&absolute);
    while let Some(part) = rest.pop_front() {
        match Path::new(&part).components().next() {
            Some(Component::ParentDir) => {
                real.pop();
                continue;
            }
            Some(Component::CurDir) | None => continue,
            // The root begins again.
            Some(_) => real.push(&part),
        }
        if let Some(target) = fs::read_link(&real).ok().filter(|_| hops.len() < MOST_LINKS) {
            hops.push(real.clone());
            real.pop();
            let mut parts = parts(&target);
            parts.append(&mut rest);
            rest = parts;
        }
    }
    hops.push(real);
    hops
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_link_on_the_way_is_followed() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let root = folder.path().canonicalize()?;
        fs::create_dir_all(root.join("profiles/..1"))?;
        fs::write(root.join("profiles/..1/base.toml"), "")?;
        symlink("..1", root.join("profiles/..data"))?;
        symlink("..data/base.toml", root.join("profiles/base.toml"))?;
        symlink("profiles", root.join("current"))?;
        let seen = hops(&root.join("current/./base.toml"));
        let expected = ["current", "profiles/base.toml", "profiles/..data", "profiles/..1/base.toml"];
        assert_eq!(seen, expected.map(|path| root.join(path)));
        symlink("circle", root.join("circle"))?;
        assert!(hops(&root.join("circle")).len() <= MOST_LINKS + 1);
        Ok(())
    }
}

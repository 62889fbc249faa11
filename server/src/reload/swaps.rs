//! Notices that a plugin, a model's entry or its weights are other files than those that serve.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use super::{
    Receipts,
    triggers::{PEACE_WITHIN, Triggered, Wish},
};
use crate::{
    config::{ReloadSettings, Watch, Watching},
    model::{Artifacts, Mode, Modes, Registry},
};

/// What is not known to be finished has to look the same for so long: files that can't be used, and those whose
/// directory has no events.
const UNFINISHED_FOR: Duration = Duration::from_millis(500);

/// What was tried. The same that is written again is tried again: perhaps it was not finished, perhaps what was amiss is mended.
#[derive(PartialEq)]
struct Tried {
    artifacts: Artifacts,
    written: Vec<Option<SystemTime>>,
}

/// Follows what modes are made of.
pub(super) struct Swaps {
    registry: Arc<Registry>,
    watch: Watch,
    settings: ReloadSettings,
    /// What was tried for a mode last, by its name.
    tried: BTreeMap<Arc<str>, Tried>,
    /// What lies there for a mode and is not known to be finished, and since when.
    found: BTreeMap<Arc<str>, (Artifacts, Instant)>,
    /// When to look without an event.
    next_look: Option<Instant>,
    receipts: Arc<Receipts>,
}

impl Swaps {
    pub(super) fn new(registry: Arc<Registry>, receipts: Arc<Receipts>, settings: ReloadSettings) -> Self {
        let (watch, tried, found) = Default::default();
        let mut swaps = Self { registry, watch, settings, tried, found, next_look: None, receipts };
        swaps.follow(settings);
        swaps
    }

    /// Follows the directories as `settings` say.
    pub(super) fn follow(&mut self, settings: ReloadSettings) {
        self.settings = settings;
        self.next_look = self.usual_look();
        self.watch_what_is_there();
    }

    fn watch_what_is_there(&mut self) {
        if self.settings.watch != Watching::Events {
            return self.watch.stop();
        }
        let (folders, files) = self.registry.files();
        if let Err(error) = self.watch.follow(files.iter().map(PathBuf::as_path), &folders) {
            let every_millis = self.settings.poll_interval_millis;
            tracing::warn!(%error, every_millis, "Plugins and models can't be watched: they are looked at now and then");
        }
    }

    fn usual_look(&self) -> Option<Instant> {
        let interval = Duration::from_millis(self.settings.poll_interval_millis);
        (self.settings.watch != Watching::Off).then(|| Instant::now() + interval)
    }

    /// Looks soon, whatever tells of edits.
    fn look_soon(&mut self) {
        self.next_look = Some(Instant::now());
    }

    /// Looks soon, and tries what was refused again.
    pub(super) fn try_again(&mut self) {
        self.tried.clear();
        self.look_soon();
    }

    /// Done when it is time to look, but not before `from`.
    pub(super) async fn due(&self, from: Option<Instant>) {
        if let Some(from) = from {
            tokio::time::sleep_until(from.into()).await;
        }
        let settle = Duration::from_millis(self.settings.settle_millis);
        let look = async {
            match self.next_look {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.watch.settled(settle), if self.settings.watch == Watching::Events => {}
            () = look => {}
        }
    }

    /// A mode for which something else lies there than what it is made of, and has not been tried.
    pub(super) async fn look(&mut self, modes: &Modes) -> Option<Arc<str>> {
        let until = Instant::now() + PEACE_WITHIN;
        loop {
            let events = self.watch.events();
            self.watch_what_is_there();
            let lying: Vec<_> = modes.all().iter().map(|mode| (mode, self.registry.artifacts(mode))).collect();
            self.watch.caught_up().await;
            let has_events = self.settings.watch == Watching::Events;
            let is_quiet = events == self.watch.events() && !self.watch.is_being_written();
            if is_quiet || Instant::now() > until {
                self.watch.was_read(events);
                self.next_look = self.usual_look();
                return self.choose(lying, has_events && is_quiet);
            }
            tokio::time::sleep(Duration::from_millis(self.settings.settle_millis)).await;
        }
    }

    fn choose(&mut self, lying: Vec<(&Arc<Mode>, Artifacts)>, is_finished: bool) -> Option<Arc<str>> {
        let is_due =
            |name: &str| lying.iter().any(|(mode, artifacts)| &*mode.name == name && !mode.is_made_of(artifacts));
        self.tried.retain(|name, _| is_due(name));
        self.found.retain(|name, _| is_due(name));
        self.receipts.keep_refused(is_due);
        let mut chosen = None;
        for (mode, artifacts) in lying.into_iter().filter(|(mode, artifacts)| !mode.is_made_of(artifacts)) {
            let written = self.registry.written(mode, &artifacts);
            let tried = Tried { artifacts, written };
            if self.tried.get(&mode.name) != Some(&tried) && self.is_ready(&mode.name, &tried.artifacts, is_finished) {
                if chosen.is_some() {
                    self.look_soon();
                    continue;
                }
                self.tried.insert(Arc::clone(&mode.name), tried);
                chosen = Some(Arc::clone(&mode.name));
            }
        }
        chosen
    }

    /// Whether what was found is there to stay. If not yet, it is looked at again when it may be.
    fn is_ready(&mut self, name: &Arc<str>, artifacts: &Artifacts, is_finished: bool) -> bool {
        if is_finished && artifacts.files.is_ok() {
            return true;
        }
        let since = match self.found.get(name) {
            Some((found, since)) if found == artifacts => *since,
            _ => Instant::now(),
        };
        if since.elapsed() >= UNFINISHED_FOR {
            return true;
        }
        self.found.insert(Arc::clone(name), (artifacts.clone(), since));
        let again = since + UNFINISHED_FOR;
        self.next_look = Some(self.next_look.map_or(again, |usual| usual.min(again)));
        false
    }

    /// Whether one of `modes` that was chosen for a file that could be used is made of one that can't: somebody has begun
    /// to write again.
    pub(super) fn is_being_replaced(&self, modes: &Modes, names: &[Arc<str>]) -> bool {
        names.iter().any(|name| match (self.tried.get(name), modes.get(name)) {
            (Some(tried), Ok(mode)) => tried.artifacts.files.is_ok() && mode.artifacts.files.is_err(),
            _ => false,
        })
    }

    /// Has the modes `names`, whose swap `newer` superseded, tried again; unless that is another swap of them.
    pub(super) fn forget(&mut self, names: &[Arc<str>], newer: Option<&Triggered>) {
        let is_tried =
            |name: &Arc<str>| matches!(newer, Some(Triggered { wish: Wish::Swap(newer), .. }) if newer.contains(name));
        self.tried.retain(|name, _| !names.contains(name) || is_tried(name));
        self.look_soon();
    }
}

//! What makes the server reload: an edit that is finished, or an order.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::mpsc, time::sleep_until};

use super::{Order, Ordered, Reply, receipts::Trigger, swaps::Swaps};
use crate::{
    config::{Layers, ReloadSettings, Sources, Watch, Watching},
    model::Modes,
};

/// A file that is gone or empty for so long is meant to be: an editor that replaces it takes less.
const MISSING_FOR: Duration = Duration::from_millis(500);

/// One that is empty without an event that finished it is on its way: a busy disk has kept a save waiting for ten seconds
/// between the cut and the first byte.
const EMPTY_FOR: Duration = Duration::from_secs(60);

/// Whoever writes for longer than that is not waited for; the next event or look will tell.
pub(super) const PEACE_WITHIN: Duration = Duration::from_secs(1);

/// A reason to reload.
pub(super) struct Triggered {
    pub(super) trigger: Trigger,
    pub(super) wish: Wish,
    pub(super) reply: Option<Reply>,
    pub(super) start: Instant,
}

/// What is to come into force.
pub(super) enum Wish {
    /// What the files of a profile said.
    Profile {
        /// The other profile that is wanted.
        name: Option<String>,
        sources: Sources,
        /// The watch's events before the files were read.
        events: u64,
    },
    /// These modes, made of what lies in the directories of plugins and models now.
    Swap(Vec<Arc<str>>),
}

impl Wish {
    /// The modes that are to be swapped.
    pub(super) fn modes(&self) -> &[Arc<str>] {
        match self {
            Self::Profile { .. } => &[],
            Self::Swap(modes) => modes,
        }
    }

    /// The other profile that is wanted.
    pub(super) fn other_profile(&self) -> Option<&String> {
        match self {
            Self::Profile { name, .. } => name.as_ref(),
            Self::Swap(_) => None,
        }
    }
}

/// Which reasons count.
#[derive(Clone, Copy)]
pub(super) enum Interest {
    All,
    /// Those that supersede a profile that is loading.
    Profiles,
    /// Those that supersede a swap that is loading: other swaps only from this moment on, so that one that takes long
    /// holds up no other mode, and one that is quick is not superseded by each newer build.
    Swap(Instant),
    Orders,
}

/// Waits for reasons to reload.
pub(super) struct Triggers {
    orders: mpsc::Receiver<Order>,
    pub(super) swaps: Swaps,
    watch: Watch,
    settings: ReloadSettings,
    /// What the files said at the last attempt.
    known: Option<Sources>,
    /// What the last look found that was not known, and from when on it is believed though a file is missing or empty.
    found: Option<(Sources, Instant)>,
    next_look: Instant,
}

impl Triggers {
    /// Waits for `orders`, and for edits after which the files say something other than `known`.
    pub(super) fn new(orders: mpsc::Receiver<Order>, settings: ReloadSettings, known: Sources, swaps: Swaps) -> Self {
        let mut triggers = Self {
            orders,
            swaps,
            watch: Watch::default(),
            settings,
            known: Some(known.clone()),
            found: None,
            next_look: Instant::now(),
        };
        triggers.follow(settings, &known);
        triggers
    }

    /// Follows the files that `sources` came from.
    pub(super) fn follow(&mut self, settings: ReloadSettings, sources: &Sources) {
        if settings != self.settings {
            self.swaps.follow(settings);
        }
        (self.settings, self.known, self.found) = (settings, Some(sources.clone()), None);
        self.next_look = Instant::now() + self.look_interval();
        self.watch_what_is_there(sources);
    }

    /// Links and directories may be others than before, though the files say the same.
    fn watch_what_is_there(&mut self, sources: &Sources) {
        let every_millis = self.settings.poll_interval_millis;
        if self.settings.watch != Watching::Events {
            return self.watch.stop();
        }
        // A file that is being cut says nothing of those that it stands on: they are the ones from before.
        if sources.has_empty() {
            return;
        }
        if let Err(error) = self.watch.follow(sources.paths(), &[]) {
            tracing::warn!(%error, every_millis, "Profiles can't be watched: they are looked at now and then");
        }
    }

    /// What the files say was not applied after all: they are to be read again.
    pub(super) fn forget(&mut self) {
        self.known = None;
        self.watch.signal();
    }

    /// Reports an edit even if its events were overheard.
    pub(super) fn look_again(&self) {
        self.watch.signal();
    }

    /// Whether nobody has touched the files since they were read. An order is obeyed all the same.
    pub(super) fn is_still_quiet(&self, triggered: &Triggered) -> bool {
        match triggered.wish {
            Wish::Profile { events, .. } => triggered.trigger != Trigger::File || events == self.watch.events(),
            Wish::Swap(_) => true,
        }
    }

    /// The next reason that is of `interest`; `None` when nobody is left who could give one.
    pub(super) async fn next(&mut self, layers: &Layers, modes: &Modes, interest: Interest) -> Option<Triggered> {
        let settle = Duration::from_millis(self.settings.settle_millis);
        let (is_for_profiles, swaps_from) = match interest {
            Interest::All => (true, Some(Instant::now())),
            Interest::Profiles => (true, None),
            Interest::Swap(from) => (true, Some(from)),
            Interest::Orders => (false, None),
        };
        let watching = if is_for_profiles { self.settings.watch } else { Watching::Off };
        loop {
            tokio::select! {
                biased;
                order = self.orders.recv() => match self.obey(order?, layers, modes).await {
                    Some(triggered) => return Some(triggered),
                    None => continue,
                },
                () = self.watch.settled(settle), if watching == Watching::Events => {
                    let start = Instant::now();
                    let Some((sources, events)) = self.read_in_peace(layers, start + PEACE_WITHIN).await else { continue };
                    self.watch.was_read(events);
                    self.watch_what_is_there(&sources);
                    if sources.is_incomplete() {
                        self.found = Some((sources, start + MISSING_FOR));
                        self.next_look = start + MISSING_FOR;
                    } else if self.known.as_ref() != Some(&sources) {
                        return Some(self.edited(sources, start, events));
                    }
                }
                () = sleep_until(self.next_look.into()), if watching != Watching::Off => {
                    self.next_look = Instant::now() + self.look_interval();
                    if let Some(triggered) = self.look(layers).await {
                        return Some(triggered);
                    }
                }
                () = self.swaps.due(swaps_from), if swaps_from.is_some() => {
                    let start = Instant::now();
                    if let Some(mode) = self.swaps.look(modes).await {
                        let wish = Wish::Swap(vec![mode]);
                        return Some(Triggered { trigger: Trigger::Swap, wish, reply: None, start });
                    }
                }
            }
        }
    }

    /// Reads the files without waiting for an event. What two looks in a row find alike is finished, unless the events
    /// tell that somebody is still writing.
    async fn look(&mut self, layers: &Layers) -> Option<Triggered> {
        let (start, events) = (Instant::now(), self.watch.events());
        let sources = Sources::read(layers);
        self.watch.caught_up().await;
        self.watch_what_is_there(&sources);
        let is_known = self.known.as_ref() == Some(&sources);
        // Whoever wrote after the read may have finished by now: then what was read is half of it.
        let is_quiet = events == self.watch.events() && !self.watch.is_being_written();
        let before = self.found.take().filter(|_| !is_known && is_quiet);
        match before {
            Some((found, believed)) if found == sources => {
                if sources.is_incomplete() && Instant::now() < believed {
                    self.found = Some((found, believed));
                    return None;
                }
                self.watch.was_read(events);
                Some(self.edited(sources, start, events))
            }
            _ => {
                let doubt = if sources.has_empty() { EMPTY_FOR } else { MISSING_FOR };
                self.found = (!is_known).then_some((sources, start + doubt));
                None
            }
        }
    }

    /// Reads the files once nobody writes them, without an event in between. Twice: a write can be read a moment before
    /// there is an event of it to be caught up with. `None` when that does not come to pass
    /// before `until`.
    async fn read_in_peace(&self, layers: &Layers, until: Instant) -> Option<(Sources, u64)> {
        while Instant::now() < until {
            let events = self.watch.events();
            let sources = Sources::read(layers);
            self.watch.caught_up().await;
            let is_quiet = events == self.watch.events() && !self.watch.is_being_written();
            if is_quiet && sources == Sources::read(layers) {
                return Some((sources, events));
            }
            tokio::time::sleep(Duration::from_millis(self.settings.settle_millis)).await;
        }
        None
    }

    fn edited(&mut self, sources: Sources, start: Instant, events: u64) -> Triggered {
        self.known = Some(sources.clone());
        self.found = None;
        Triggered { trigger: Trigger::File, wish: Wish::Profile { name: None, sources, events }, reply: None, start }
    }

    /// The reason that an order gives; `None` when it asks for what is not there any more.
    async fn obey(&mut self, order: Order, layers: &Layers, modes: &Modes) -> Option<Triggered> {
        let Order { trigger, what, reply } = order;
        match what {
            Ordered::Profile(profile) => Some(self.read_as_ordered(trigger, profile, reply, layers).await),
            Ordered::Plugin(backend) => {
                let names: Vec<_> = modes.of_backend(&backend).map(|mode| Arc::clone(&mode.name)).collect();
                let (wish, start) = (Wish::Swap(names.clone()), Instant::now());
                (!names.is_empty()).then_some(Triggered { trigger, wish, reply: Some(reply), start })
            }
        }
    }

    async fn read_as_ordered(
        &mut self,
        trigger: Trigger,
        profile: Option<String>,
        reply: Reply,
        layers: &Layers,
    ) -> Triggered {
        let (start, settle) = (Instant::now(), Duration::from_millis(self.settings.settle_millis));
        let wanted = Layers { profile: profile.clone().unwrap_or_else(|| layers.profile.clone()), ..layers.clone() };
        let being_written = || (Sources::broken(&wanted, "is being written; try again when that is done"), 0);
        let until = start + PEACE_WITHIN;
        let mut read = self.read_in_peace(&wanted, until).await;
        // The files of another profile were not watched until now: two looks have to find them alike.
        while let Some((sources, _)) = &read {
            tokio::time::sleep(settle).await;
            let again = self.read_in_peace(&wanted, until).await;
            let is_alike = again.as_ref().is_some_and(|(again, _)| again == sources);
            read = again;
            if is_alike {
                break;
            }
        }
        let (sources, events) = read.unwrap_or_else(being_written);
        if profile.is_none() {
            self.known = Some(sources.clone());
        }
        // Whoever has the profile read again means all that it stands on.
        self.swaps.try_again();
        Triggered { trigger, wish: Wish::Profile { name: profile, sources, events }, reply: Some(reply), start }
    }

    fn look_interval(&self) -> Duration {
        Duration::from_millis(self.settings.poll_interval_millis)
    }
}

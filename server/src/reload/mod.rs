//! From an edit to a configuration in force: read, merge, judge, build what is new, publish once, let the old drain.
//! The start is a reload from empty.
//!
//! On a frame's path this is what its session took its settings and its mode from.
//!
//! Architecture invariant: a [`Configuration`] is published as a whole or not at all, and nothing of the old one is
//! touched before everything new is built and warmed up.

mod receipts;
mod swaps;
mod triggers;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{Instrument, Span, field::Empty};

pub use receipts::{Receipt, Receipts, ReloadOutcome, Trigger};

use crate::{
    config::{
        self, CaptureSettings, Change, Effective, Faults, Layers, LimitSettings, Loaded, Origins, Profile,
        ResultSettings, SecuritySettings, Sources, changes, fixed_keys,
    },
    model::{Mode, ModeState, Modes, Registry, Weights},
    telemetry::{CONTROL, Telemetry, with_trace_id},
};
use swaps::Swaps;
use triggers::{Interest, Triggered, Triggers, Wish};

/// A swap that loads for longer than that lets others go first.
const LONG_LOAD: Duration = Duration::from_secs(3);

/// How many orders wait.
const WAITING_ORDERS: usize = 16;

/// What is in force.
pub struct Configuration {
    /// Its number, from 1. Each result and trace carries it, and a metric tells it.
    pub generation: u32,
    /// Name of the profile.
    pub profile: String,
    /// The files that it came from, base first.
    pub files: Vec<String>,
    /// Every key with its value and its origin.
    pub effective: Effective,
    /// What clients are to keep to.
    pub capture: CaptureSettings,
    /// What clients get back.
    pub result: ResultSettings,
    /// What is accepted.
    pub limits: LimitSettings,
    /// Who may use it.
    pub security: SecuritySettings,
    /// How long a stopping server waits for frames in flight.
    pub drain_timeout: Duration,
    /// How long it serves on after it has said that it will stop.
    pub drain_delay: Duration,
    /// The modes that a client can choose.
    pub modes: Modes,
}

/// What the rest of the server sees of reloading.
#[derive(Clone)]
pub struct Reloads {
    configuration: watch::Receiver<Arc<Configuration>>,
    receipts: Arc<Receipts>,
    orders: mpsc::Sender<Order>,
    profiles: PathBuf,
}

impl Reloads {
    /// What is in force now.
    pub fn configuration(&self) -> Arc<Configuration> {
        Arc::clone(&self.configuration.borrow())
    }

    /// Follows what is in force.
    pub fn follow(&self) -> watch::Receiver<Arc<Configuration>> {
        self.configuration.clone()
    }

    /// What became of the last attempts.
    pub fn receipts(&self) -> &Receipts {
        &self.receipts
    }

    /// The names of all profiles there are.
    pub async fn profile_names(&self) -> std::io::Result<Vec<String>> {
        let directory = self.profiles.clone();
        // A directory of a network may take long to answer.
        tokio::task::spawn_blocking(move || config::profile_names(&directory)).await?
    }

    /// Reads the files again now, or those of another `profile`; what became of it. `None` when the server is stopping.
    pub async fn reload(&self, trigger: Trigger, profile: Option<String>) -> Option<Arc<Receipt>> {
        self.order(trigger, Ordered::Profile(profile)).await
    }

    /// Loads the modes of the plugin `backend` anew, even when its file is the same; what became of it.
    pub async fn reload_plugin(&self, trigger: Trigger, backend: String) -> Option<Arc<Receipt>> {
        self.order(trigger, Ordered::Plugin(backend)).await
    }

    async fn order(&self, trigger: Trigger, what: Ordered) -> Option<Arc<Receipt>> {
        let (to, receipt) = oneshot::channel();
        let reply = Reply { to, span: Span::current() };
        self.orders.send(Order { trigger, what, reply }).await.ok()?;
        receipt.await.ok()
    }
}

/// Somebody wants a reload now.
struct Order {
    trigger: Trigger,
    what: Ordered,
    reply: Reply,
}

/// Who ordered it, and waits for the receipt.
struct Reply {
    to: oneshot::Sender<Arc<Receipt>>,
    /// What they are doing.
    span: Span,
}

/// What is to be reloaded.
enum Ordered {
    /// The profile in force, or another that takes its place.
    Profile(Option<String>),
    /// The plugin of this name.
    Plugin(String),
}

/// Makes one configuration after the other.
pub struct Reloader {
    layers: Layers,
    registry: Arc<Registry>,
    triggers: Triggers,
    published: watch::Sender<Arc<Configuration>>,
    receipts: Arc<Receipts>,
    telemetry: Arc<Telemetry>,
    /// The profile in force, and where its keys come from.
    loaded: Loaded,
    /// Modes of superseded attempts, one of each name, which the next may still want. A load that nobody holds ends.
    half_built: Vec<Arc<Mode>>,
}

/// What an attempt would put in force.
struct Candidate {
    layers: Layers,
    /// What the files said; `None` when the profile stays as it is.
    profile: Option<(Loaded, Effective, Sources)>,
    changes: Vec<Change>,
    modes: Modes,
}

impl Reloader {
    /// Applies the first configuration. Its modes are still loading: there is nobody yet who could miss them.
    pub fn start(
        layers: Layers,
        registry: Arc<Registry>,
        telemetry: Arc<Telemetry>,
    ) -> Result<(Self, Reloads), Faults> {
        let start = Instant::now();
        let sources = Sources::read(&layers);
        let loaded = sources.load(&layers.overrides)?;
        let profile = &loaded.profile;
        let modes = registry.modes(&profile.modes, &profile.server.default_mode, &[]);
        registry.put_in_force(&modes);
        let effective = loaded.origins.effective(profile);
        let configuration = Arc::new(configuration(1, &layers, shown(&sources), profile, effective, modes));
        let receipts = Arc::new(Receipts::new(Arc::clone(&telemetry)));
        let receipt = Receipt::now(Trigger::Start, &layers.profile, ReloadOutcome::Applied, 1, start.elapsed());
        receipts.add(Receipt { files: shown(&sources), ..receipt }, true);
        let (orders, waiting_orders) = mpsc::channel(WAITING_ORDERS);
        let swaps = Swaps::new(Arc::clone(&registry), Arc::clone(&receipts), profile.reload);
        let triggers = Triggers::new(waiting_orders, profile.reload, sources, swaps);
        let (published, configuration) = watch::channel(configuration);
        let profiles = layers.directory.clone();
        let reloads = Reloads { configuration, receipts: Arc::clone(&receipts), orders, profiles };
        let half_built = Vec::new();
        Ok((Self { layers, registry, triggers, published, receipts, telemetry, loaded, half_built }, reloads))
    }

    /// Reloads whenever something asks for it, until nobody is left who could. It reads files and waits for models:
    /// not for the async runtime that serves clients.
    pub async fn run(mut self) {
        let mut newer = None;
        while let Some(triggered) = match newer.take() {
            Some(triggered) => Some(triggered),
            None => {
                let modes = self.published.borrow().modes.clone();
                self.triggers.next(&self.layers, &modes, Interest::All).await
            }
        } {
            let span = attempt_span(&triggered, &self.layers.profile);
            newer = self.attempt(triggered).instrument(span).await;
        }
    }

    /// One attempt. What came while models were loading supersedes it, and is handed back.
    async fn attempt(&mut self, triggered: Triggered) -> Option<Triggered> {
        // 1. Merge and judge the layers, and see what differs. New modes start to load.
        let planned = catch_unwind(AssertUnwindSafe(|| self.plan(&triggered)));
        let candidate = match planned.unwrap_or_else(|_told| Err(self.panicked())) {
            Ok(candidate) => candidate,
            Err(faults) => return self.reject(triggered, &faults),
        };
        if let (Wish::Swap(names), None) = (&triggered.wish, &triggered.reply)
            && self.triggers.swaps.is_being_replaced(&candidate.modes, names)
        {
            self.triggers.swaps.forget(names, None);
            return None;
        }
        // 2. Build and warm up what is new.
        let modes = self.published.borrow().modes.clone();
        let new_modes = candidate.modes.new_since(&modes);
        self.half_built.retain(|old| new_modes.iter().all(|new| new.name != old.name));
        if !new_modes.is_empty() {
            let names: Vec<_> = new_modes.iter().map(|mode| &*mode.name).collect();
            tracing::info!(modes = names.join(", "), "Loading what is new, before it is applied");
            let interest = match &triggered.wish {
                // Whoever switches to another profile is leaving the files that would be edited now.
                Wish::Profile { name: Some(_), .. } => Interest::Orders,
                Wish::Profile { name: None, .. } => Interest::Profiles,
                Wish::Swap(_) => Interest::Swap(Instant::now() + LONG_LOAD),
            };
            let origins = candidate.profile.as_ref().map_or(&self.loaded.origins, |(loaded, ..)| &loaded.origins);
            tokio::select! {
                biased;
                built = warm_up(&new_modes, &candidate.modes, &modes, origins) => match built {
                    Ok(()) => {}
                    Err(faults) => return self.reject(triggered, &faults),
                },
                newer = self.triggers.next(&self.layers, &modes, interest) => {
                    self.half_built.extend(new_modes);
                    return self.supersede(triggered, newer);
                }
            }
        }
        // 3. An editor that has begun to write again is waited for.
        if !self.triggers.is_still_quiet(&triggered) {
            self.half_built.extend(new_modes);
            self.triggers.forget();
            return None;
        }
        // 4. Publish. Sessions follow; what only they still hold drains.
        self.publish(triggered, candidate);
        if !new_modes.is_empty() {
            self.triggers.look_again();
        }
        None
    }

    fn plan(&mut self, triggered: &Triggered) -> Result<Candidate, Faults> {
        match &triggered.wish {
            Wish::Profile { name, sources, .. } => self.plan_profile(name.as_ref(), sources),
            Wish::Swap(modes) => Ok(self.plan_swap(modes, triggered.reply.is_some())),
        }
    }

    /// What is in force, with the modes `names` made anew; `from_scratch` even of what is loaded already.
    fn plan_swap(&self, names: &[Arc<str>], from_scratch: bool) -> Candidate {
        let in_force = &self.published.borrow().modes;
        let half_built = (!from_scratch).then_some(&self.half_built[..]);
        let modes = self.registry.renewed(in_force, names, half_built);
        let changes = replaced(in_force, &modes);
        Candidate { layers: self.layers.clone(), profile: None, changes, modes }
    }

    fn plan_profile(&self, name: Option<&String>, sources: &Sources) -> Result<Candidate, Faults> {
        let in_force = Arc::clone(&self.published.borrow());
        let mut layers = self.layers.clone();
        layers.profile.clone_from(name.unwrap_or(&self.layers.profile));
        let loaded = sources.load(&layers.overrides)?;
        let effective = loaded.origins.effective(&loaded.profile);
        let changes = changes(&in_force.effective, &effective);
        let mut faults: Vec<_> = fixed_keys(&changes)
            .map(|Change { key, from, .. }| {
                let what = "can't change while the server runs";
                loaded.origins.fault(key, format!("{what}; restart it, or write {from}, which is in force"))
            })
            .collect();
        let is_shut_by = name
            .filter(|_| !in_force.security.admin_token.is_empty() && loaded.profile.security.admin_token.is_empty());
        if let Some(name) = is_shut_by {
            let what =
                format!("{name} has no admin token, so nobody could switch back; write the token into base.toml");
            faults.push(loaded.origins.fault("security.admin_token", what));
        }
        if !faults.is_empty() {
            return Err(Faults(faults));
        }
        let known: Vec<_> = in_force.modes.all().iter().chain(&self.half_built).cloned().collect();
        let modes = self.registry.modes(&loaded.profile.modes, &loaded.profile.server.default_mode, &known);
        Ok(Candidate { layers, profile: Some((loaded, effective, sources.clone())), changes, modes })
    }

    fn publish(&mut self, triggered: Triggered, candidate: Candidate) {
        let Candidate { layers, profile, changes, modes } = candidate;
        let in_force = Arc::clone(&self.published.borrow());
        let is_same_profile = profile.as_ref().is_none_or(|(loaded, ..)| loaded.profile == self.loaded.profile);
        let is_same =
            is_same_profile && modes.are_the_same_as(&in_force.modes) && layers.profile == self.layers.profile;
        let outcome = if is_same { ReloadOutcome::Unchanged } else { ReloadOutcome::Applied };
        let generation = in_force.generation + u32::from(!is_same);
        let (effective, files) = match profile {
            None => (in_force.effective.clone(), in_force.files.clone()),
            Some((loaded, effective, sources)) => {
                self.adopt(loaded, &sources);
                (effective, shown(&sources))
            }
        };
        let next = configuration(generation, &layers, files, &self.loaded.profile, effective, modes.clone());
        self.published.send_replace(Arc::new(next));
        self.registry.put_in_force(&modes);
        // What else is being loaded may still be wanted by the next attempt; of a mode that has changed it is not.
        self.half_built.retain(|mode| {
            modes.get(&mode.name).is_ok_and(|now| in_force.modes.all().iter().any(|old| Arc::ptr_eq(old, now)))
        });
        self.layers = layers;
        self.receipt(triggered, outcome, |receipt| receipt.changes = changes);
    }

    /// From now on `loaded`, which `sources` say, is in force.
    fn adopt(&mut self, loaded: Loaded, sources: &Sources) {
        let telemetry = &loaded.profile.telemetry;
        if *telemetry != self.loaded.profile.telemetry {
            self.telemetry.change(telemetry);
        }
        self.triggers.follow(loaded.profile.reload, sources);
        self.loaded = loaded;
    }

    fn panicked(&self) -> Faults {
        Sources::broken(&self.layers, "makes the server panic; its log has the message")
            .load(&[])
            .err()
            .unwrap_or_else(|| Faults(Vec::new()))
    }

    fn reject(&mut self, triggered: Triggered, faults: &Faults) -> Option<Triggered> {
        let names = triggered.wish.modes();
        self.half_built.retain(|mode| !names.is_empty() && !names.contains(&mode.name));
        if let Wish::Profile { name: None, sources, .. } = &triggered.wish {
            self.triggers.follow(self.loaded.profile.reload, sources);
        }
        let faults = faults.0.iter().map(ToString::to_string).collect();
        self.receipt(triggered, ReloadOutcome::Rejected, |receipt| receipt.faults = faults);
        None
    }

    fn supersede(&mut self, triggered: Triggered, newer: Option<Triggered>) -> Option<Triggered> {
        if let Wish::Swap(modes) = &triggered.wish {
            self.triggers.swaps.forget(modes, newer.as_ref());
        }
        self.receipt(triggered, ReloadOutcome::Superseded, |_receipt| {});
        newer
    }

    /// Writes the receipt of an attempt, and hands it to whoever ordered it.
    fn receipt(&self, triggered: Triggered, outcome: ReloadOutcome, fill: impl FnOnce(&mut Receipt)) {
        let Triggered { trigger, wish, reply, start } = triggered;
        let generation = self.published.borrow().generation;
        let name = wish.other_profile().unwrap_or(&self.layers.profile);
        let mut receipt = Receipt::now(trigger, name, outcome, generation, start.elapsed());
        let is_of_files = wish.other_profile().is_none();
        match wish {
            Wish::Profile { sources, .. } => receipt.files = shown(&sources),
            Wish::Swap(modes) => receipt.modes = modes.iter().map(|mode| mode.to_string()).collect(),
        }
        fill(&mut receipt);
        Span::current().record("outcome", outcome.name()).record("generation", generation);
        let receipt = self.receipts.add(receipt, is_of_files);
        if let Some(reply) = reply {
            // Whoever ordered it may have gone.
            let _ = reply.to.send(receipt);
        }
    }
}

fn attempt_span(triggered: &Triggered, profile: &str) -> Span {
    let parent = triggered.reply.as_ref().map_or_else(Span::none, |reply| reply.span.clone());
    let modes = triggered.wish.modes().iter().map(|mode| &**mode).collect::<Vec<_>>().join(", ");
    let name = if modes.is_empty() { "reload" } else { "swap" };
    let profile = triggered.wish.other_profile().map_or(profile, |other| other);
    with_trace_id(tracing::info_span!(
        target: CONTROL, parent: &parent, "reload", otel.name = name, trigger = ?triggered.trigger, profile, modes,
        outcome = Empty, generation = Empty, trace_id = Empty
    ))
}

fn configuration(
    generation: u32,
    layers: &Layers,
    files: Vec<String>,
    profile: &Profile,
    effective: Effective,
    modes: Modes,
) -> Configuration {
    Configuration {
        generation,
        profile: layers.profile.clone(),
        files,
        effective,
        capture: profile.capture,
        result: profile.result,
        limits: profile.limits,
        security: profile.security.clone(),
        drain_timeout: Duration::from_millis(profile.server.drain_timeout_millis),
        drain_delay: Duration::from_millis(profile.server.drain_delay_millis),
        modes,
    }
}

/// The files' names, base first.
fn shown(sources: &Sources) -> Vec<String> {
    let mut files: Vec<_> = sources.paths().map(|path| path.display().to_string()).collect();
    files.reverse();
    files
}

/// Waits until each of `new` serves, or one can't; what keeps those from it that have failed by then. That something is
/// not installed is none of it, unless a mode that serves `before` would be lost by it.
async fn warm_up(new: &[Arc<Mode>], after: &Modes, before: &Modes, origins: &Origins) -> Result<(), Faults> {
    let serves_now = |name: &str| before.get(name).is_ok_and(|mode| mode.state().can_serve());
    let is_default = |mode: &Arc<Mode>| Arc::ptr_eq(mode, after.default_mode());
    let loses =
        |mode: &Arc<Mode>| serves_now(&mode.name) || (is_default(mode) && serves_now(&before.default_mode().name));
    let is_fault = |mode: &Arc<Mode>| match mode.state() {
        ModeState::Unavailable(fault) if !fault.is_absence || loses(mode) => Some(fault),
        _ => None,
    };
    let mut waiting: FuturesUnordered<_> =
        new.iter().map(|mode| async move { (mode, mode.ready().await.is_ok()) }).collect();
    while let Some((mode, is_ready)) = waiting.next().await {
        if !is_ready && is_fault(mode).is_some() {
            break;
        }
    }
    let told = |mode: &Arc<Mode>| {
        let fault = is_fault(mode)?;
        Some(origins.fault(&format!("modes.{}.{}", mode.name, fault.key), fault.reason.clone()))
    };
    let faults: Vec<_> = new.iter().filter_map(told).collect();
    if faults.is_empty() { Ok(()) } else { Err(Faults(faults)) }
}

/// What the modes of `after` that `before` has not are made of, and what was in their place.
fn replaced(before: &Modes, after: &Modes) -> Vec<Change> {
    let change = |mode: Arc<Mode>| {
        let old = before.all().iter().find(|old| old.name == mode.name);
        let (plugin, weights) = mode.artifacts.files.as_ref().map_or((None, None), |files| match &files.weights {
            Weights::Own { path, .. } | Weights::Fetched { path, .. } => {
                (Some(files.plugin.path.as_path()), Some(path.as_path()))
            }
            Weights::None | Weights::ToFetch { .. } => (Some(files.plugin.path.as_path()), None),
        });
        let origin = plugin.into_iter().chain(weights).map(|path| path.display().to_string()).collect::<Vec<_>>();
        Change {
            key: format!("modes.{}", mode.name),
            from: old.map(|old| old.artifacts.to_string()).unwrap_or_default().into(),
            to: mode.artifacts.to_string().into(),
            origin: origin.join(", "),
        }
    };
    after.new_since(before).into_iter().map(change).collect()
}

//! The checks, in the order of a plugin's life.

mod calls;
mod claims;
mod failures;
mod masks;
mod memory;

use segue_abi as abi;

use crate::{Event, ModelUnderTest, Options, Outcome, Report, instance::Instance};

type CheckResult = Result<(), String>;

/// What is checked, and how.
pub(crate) struct Subject<'a> {
    pub(crate) plugin: &'a abi::Plugin,
    pub(crate) model: &'a ModelUnderTest,
    pub(crate) options: &'a Options,
    pub(crate) tell: &'a dyn Fn(Event<'_>),
}

const DESCRIPTOR: &str = "Its descriptor is whole";
const LOADS: &str = "It loads the model";

type InstanceCheck = (&'static str, fn(&Subject<'_>, &Instance<'_>) -> CheckResult);

/// Checks of one instance, which lives through all of them.
const ON_INSTANCE: [InstanceCheck; 12] = [
    ("It names its classes, each once, with a colour, and says the same when asked again", claims::names_its_classes),
    ("It warms up", |_, instance| instance.warm_up()),
    ("It fills every pixel with a class that it has, and nothing else, at all sizes", masks::fills_every_pixel),
    ("It makes masks of the size that the host asks for", masks::follows_the_mask_size),
    ("It gives the same mask for the same frame, on every instance", masks::is_deterministic),
    ("It never reads the gap between rows", masks::ignores_the_gap),
    ("It fills the confidence plane if it says so", masks::fills_the_confidence),
    ("It reports stages that lie within the call", calls::reports_its_stages),
    ("A cancelled call ends soon, and the instance lives on", calls::ends_when_cancelled),
    ("Instances that are called at once give the same masks as alone", calls::instances_at_once),
    ("One instance takes as many calls at once as it says", calls::calls_at_once),
    ("It does not grow from frame to frame", memory::does_not_grow),
];

type PluginCheck = (&'static str, fn(&Subject<'_>) -> CheckResult);

/// Checks that make instances of their own.
const ON_PLUGIN: [PluginCheck; 4] = [
    ("It refuses malformed frames with a reason, and lives on", failures::refuses_bad_frames),
    ("It refuses settings that are no JSON", failures::refuses_bad_settings),
    ("It refuses files that are no weights, with a reason", failures::refuses_bad_weights),
    ("Absurd settings make it fail with a reason, if at all", failures::survives_absurd_settings),
];

const LOADS_AGAIN: &str = "It loads again after it was destroyed";

/// All promises, in the order in which they are checked.
pub fn promises() -> impl Iterator<Item = &'static str> {
    let on_instance = ON_INSTANCE.iter().map(|(promise, _)| *promise);
    let on_plugin = ON_PLUGIN.iter().map(|(promise, _)| *promise);
    [DESCRIPTOR, LOADS].into_iter().chain(on_instance).chain([LOADS_AGAIN]).chain(on_plugin)
}

/// Runs them all; ends early when there is nothing to run them on.
pub(crate) fn run(subject: &Subject<'_>) -> Report {
    let mut report = Report::default();
    subject.check(&mut report, DESCRIPTOR, || claims::is_whole(subject.plugin));
    let Some(instance) = subject.check(&mut report, LOADS, || subject.create()) else { return report };
    let mut instance = Some(instance);
    for (promise, check) in ON_INSTANCE {
        let Some(lent) = &instance else { break };
        if subject.check(&mut report, promise, || check(subject, lent)).is_none() {
            // What the failure left behind must not make the next check fail, too.
            drop(instance);
            instance = subject.create().ok();
        }
    }
    subject.check(&mut report, LOADS_AGAIN, || {
        drop(instance);
        subject.create().map(drop)
    });
    for (promise, check) in ON_PLUGIN {
        subject.check(&mut report, promise, || check(subject));
    }
    report
}

impl<'a> Subject<'a> {
    fn create(&self) -> Result<Instance<'a>, String> {
        Instance::create(self.plugin, self.model).map_err(|refusal| format!("`create` ended with {refusal}"))
    }

    fn check<T>(
        &self,
        report: &mut Report,
        promise: &'static str,
        check: impl FnOnce() -> Result<T, String>,
    ) -> Option<T> {
        (self.tell)(Event::Begins(promise));
        let (kept, failure) = match check() {
            Ok(kept) => (Some(kept), None),
            Err(failure) => (None, Some(failure)),
        };
        let outcome = Outcome { promise, failure };
        (self.tell)(Event::Ended(&outcome));
        report.outcomes.push(outcome);
        kept
    }

    /// Runs `step` for each of `steps`, and tells how far it is.
    fn each<T>(&self, steps: &[T], step: impl Fn(&T) -> CheckResult) -> CheckResult {
        let of = steps.len() as u32;
        (0..of).zip(steps).try_for_each(|(done, each)| {
            (self.tell)(Event::Progress { done, of });
            step(each)
        })
    }
}

fn ensure(holds: bool, reason: impl FnOnce() -> String) -> CheckResult {
    if holds { Ok(()) } else { Err(reason()) }
}

//! The checks, in the order of a plugin's life.

use std::collections::HashSet;

use segue_abi as abi;

use crate::{
    ModelUnderTest, Outcome, Report, host,
    instance::{GUARD, Instance, TestFrame, new_token},
};

/// Frame sizes from the smallest to larger than any network's input, odd ones and extreme shapes among them.
const SIZES_PX: [(u32, u32); 8] = [(1, 1), (2, 3), (17, 5), (1, 200), (300, 1), (255, 257), (640, 360), (1280, 720)];

type CheckResult = Result<(), String>;
type Check = (&'static str, fn(&Instance<'_>) -> CheckResult);

const CHECKS: [Check; 9] = [
    ("It names its classes, each once, with a colour", names_its_classes),
    ("It warms up", |instance| instance.warm_up()),
    ("It fills every pixel with a class that it has, at all sizes", fills_every_pixel),
    ("It makes masks of the size that the host asks for", follows_the_mask_size),
    ("It gives the same mask for the same frame", is_deterministic),
    ("It never reads the gap between rows", ignores_the_gap),
    ("It fills the confidence plane if it says so", fills_the_confidence),
    ("It refuses a frame shorter than its sizes say, and lives on", refuses_a_short_frame),
    ("It reports stages that lie within the call, and survives a cancelled one", reports_its_stages),
];

/// Runs them all; ends early when there is nothing to run them on.
pub(crate) fn run(plugin: &abi::Plugin, model: &ModelUnderTest) -> Report {
    let mut report = Report::default();
    report.note("Its descriptor is whole", check_descriptor(plugin));
    let instance = match Instance::create(plugin, model) {
        Ok(instance) => instance,
        Err(failure) => {
            report.note("It loads the model", Err(failure));
            return report;
        }
    };
    report.note("It loads the model", Ok(()));
    for (promise, check) in CHECKS {
        report.note(promise, check(&instance));
    }
    drop(instance);
    report.note("It loads again after it was destroyed", Instance::create(plugin, model).map(drop));
    report.note("It refuses settings that are no JSON object", refuses_bad_settings(plugin, model));
    report
}

impl Report {
    fn note(&mut self, promise: &'static str, result: CheckResult) {
        self.outcomes.push(Outcome { promise, failure: result.err() });
    }
}

fn check_descriptor(plugin: &abi::Plugin) -> CheckResult {
    ensure(plugin.magic == abi::MAGIC, || "wrong magic number".into())?;
    ensure(plugin.abi_major == abi::ABI_MAJOR, || format!("ABI {}", plugin.abi_major))?;
    ensure(plugin.struct_size as usize >= size_of::<abi::Plugin>(), || "it is too small".into())?;
    ensure(plugin.name[0] != 0 && plugin.name[31] == 0, || "it has no name".into())?;
    let complete = [
        ("create", plugin.create.is_some()),
        ("destroy", plugin.destroy.is_some()),
        ("info", plugin.info.is_some()),
        ("infer", plugin.infer.is_some()),
    ];
    for (name, present) in complete {
        ensure(present, || format!("it has no `{name}`"))?;
    }
    Ok(())
}

fn names_its_classes(instance: &Instance<'_>) -> CheckResult {
    let info = instance.info()?;
    let classes = info.classes as usize;
    ensure((1..=256).contains(&classes), || format!("{classes} classes; 1 to 256 are possible"))?;
    ensure(!info.labels.is_null() && !info.palette.is_null(), || "labels or palette are missing".into())?;
    ensure(info.max_concurrency >= 1 && info.max_batch >= 1, || "it takes no call or no frame at all".into())?;
    // SAFETY: the ABI has `labels` hold `classes` texts until `destroy`.
    let texts = unsafe { std::slice::from_raw_parts(info.labels, classes) };
    let mut seen = HashSet::new();
    for (id, text) in texts.iter().enumerate() {
        let label = host::show(text);
        ensure(!label.contains('\u{FFFD}'), || format!("label {id} is not UTF-8"))?;
        ensure(!label.is_empty() && seen.insert(label.clone()), || {
            format!("label {id} is {label:?}: empty, or not the first")
        })?;
    }
    Ok(())
}

fn fills_every_pixel(instance: &Instance<'_>) -> CheckResult {
    SIZES_PX.into_iter().try_for_each(|size| expect_mask(instance, size, size))
}

fn follows_the_mask_size(instance: &Instance<'_>) -> CheckResult {
    [((640, 360), (1, 1)), ((640, 360), (319, 181)), ((3, 2), (500, 300)), ((64, 64), (1, 777))]
        .into_iter()
        .try_for_each(|(frame, mask)| expect_mask(instance, frame, mask))
}

fn expect_mask(instance: &Instance<'_>, frame_px: (u32, u32), mask_px: (u32, u32)) -> CheckResult {
    let classes = instance.info()?.classes;
    let place = || format!("frame {}x{}, mask {}x{}", frame_px.0, frame_px.1, mask_px.0, mask_px.1);
    let got = instance.infer(&TestFrame::new(frame_px.0, frame_px.1, 0, 0), mask_px, false);
    ensure(got.status == abi::STATUS_OK, || format!("{}: status {}: {}", place(), got.status, got.error))?;
    ensure(got.written == 1, || format!("{}: `written` is {}", place(), got.written))?;
    ensure(!got.overran, || format!("{}: it wrote beyond the mask", place()))?;
    match got.labels.iter().position(|&id| u32::from(id) >= classes) {
        Some(at) => Err(format!("{}: pixel {at} is {}, and there are {classes} classes", place(), got.labels[at])),
        None => Ok(()),
    }
}

fn is_deterministic(instance: &Instance<'_>) -> CheckResult {
    let frame = TestFrame::new(320, 180, 0, 0);
    let first = instance.infer(&frame, (320, 180), false);
    let _other = instance.infer(&TestFrame::new(33, 77, 0, 0), (320, 180), false);
    ensure(instance.infer(&frame, (320, 180), false) == first, || "the second mask differs from the first".into())
}

fn ignores_the_gap(instance: &Instance<'_>) -> CheckResult {
    let plain = instance.infer(&TestFrame::new(101, 67, 0, 0), (101, 67), false);
    for gap in [0, 0xFF] {
        let padded = instance.infer(&TestFrame::new(101, 67, 25, gap), (101, 67), false);
        ensure(padded == plain, || "a gap between rows changes the mask".into())?;
    }
    Ok(())
}

fn fills_the_confidence(instance: &Instance<'_>) -> CheckResult {
    let frame = TestFrame::new(160, 90, 0, 0);
    let (without, with) = (instance.infer(&frame, (160, 90), false), instance.infer(&frame, (160, 90), true));
    ensure(with.status == abi::STATUS_OK && !with.overran, || format!("status {}: {}", with.status, with.error))?;
    ensure(with.labels == without.labels, || "asking for it changes the labels".into())?;
    let untouched = with.confidence.iter().all(|&value| value == GUARD);
    ensure(instance.info()?.has_confidence == 0 || !untouched, || "the plane was left as it was".into())
}

fn refuses_a_short_frame(instance: &Instance<'_>) -> CheckResult {
    let mut short = TestFrame::new(64, 64, 0, 0);
    short.data.truncate(64 * 64 * 3 - 1);
    let got = instance.infer(&short, (64, 64), false);
    ensure(got.status == abi::STATUS_FAILED, || format!("it answered {} to a frame that is too short", got.status))?;
    ensure(!got.error.is_empty(), || "it gives no reason".into())?;
    expect_mask(instance, (64, 64), (64, 64))
}

fn reports_its_stages(instance: &Instance<'_>) -> CheckResult {
    let frame = TestFrame::new(160, 90, 0, 0);
    let token = new_token();
    let before = host::now_nanos(std::ptr::null_mut());
    instance.infer_as(token, &frame, (160, 90), false);
    let after = host::now_nanos(std::ptr::null_mut());
    for stage in host::take_stages(token) {
        ensure((stage.stage as usize) < abi::STAGES, || format!("it reports a stage {}", stage.stage))?;
        let ordered = before <= stage.start_nanos && stage.start_nanos <= stage.end_nanos && stage.end_nanos <= after;
        ensure(ordered, || format!("stage {} does not lie within its call", stage.stage))?;
    }
    let token = new_token();
    host::cancel(token);
    let got = instance.infer_as(token, &frame, (160, 90), false);
    let allowed = [abi::STATUS_OK, abi::STATUS_CANCELLED].contains(&got.status);
    ensure(allowed, || format!("a cancelled call ended with status {}: {}", got.status, got.error))
}

fn refuses_bad_settings(plugin: &abi::Plugin, model: &ModelUnderTest) -> CheckResult {
    let model = ModelUnderTest { settings_json: "not json".into(), ..model.clone() };
    match Instance::create(plugin, &model) {
        Err(_reason) => Ok(()),
        Ok(_instance) => Err("it loaded with the settings `not json`".into()),
    }
}

fn ensure(holds: bool, reason: impl FnOnce() -> String) -> CheckResult {
    if holds { Ok(()) } else { Err(reason()) }
}

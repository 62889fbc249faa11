//! What a plugin does with what it can't use.

use std::path::PathBuf;

use segue_abi as abi;

use super::{CheckResult, Subject, ensure, masks::expect_mask};
use crate::{
    ModelUnderTest,
    frame::TestFrame,
    instance::{Instance, Refusal},
};

pub(super) fn refuses_bad_frames(subject: &Subject<'_>) -> CheckResult {
    let mut instance = subject.create()?;
    for (what, frame) in bad_frames() {
        let got = instance.infer(&frame, (64, 64), false);
        let refusal = Refusal { status: got.status, reason: got.error };
        refusal.expect_reason().map_err(|reason| format!("{what}: {reason}"))?;
        ensure(!got.overran, || format!("{what}: it wrote beyond the mask"))?;
        if refusal.status == abi::STATUS_PANICKED {
            // So does the server.
            drop(instance);
            instance = subject.create()?;
        }
        expect_mask(&instance, (64, 64), (64, 64)).map_err(|reason| format!("after {what}: {reason}"))?;
    }
    Ok(())
}

fn bad_frames() -> [(&'static str, TestFrame); 4] {
    let good = TestFrame::new((64, 64));
    let mut short = good.clone();
    short.data.pop();
    let empty = TestFrame { data: Vec::new(), ..good.clone() };
    let narrow = TestFrame { stride_bytes: good.stride_bytes - 1, ..good.clone() };
    let unknown = TestFrame { format: 77, ..good };
    [
        ("a frame shorter than its sizes say", short),
        ("a frame without pixels", empty),
        ("a frame whose rows overlap", narrow),
        ("a frame of an unknown pixel format", unknown),
    ]
}

pub(super) fn refuses_bad_settings(subject: &Subject<'_>) -> CheckResult {
    let settings = "not json";
    match create(subject, |model| model.settings_json = settings.into()) {
        Err(refusal) => refusal.expect_reason(),
        Ok(_instance) => Err(format!("it loaded with the settings `{settings}`")),
    }
}

pub(super) fn survives_absurd_settings(subject: &Subject<'_>) -> CheckResult {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let long = format!("{{\"{}\": 1}}", "long".repeat(100_000));
    let unknown = r#"{"no backend has a setting of this name": null}"#;
    for settings in ["", "null", "[]", "42", "{", r#"{"a": 1e999}"#, unknown, &deep, &long] {
        if let Err(refusal) = create(subject, |model| model.settings_json = settings.to_owned()) {
            let shown: String = settings.chars().take(50).collect();
            refusal.expect_reason().map_err(|reason| format!("settings `{shown}`: {reason}"))?;
        }
    }
    subject.create().map(drop)
}

pub(super) fn refuses_bad_weights(subject: &Subject<'_>) -> CheckResult {
    let bad = [
        ("a file that is not there", PathBuf::from("/nonexistent/weights")),
        ("a directory", PathBuf::from("/")),
        ("an empty file", PathBuf::from("/dev/null")),
        ("a program", std::env::current_exe().unwrap_or_default()),
    ];
    for (what, path) in bad {
        match create(subject, |model| model.weights = Some(path.clone())) {
            Err(refusal) => refusal.expect_reason().map_err(|reason| format!("{what}: {reason}"))?,
            // A backend that needs no weights need not look at them.
            Ok(_instance) if subject.model.weights.is_none() => {}
            Ok(_instance) => return Err(format!("it loaded weights that are {what} ({})", path.display())),
        }
    }
    subject.create().map(drop)
}

fn create<'a>(subject: &Subject<'a>, change: impl FnOnce(&mut ModelUnderTest)) -> Result<Instance<'a>, Refusal> {
    let mut model = subject.model.clone();
    change(&mut model);
    Instance::create(subject.plugin, &model)
}

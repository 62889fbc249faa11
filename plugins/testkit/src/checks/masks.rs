//! What a plugin makes of frames.

use segue_abi as abi;

use super::{CheckResult, Subject, ensure};
use crate::{
    frame::TestFrame,
    instance::{Inference, Instance, UNWRITTEN_CONFIDENCE},
    options::SizePx,
};

pub(super) fn fills_every_pixel(subject: &Subject<'_>, instance: &Instance<'_>) -> CheckResult {
    subject.each(&subject.options.sizes_px, |&size| expect_mask(instance, size, size))
}

pub(super) fn follows_the_mask_size(subject: &Subject<'_>, instance: &Instance<'_>) -> CheckResult {
    subject.each(&subject.options.mask_sizes_px, |&(frame, mask)| expect_mask(instance, frame, mask))
}

pub(super) fn expect_mask(instance: &Instance<'_>, frame_px: SizePx, mask_px: SizePx) -> CheckResult {
    let info = instance.info()?;
    let got = instance.infer(&TestFrame::new(frame_px), mask_px, info.has_confidence != 0);
    got.expect_mask(info.classes)
        .map_err(|reason| format!("frame {}x{}, mask {}x{}: {reason}", frame_px.0, frame_px.1, mask_px.0, mask_px.1))
}

/// Whether `got` is a mask, and the one that `before` is.
pub(super) fn expect_same(classes: u32, got: &Inference, before: &Inference, when: &str) -> CheckResult {
    got.expect_mask(classes)?;
    let differing = |one: &[u8], other: &[u8]| one.iter().zip(other).filter(|(one, other)| one != other).count();
    let (labels, all) = (differing(&got.labels, &before.labels), got.labels.len());
    ensure(labels == 0, || format!("{labels} of {all} pixels differ {when}"))?;
    let confidences = differing(&got.confidence, &before.confidence);
    ensure(confidences == 0, || format!("{confidences} of {all} confidences differ {when}"))
}

pub(super) fn is_deterministic(subject: &Subject<'_>, instance: &Instance<'_>) -> CheckResult {
    let info = instance.info()?;
    let with_confidence = info.has_confidence != 0;
    for size in [(1, 1), (101, 67), (320, 180), (640, 480)] {
        let frame = TestFrame::new(size);
        let first = instance.infer(&frame, size, with_confidence);
        let same = |instance: &Instance<'_>, when: &str| {
            let got = instance.infer(&frame, size, with_confidence);
            expect_same(info.classes, &got, &first, when)
                .map_err(|reason| format!("frame {}x{}: {reason}", size.0, size.1))
        };
        same(instance, "when the same frame comes again")?;
        instance.infer(&TestFrame::seeded((33, 77), 5), (320, 180), false);
        same(instance, "when the same frame comes after another")?;
        same(&subject.create()?, "on a second instance")?;
    }
    Ok(())
}

pub(super) fn ignores_the_gap(_: &Subject<'_>, instance: &Instance<'_>) -> CheckResult {
    let info = instance.info()?;
    for size in [(101, 67), (64, 64), (1, 40)] {
        let infer = |frame: &TestFrame| instance.infer(frame, size, info.has_confidence != 0);
        let plain = infer(&TestFrame::new(size));
        for (gap_len_bytes, gap) in [(25, 0), (25, 0xFF), (1, 0x80)] {
            let when = format!("when {gap_len_bytes} bytes of {gap} lie between rows ({}x{})", size.0, size.1);
            expect_same(info.classes, &infer(&TestFrame::with_gap(size, 0, gap_len_bytes, gap)), &plain, &when)?;
        }
    }
    Ok(())
}

pub(super) fn fills_the_confidence(_: &Subject<'_>, instance: &Instance<'_>) -> CheckResult {
    let (frame, size, info) = (TestFrame::new((160, 90)), (160, 90), instance.info()?);
    let (without, with) = (instance.infer(&frame, size, false), instance.infer(&frame, size, true));
    with.expect_mask(info.classes)?;
    ensure(with.labels == without.labels, || "asking for it changes the labels".into())?;
    let untouched = with.confidence.iter().all(|&value| value == UNWRITTEN_CONFIDENCE);
    ensure(info.has_confidence == 0 || !untouched, || "the plane was left as it was".into())?;
    let is_flag = info.has_confidence <= 1;
    ensure(is_flag, || format!("`has_confidence` is {}, and 0 or 1 is expected", info.has_confidence))?;
    ensure(without.status == abi::STATUS_OK, || "it fails when nobody asks for it".into())
}

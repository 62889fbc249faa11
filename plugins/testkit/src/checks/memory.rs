//! Whether a plugin keeps memory from frame to frame.

use std::ops::Range;

use super::{CheckResult, Subject, ensure};
use crate::{Event, frame::TestFrame, instance::Instance};

const SIZE_PX: (u32, u32) = (64, 48);

pub(super) fn does_not_grow(subject: &Subject<'_>, instance: &Instance<'_>) -> CheckResult {
    let (frames, slack) = (subject.options.growth_frames, subject.options.growth_slack_bytes);
    let warm_up = (frames / 10).min(500);
    segment(subject, instance, 0..warm_up, warm_up + frames)?;
    // Where the system does not tell, nothing is measured.
    let Some(before) = resident_bytes() else { return Ok(()) };
    segment(subject, instance, warm_up..warm_up + frames, warm_up + frames)?;
    let grown = resident_bytes().unwrap_or(before).saturating_sub(before);
    ensure(grown <= slack, || {
        let (width, height) = SIZE_PX;
        let each = grown / u64::from(frames.max(1));
        format!(
            "the process grew by {} KiB over {frames} frames of {width}x{height}, {each} bytes each; {} KiB are allowed",
            grown >> 10,
            slack >> 10
        )
    })
}

fn segment(subject: &Subject<'_>, instance: &Instance<'_>, mut numbers: Range<u32>, of: u32) -> CheckResult {
    let (frame, classes) = (TestFrame::new(SIZE_PX), instance.info()?.classes);
    numbers.try_for_each(|done| {
        (subject.tell)(Event::Progress { done, of });
        instance.infer(&frame, SIZE_PX, false).expect_mask(classes).map_err(|reason| format!("frame {done}: {reason}"))
    })
}

/// Memory of this process that is in use and no part of a file.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib = |name: &str| {
        status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB")?.parse::<u64>().ok())
    };
    Some((kib("RssAnon:")? + kib("RssShmem:")?) << 10)
}

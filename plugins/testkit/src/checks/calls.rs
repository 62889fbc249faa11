//! Calls that are followed, cancelled, or run at once.

use std::{
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use segue_abi as abi;

use super::{CheckResult, Subject, ensure, masks::expect_same};
use crate::{
    Event,
    frame::TestFrame,
    host,
    instance::{Inference, Instance, Refusal, new_token},
    options::SizePx,
};

/// More calls at once than this are not tried, whatever an instance says.
const MOST_CALLS: u32 = 16;

pub(super) fn reports_its_stages(_: &Subject<'_>, instance: &Instance<'_>) -> CheckResult {
    let (frame, token) = (TestFrame::new((160, 90)), new_token());
    host::follow(token);
    let before = host::now_nanos(std::ptr::null_mut());
    instance.infer_as(token, &frame, (160, 90), false);
    let after = host::now_nanos(std::ptr::null_mut());
    for stage in host::unfollow(token).stages {
        ensure((stage.stage as usize) < abi::STAGES, || format!("it reports a stage {}", stage.stage))?;
        let ordered = before <= stage.start_nanos && stage.start_nanos <= stage.end_nanos && stage.end_nanos <= after;
        ensure(ordered, || format!("stage {} does not lie within its call", stage.stage))?;
    }
    Ok(())
}

pub(super) fn ends_when_cancelled(subject: &Subject<'_>, instance: &Instance<'_>) -> CheckResult {
    let (size, classes) = ((640, 360), instance.info()?.classes);
    let frame = TestFrame::new(size);
    let start = Instant::now();
    let ordinary = instance.infer(&frame, size, false);
    let half = start.elapsed() / 2;
    for (when, delay) in
        [("before it began", None), ("at its start", Some(Duration::ZERO)), ("in its midst", Some(half))]
    {
        let (got, took) = infer_cancelled(instance, &frame, size, delay);
        let most = subject.options.cancelled_within;
        ensure(took <= most, || {
            format!(
                "a call that was cancelled {when} went on for {} ms; {} are allowed",
                took.as_millis(),
                most.as_millis()
            )
        })?;
        match got.status {
            // Nobody has to look at it: a mask that came all the same is one.
            abi::STATUS_OK => expect_same(classes, &got, &ordinary, &format!("when it is cancelled {when}"))?,
            abi::STATUS_CANCELLED => {}
            status => {
                let refusal = Refusal { status, reason: got.error };
                return Err(format!(
                    "a call that was cancelled {when} ended with {refusal}; OK or CANCELLED is expected"
                ));
            }
        }
        let next = instance.infer(&frame, size, false);
        expect_same(classes, &next, &ordinary, &format!("after a call that was cancelled {when}"))?;
    }
    Ok(())
}

/// A call that is cancelled `delay` after its start, or before it; and how long it took from then on.
fn infer_cancelled(
    instance: &Instance<'_>,
    frame: &TestFrame,
    size: SizePx,
    delay: Option<Duration>,
) -> (Inference, Duration) {
    let token = new_token();
    host::follow(token);
    let cancel_after = |delay| {
        thread::sleep(delay);
        host::cancel(token);
        Instant::now()
    };
    let (got, took) = thread::scope(|scope| {
        let cancelled_at = match delay {
            None => Ok(cancel_after(Duration::ZERO)),
            Some(delay) => Err(scope.spawn(move || cancel_after(delay))),
        };
        let got = instance.infer_as(token, frame, size, false);
        let ended = Instant::now();
        // A thread that only sleeps does not panic.
        let cancelled_at = cancelled_at.or_else(|thread| thread.join()).unwrap_or(ended);
        (got, ended.saturating_duration_since(cancelled_at))
    });
    host::unfollow(token);
    (got, took)
}

pub(super) fn instances_at_once(subject: &Subject<'_>, instance: &Instance<'_>) -> CheckResult {
    let others = (1..subject.options.instances).map(|_| subject.create()).collect::<Result<Vec<_>, _>>()?;
    let instances: Vec<_> = std::iter::once(instance).chain(&others).collect();
    at_once(subject, &instances)
}

pub(super) fn calls_at_once(subject: &Subject<'_>, instance: &Instance<'_>) -> CheckResult {
    match instance.info()?.max_concurrency.min(MOST_CALLS) {
        1 => Ok(()),
        calls => at_once(subject, &vec![instance; calls as usize]),
    }
}

/// Gives each instance a frame of its own, first to one after the other, then to all at once, again and again.
fn at_once(subject: &Subject<'_>, instances: &[&Instance<'_>]) -> CheckResult {
    let size = (96, 64);
    let abi::BackendInfo { classes, has_confidence, .. } = instances[0].info()?;
    let frames: Vec<_> = (0..instances.len() as u32).map(|number| TestFrame::seeded(size, 40 * number)).collect();
    let infer = |instance: &Instance<'_>, frame: &TestFrame| instance.infer(frame, size, has_confidence != 0);
    let alone: Vec<_> = instances.iter().zip(&frames).map(|(instance, frame)| infer(instance, frame)).collect();
    for round in 0..subject.options.rounds {
        (subject.tell)(Event::Progress { done: round, of: subject.options.rounds });
        for (got, alone) in together(instances, &frames, &infer)?.into_iter().zip(&alone) {
            expect_same(classes, &got, alone, &format!("when {} calls run at once", instances.len()))?;
        }
    }
    Ok(())
}

/// What `infer` gives for each instance and its frame, each on a thread of its own.
fn together(
    instances: &[&Instance<'_>],
    frames: &[TestFrame],
    infer: &(impl Fn(&Instance<'_>, &TestFrame) -> Inference + Sync),
) -> Result<Vec<Inference>, String> {
    let barrier = &Barrier::new(instances.len());
    let joined = thread::scope(|scope| {
        let call = |(&instance, frame)| {
            scope.spawn(move || {
                barrier.wait();
                infer(instance, frame)
            })
        };
        let threads: Vec<_> = instances.iter().zip(frames).map(call).collect();
        threads.into_iter().map(thread::ScopedJoinHandle::join).collect::<Result<Vec<_>, _>>()
    });
    joined.map_err(|_panic| "a call panicked into its caller".into())
}

//! The server's side of a worker: start it, hand it frames, judge what it answers.

use std::{
    os::{fd::OwnedFd, unix::net::UnixStream},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    io::Errno,
};
use segue_abi as abi;

use super::{
    SharedMemory, WorkerImage,
    child::BROKE_CONTRACT,
    life::Process,
    running::Listed,
    scratch::Scratch,
    setup::{self, Ready, Setup},
};
use crate::plugin_host::{
    InstanceError, InstanceInfo, ModelSpec, RunningCall, StageMicros,
    instance::{CallInProgress, FrameCall, Planes},
};

/// A message whose first byte has come is whole after that.
const SETUP_PATIENCE: Duration = Duration::from_secs(5);

/// How often it is asked whether somebody still waits for a model.
const STILL_WANTED: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// An instance in a process of its own.
pub struct Worker {
    // Before the process: a number that was given back may be another's.
    _listed: Listed,
    process: Process,
    /// Removed after the process has ended.
    _scratch: Option<Scratch>,
    memory: Arc<SharedMemory>,
    request: OwnedFd,
    response: OwnedFd,
    info: InstanceInfo,
    timeout: Duration,
    /// Of the frame in its room.
    frame_len_bytes: usize,
    pub(in crate::plugin_host) planes: Planes,
}

impl Worker {
    /// Starts a worker, and has it load and warm up the model.
    pub(in crate::plugin_host) fn start(
        image: &WorkerImage,
        spec: &ModelSpec,
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<Self, InstanceError> {
        let no_worker = |error: std::io::Error| InstanceError::NoWorker(error.to_string());
        let memory = SharedMemory::new().map_err(|error| no_worker(error.into()))?;
        let event = || eventfd(0, EventfdFlags::CLOEXEC).map_err(|error| no_worker(error.into()));
        let (request, response) = (event()?, event()?);
        let (ours, theirs) = UnixStream::pair().map_err(no_worker)?;
        ours.set_read_timeout(Some(SETUP_PATIENCE)).map_err(no_worker)?;
        let mut process = Process::start(&image.plugin, theirs, spec.max_threads).map_err(no_worker)?;
        let scratch = if image.is_program { Scratch::new() } else { None };
        let setup = Setup {
            server: std::process::id().cast_signed(),
            plugin: image.copy.path().to_owned(),
            sha256: image.sha256.clone(),
            spec: spec.clone(),
            memory_len_bytes: image.limits.memory_len_bytes,
            needs_network: image.needs_network,
            is_program: image.is_program,
            scratch: scratch.as_ref().map(|folder| folder.path().to_owned()),
        };
        use std::os::fd::AsFd;
        let sent = setup::send(&ours, &setup, &[memory.file(), request.as_fd(), response.as_fd()]);
        if sent.is_ok() {
            wait_until_loaded(&ours, image.limits.load_timeout_millis, is_wanted)?;
        }
        let ready = sent.and_then(|()| setup::receive::<Ready>(&ours));
        let Ok((ready, _)) = ready else { return Err(InstanceError::Died(process.obituary())) };
        let ready = ready.map_err(InstanceError::Failed)?;
        check_info(&ready.info)?;
        tracing::debug!(plugin = image.plugin, confined = ready.confined, "Worker is ready");
        Ok(Self {
            _listed: image.running.add(process.id()),
            process,
            _scratch: scratch,
            memory: Arc::new(memory),
            request,
            response,
            info: ready.info,
            timeout: Duration::from_millis(image.limits.timeout_millis),
            frame_len_bytes: 0,
            planes: Planes::default(),
        })
    }

    pub(in crate::plugin_host) fn info(&self) -> &InstanceInfo {
        &self.info
    }

    pub(in crate::plugin_host) fn frame_room(&mut self, len_bytes: usize) -> Result<&mut [u8], InstanceError> {
        self.memory.forget_frame_beyond_usual(self.frame_len_bytes);
        let start = self.memory.frame(len_bytes).ok_or_else(too_large)?;
        self.frame_len_bytes = len_bytes;
        // SAFETY: the room lies within the mapping, which lives as long as this. Between two calls the worker has no
        // business there; one that writes all the same spoils its own frame.
        Ok(unsafe { std::slice::from_raw_parts_mut(start, len_bytes) })
    }

    pub(in crate::plugin_host) fn frame(&self) -> &[u8] {
        let Some(start) = self.memory.frame(self.frame_len_bytes) else { return &[] };
        // SAFETY: as in `frame_room`, which has checked the length.
        unsafe { std::slice::from_raw_parts(start, self.frame_len_bytes) }
    }

    pub(in crate::plugin_host) fn infer(
        &mut self,
        call: &FrameCall,
        running: &RunningCall,
    ) -> Result<StageMicros, InstanceError> {
        if call.frame_len_bytes() != self.frame_len_bytes || call.mask_len_bytes() == 0 {
            return Err(InstanceError::Failed("the server handed over a frame or a mask of the wrong size".into()));
        }
        let planes = self.memory.planes(call.mask_len_bytes()).ok_or_else(too_large)?;
        let number = self.memory.control().begin(call);
        running.start(CallInProgress::Worker(Arc::clone(&self.memory), number));
        let start = Instant::now();
        let _one_core = self.process.share_this_core();
        signal(&self.request).map_err(|error| InstanceError::NoWorker(error.to_string()))?;
        let (status, stages) = self.wait(number, start)?;
        match status {
            abi::STATUS_OK => {}
            abi::STATUS_CANCELLED => return Err(InstanceError::Cancelled),
            abi::STATUS_PANICKED => return Err(InstanceError::Panicked(self.memory.control().reason())),
            BROKE_CONTRACT => return Err(InstanceError::BrokeContract(self.memory.control().reason())),
            _ => return Err(InstanceError::Failed(self.memory.control().reason())),
        }
        self.copy_planes(call, planes);
        self.planes.check(self.info.labels.len())?;
        // A worker may say anything; the frame can't have taken longer than it took.
        let most = u32::try_from(start.elapsed().as_micros()).unwrap_or(u32::MAX);
        let StageMicros { preprocess, forward, postprocess } = stages;
        Ok(StageMicros {
            preprocess: preprocess.min(most),
            forward: forward.min(most),
            postprocess: postprocess.min(most),
        })
    }

    /// Waits for the answer to the call `number`, the worker's end, or the end of patience.
    fn wait(&mut self, number: u64, start: Instant) -> Result<(i32, StageMicros), InstanceError> {
        loop {
            let rest = self.timeout.saturating_sub(start.elapsed());
            let (has_answered, has_ended) = {
                let mut events = [
                    PollFd::new(&self.response, PollFlags::IN),
                    PollFd::from_borrowed_fd(self.process.end(), PollFlags::IN),
                ];
                let timeout = Timespec { tv_sec: rest.as_secs().cast_signed(), tv_nsec: rest.subsec_nanos().into() };
                match poll(&mut events, Some(&timeout)) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(error) => return Err(InstanceError::NoWorker(error.to_string())),
                }
                (events[0].revents().contains(PollFlags::IN), events[1].revents().contains(PollFlags::IN))
            };
            if has_answered {
                // Only the worker writes there, and only we read: it does not block.
                let _ = rustix::io::read(&self.response, &mut [0; 8]);
                if let Some(answer) = self.memory.control().answer_to(number) {
                    return Ok(answer);
                }
            }
            if has_ended {
                return Err(InstanceError::Died(self.process.obituary()));
            }
            if start.elapsed() >= self.timeout {
                self.process.kill();
                return Err(InstanceError::Hung(self.timeout.as_millis() as u64));
            }
        }
    }

    /// Copies the planes out of the worker's reach before anybody looks at them.
    fn copy_planes(&mut self, call: &FrameCall, (labels, confidence): (*mut u8, *mut u8)) {
        let len = call.mask_len_bytes();
        let copy = |from: *mut u8, to: &mut Vec<u8>, len: usize| {
            to.resize(len, 0);
            // SAFETY: `planes` has checked that both lie within the mapping; ours can't overlap them.
            unsafe { std::ptr::copy_nonoverlapping(from, to.as_mut_ptr(), len) };
        };
        copy(labels, &mut self.planes.labels, len);
        copy(confidence, &mut self.planes.confidence, if call.wants_confidence { len } else { 0 });
    }
}

/// Waits until a worker says something, or ends.
fn wait_until_loaded(
    socket: &UnixStream,
    timeout_millis: u64,
    is_wanted: &dyn Fn() -> bool,
) -> Result<(), InstanceError> {
    let start = Instant::now();
    loop {
        let mut events = [PollFd::new(socket, PollFlags::IN)];
        match poll(&mut events, Some(&STILL_WANTED)) {
            Ok(1..) => return Ok(()),
            Ok(0) | Err(Errno::INTR) => {}
            Err(error) => return Err(InstanceError::NoWorker(error.to_string())),
        }
        if !is_wanted() {
            return Err(InstanceError::Cancelled);
        }
        if start.elapsed() >= Duration::from_millis(timeout_millis) {
            return Err(InstanceError::LoadsTooLong(timeout_millis));
        }
    }
}

fn check_info(info: &InstanceInfo) -> Result<(), InstanceError> {
    let classes = info.labels.len();
    if (1..=256).contains(&classes) && info.palette.len() == classes {
        return Ok(());
    }
    Err(InstanceError::BrokeContract(format!("it states {classes} classes and {} colours", info.palette.len())))
}

fn too_large() -> InstanceError {
    InstanceError::Failed("the picture is larger than a worker has room for".into())
}

/// Wakes the other side.
pub(super) fn signal(event: &OwnedFd) -> rustix::io::Result<()> {
    rustix::io::write(event, &1_u64.to_ne_bytes()).map(drop)
}

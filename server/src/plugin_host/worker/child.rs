//! The worker's side: open the plugin, load the model, answer one call after the other.

use std::{
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    sync::Arc,
};

use rustix::{
    io::Errno,
    process::{Signal, set_parent_process_death_signal},
    thread::{sched_getaffinity, sched_setaffinity},
};
use segue_abi as abi;

use super::{
    SharedMemory,
    parent::signal,
    sandbox,
    setup::{self, Ready, ReadyWorker, Setup},
};
use crate::{
    file,
    plugin_host::{
        InstanceError, Library, RunningCall, StageMicros, callbacks,
        direct::{Direct, PlanePointers},
        give_back_memory,
        instance::FrameCall,
        program,
    },
};

/// A status of our own, beside those of the ABI.
pub(super) const BROKE_CONTRACT: i32 = 1000;

/// Works for the server that started this process, until that ends. Returns only what went wrong before.
pub fn run_worker() -> Result<(), Box<dyn std::error::Error>> {
    // Before the server can have narrowed them.
    let cores = sched_getaffinity(None).ok();
    let socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let (setup, descriptors) = setup::receive::<Setup>(&socket)?;
    let [memory, request, response] =
        <[OwnedFd; 3]>::try_from(descriptors).map_err(|_others| "descriptors are missing")?;
    end_with_the_server(setup.server)?;
    if setup.is_program {
        return become_program(&socket, &setup, [memory, request, response]);
    }
    let memory: &'static SharedMemory = Box::leak(Box::new(SharedMemory::map(memory)?));
    callbacks::watch_cancellation(memory);
    let confined = sandbox::confine(setup.memory_len_bytes, setup.needs_network);
    let mut direct = match load(&setup) {
        Ok(direct) => direct,
        Err(error) => {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            return Ok(setup::send(&socket, &Ready::Err(format!("{error}{cause}")), &[])?);
        }
    };
    setup::send(&socket, &Ready::Ok(ReadyWorker { info: direct.info().clone(), confined }), &[])?;
    loop {
        match rustix::io::read(&request, &mut [0_u8; 8]) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        // The server had it wake up on its own core; from here on it may run wherever there is room.
        if let Some(cores) = &cores {
            let _ = sched_setaffinity(None, cores);
        }
        answer(memory, &mut direct);
        signal(&response)?;
    }
}

/// Has the kernel end this process with `server`, the one that started it, however that ends.
pub(in crate::plugin_host) fn end_with_the_server(server: i32) -> Result<(), Box<dyn std::error::Error>> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have ended before that.
    let parent = rustix::process::getppid().map(|process| process.as_raw_nonzero().get());
    if parent == Some(server) { Ok(()) } else { Err("the server has ended".into()) }
}

/// Has this process go on as the interpreter of the plugin; returns only when that can't be.
fn become_program(
    socket: &UnixStream,
    setup: &Setup,
    descriptors: [OwnedFd; 3],
) -> Result<(), Box<dyn std::error::Error>> {
    program::volunteer_for_the_end();
    let interpreter = program::resolve(&setup.spec.interpreter);
    let confined = sandbox::confine(setup.memory_len_bytes, setup.needs_network);
    let error = match check_weights(setup) {
        Ok(()) => program::become_worker(setup, &interpreter, &confined, &descriptors),
        Err(error) => error,
    };
    Ok(setup::send(socket, &Ready::Err(error.to_string()), &[])?)
}

fn check_weights(setup: &Setup) -> Result<(), Box<dyn std::error::Error>> {
    match &setup.spec.weights {
        Some(weights) if file::sha256(&weights.path)? != weights.sha256 => {
            Err(format!("the weights {} were changed", weights.path.display()).into())
        }
        _ => Ok(()),
    }
}

fn load(setup: &Setup) -> Result<Direct, Box<dyn std::error::Error>> {
    program::volunteer_for_the_end();
    check_weights(setup)?;
    let library = Arc::new(Library::open_copy(&setup.plugin, &setup.sha256)?);
    let mut direct = Direct::create(&library, &setup.spec)?;
    direct.warm_up()?;
    // Loading takes memory that serving does not.
    give_back_memory();
    Ok(direct)
}

/// Answers the call that the control block describes.
fn answer(memory: &SharedMemory, direct: &mut Direct) {
    let (call, number) = memory.control().read();
    let (status, stages, reason) = match infer(memory, direct, &call) {
        Ok(stages) => (abi::STATUS_OK, stages, String::new()),
        Err(error) => {
            let (status, reason) = match error {
                InstanceError::Cancelled => (abi::STATUS_CANCELLED, String::new()),
                InstanceError::Panicked(reason) => (abi::STATUS_PANICKED, reason),
                InstanceError::BrokeContract(reason) => (BROKE_CONTRACT, reason),
                other => (abi::STATUS_FAILED, other.to_string()),
            };
            (status, StageMicros::default(), reason)
        }
    };
    memory.control().answer(number, status, stages, &reason);
}

fn infer(memory: &SharedMemory, direct: &mut Direct, call: &FrameCall) -> Result<StageMicros, InstanceError> {
    let too_large = || InstanceError::Failed("the call is larger than the shared memory".into());
    let len_bytes = call.mask_len_bytes();
    let frame = memory.frame(call.frame_len_bytes()).ok_or_else(too_large)?;
    let (labels, confidence) = memory.planes(len_bytes).ok_or_else(too_large)?;
    let confidence = if call.wants_confidence { confidence } else { std::ptr::null_mut() };
    // Whatever the backend leaves unwritten must not be another session's mask.
    // SAFETY: `planes` has checked that the planes lie within the mapping; between two calls nobody uses them.
    unsafe {
        labels.write_bytes(0, len_bytes);
        if !confidence.is_null() {
            confidence.write_bytes(0, len_bytes);
        }
    }
    let pointers = PlanePointers { frame, frame_len_bytes: call.frame_len_bytes(), labels, confidence };
    // SAFETY: both planes have the size that the call states, and are mapped for good.
    unsafe { direct.infer_at(call, &pointers, &RunningCall::default()) }
}

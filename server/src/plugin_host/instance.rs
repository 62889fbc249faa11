//! One instance of a backend, wherever it runs: in a worker process, or in this one.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::{
    callbacks::HostTable,
    check::Descriptor,
    direct::Direct,
    find::PluginFile,
    open::{Library, OpenError},
    worker::{Running, SharedMemory, Worker, WorkerImage, WorkerLimits},
};
use crate::copies::Copies;

/// What an instance is created for.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ModelSpec {
    /// Name in the catalog.
    pub name: String,
    /// The weights, already checked; `None` when the model has none.
    pub weights: Option<WeightsFile>,
    /// Labels and colours by class id, when the catalog gives them.
    pub classes: Vec<(String, [u8; 3])>,
    /// Settings of model and mode: one JSON object.
    pub settings_json: String,
    /// How many threads the instance may keep busy.
    pub max_threads: u32,
    /// What runs the plugin if it is a program.
    pub interpreter: String,
}

/// A file of weights, and what it must hold whenever an instance is created.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct WeightsFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Where what it is a copy of lies, for people.
    pub original: PathBuf,
    /// SHA-256 of its content, in hex.
    pub sha256: String,
}

/// What a loaded model says of itself.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct InstanceInfo {
    /// Labels by class id.
    pub labels: Vec<String>,
    /// Colours by class id.
    pub palette: Vec<[u8; 3]>,
    /// Width and height of the network's input; `None` when any will do.
    pub input_size_px: Option<(u32, u32)>,
    /// Whether it can fill the confidence plane.
    pub has_confidence: bool,
    /// Memory that it holds, in bytes; 0 when unknown.
    pub memory_bytes: u64,
}

/// What a call is about, beside the frame's pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameCall {
    /// Width of the frame in pixels.
    pub width_px: u32,
    /// Height of the frame in pixels.
    pub height_px: u32,
    /// Width of the mask that is wanted.
    pub mask_width_px: u32,
    /// Height of the mask that is wanted.
    pub mask_height_px: u32,
    /// Whether the confidence plane is wanted, too.
    pub wants_confidence: bool,
    /// Session, 0 for a single picture.
    pub session: u64,
    /// Counts up within a session.
    pub sequence: u64,
    /// Microseconds of the client's clock.
    pub captured_at_micros: u64,
    /// The trace that the call is a part of.
    pub trace: TraceContext,
}

/// What a backend tells of the trace to whatever it calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceContext {
    /// All zero: there is no trace.
    pub trace_id: [u8; 16],
    /// The span of the call.
    pub span_id: [u8; 8],
    /// W3C trace flags.
    pub flags: u32,
}

impl FrameCall {
    pub(super) fn frame_len_bytes(&self) -> usize {
        3 * self.width_px as usize * self.height_px as usize
    }

    pub(super) fn mask_len_bytes(&self) -> usize {
        self.mask_width_px as usize * self.mask_height_px as usize
    }
}

/// How long the stages inside a call took, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageMicros {
    /// From pixels to the network's input.
    pub preprocess: u32,
    /// The network.
    pub forward: u32,
    /// From scores to the mask.
    pub postprocess: u32,
}

/// Why a backend did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum InstanceError {
    #[error("the plugin lacks the function `{0}`")]
    Incomplete(&'static str),
    #[error("the plugin has as many instances as it can have")]
    TooMany,
    #[error("{0}")]
    Failed(String),
    #[error("the backend {0}")]
    Panicked(String),
    #[error("the call was cancelled")]
    Cancelled,
    #[error("the backend broke its contract: {0}")]
    BrokeContract(String),
    #[error("the backend's process {0}")]
    Died(String),
    #[error("the backend took longer than {0} ms and its process was ended")]
    Hung(u64),
    #[error("the backend took longer than {0} ms to load the model and its process was ended")]
    LoadsTooLong(u64),
    #[error("the backend is started again in a moment: {0}")]
    Resting(String),
    #[error("no worker process can be started: {0}")]
    NoWorker(String),
    #[error("{0}")]
    NotOpened(#[from] OpenError),
}

impl InstanceError {
    /// Whether the instance may be used again.
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Panicked(_) | Self::Died(_) | Self::Hung(_))
    }

    /// Its kind, in a word.
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Panicked(_) => "panicked",
            Self::Died(_) => "died",
            Self::Hung(_) => "hung",
            Self::BrokeContract(_) | Self::Incomplete(_) => "broke_contract",
            Self::Cancelled => "cancelled",
            Self::Resting(_) => "resting",
            Self::NoWorker(_) | Self::NotOpened(_) | Self::TooMany | Self::LoadsTooLong(_) => "not_started",
            Self::Failed(_) => "failed",
        }
    }
}

/// Calls, one after the other, that another thread may cancel.
#[derive(Default)]
pub struct RunningCall(Mutex<Option<CallInProgress>>);

pub(super) enum CallInProgress {
    Direct(&'static HostTable, u64),
    Worker(Arc<SharedMemory>, u64),
}

impl RunningCall {
    /// Tells the backend, if a call has begun and is not over, that nobody waits for it.
    pub fn cancel(&self) {
        match &*self.lock() {
            Some(CallInProgress::Direct(host, token)) => host.cancel(*token),
            Some(CallInProgress::Worker(memory, number)) => memory.control().cancel(*number),
            None => {}
        }
    }

    pub(super) fn start(&self, call: CallInProgress) {
        *self.lock() = Some(call);
    }

    /// Lets go of a call that is over.
    pub fn end(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<CallInProgress>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A plugin's build, ready to make instances.
#[derive(Clone)]
pub enum Build {
    /// Opened in this process.
    InProcess(Arc<Library>),
    /// To be opened by a worker process for each instance.
    Process(Arc<WorkerImage>),
}

impl Build {
    /// Opens `file` here, or makes a private copy of it in `copies` for workers to open.
    pub fn of(file: &PluginFile, copies: &Copies, limits: Option<WorkerLimits>) -> Result<Self, OpenError> {
        if file.descriptor.is_program && limits.is_none() {
            return Err(OpenError::Program);
        }
        let Some(limits) = limits else { return Ok(Self::InProcess(Library::open(file, copies)?)) };
        let copy = copies.keep(&file.path, &file.sha256)?;
        let (plugin, sha256) = (file.descriptor.name.clone(), file.sha256.clone());
        let Descriptor { needs_network, is_program, .. } = file.descriptor;
        let running = Running::default();
        Ok(Self::Process(Arc::new(WorkerImage { plugin, sha256, copy, limits, needs_network, is_program, running })))
    }

    /// Its worker processes that run now.
    pub fn workers(&self) -> Vec<u32> {
        match self {
            Self::InProcess(_) => Vec::new(),
            Self::Process(image) => image.running.all(),
        }
    }

    /// SHA-256 of the plugin's file, in hex.
    pub fn sha256(&self) -> &str {
        match self {
            Self::InProcess(library) => &library.sha256,
            Self::Process(image) => &image.sha256,
        }
    }
}

/// A loaded and warmed up model, ready to be called from one thread at a time.
pub enum Instance {
    /// In this process.
    InProcess(Box<Direct>),
    /// In a process of its own.
    Process(Box<Worker>),
}

impl Instance {
    /// Loads and warms up the model. Takes as long as that takes, or until nobody wants it any more: a worker is ended then.
    pub fn create(build: &Build, spec: &ModelSpec, is_wanted: &dyn Fn() -> bool) -> Result<Self, InstanceError> {
        match build {
            Build::InProcess(library) => {
                let mut direct = Direct::create(library, spec)?;
                direct.warm_up()?;
                Ok(Self::InProcess(Box::new(direct)))
            }
            Build::Process(image) => Ok(Self::Process(Box::new(Worker::start(image, spec, is_wanted)?))),
        }
    }

    /// What the model says of itself.
    pub fn info(&self) -> &InstanceInfo {
        match self {
            Self::InProcess(direct) => direct.info(),
            Self::Process(worker) => worker.info(),
        }
    }

    /// Room for the pixels of the next frame: rows of RGB bytes without gaps, where the backend reads them.
    pub fn frame_room(&mut self, len_bytes: usize) -> Result<&mut [u8], InstanceError> {
        match self {
            Self::InProcess(direct) => Ok(direct.frame_room(len_bytes)),
            Self::Process(worker) => worker.frame_room(len_bytes),
        }
    }

    /// Segments the frame that lies in its room; `running` can cancel it meanwhile.
    pub fn infer(&mut self, call: &FrameCall, running: &RunningCall) -> Result<StageMicros, InstanceError> {
        match self {
            Self::InProcess(direct) => direct.infer(call, running),
            Self::Process(worker) => worker.infer(call, running),
        }
    }

    /// The frame's pixels, as they lie in its room.
    pub fn frame(&self) -> &[u8] {
        match self {
            Self::InProcess(direct) => direct.frame(),
            Self::Process(worker) => worker.frame(),
        }
    }

    /// Class ids of the last mask, each of a class that the model has.
    pub fn labels(&self) -> &[u8] {
        match self {
            Self::InProcess(direct) => &direct.planes.labels,
            Self::Process(worker) => &worker.planes.labels,
        }
    }

    /// Confidences of the last mask; empty when nobody asked.
    pub fn confidence(&self) -> &[u8] {
        match self {
            Self::InProcess(direct) => &direct.planes.confidence,
            Self::Process(worker) => &worker.planes.confidence,
        }
    }
}

/// Planes of the server's own, used again from frame to frame.
#[derive(Default)]
pub(super) struct Planes {
    pub(super) labels: Vec<u8>,
    pub(super) confidence: Vec<u8>,
}

impl Planes {
    /// Class ids become indices later, so none may be out of range.
    pub(super) fn check(&self, classes: usize) -> Result<(), InstanceError> {
        let largest = self.labels.iter().copied().max().unwrap_or(0);
        if usize::from(largest) < classes {
            return Ok(());
        }
        Err(InstanceError::BrokeContract(format!("its mask has class {largest}, and it has {classes} classes")))
    }
}

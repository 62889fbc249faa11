//! One instance of a backend: create, ask, call, destroy.

use std::{
    ffi::c_void,
    fmt,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use segue_abi as abi;

use super::{
    callbacks::{HostTable, show},
    open::Library,
};

/// Longest reason that a plugin can give.
const REASON_LEN_BYTES: usize = 2048;

/// What an instance is created for.
#[derive(Clone, Debug)]
pub struct ModelSpec {
    /// Name in the catalog.
    pub name: String,
    /// The weights, already checked; `None` when the model has none.
    pub weights: Option<PathBuf>,
    /// Labels and colours by class id, when the catalog gives them.
    pub classes: Vec<(String, [u8; 3])>,
    /// Settings of model and mode: one JSON object.
    pub settings_json: String,
    /// How many threads the instance may keep busy.
    pub max_threads: u32,
}

/// What a loaded model says of itself.
#[derive(Clone, Debug)]
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

/// A decoded frame, borrowed for a call: rows of RGB bytes without gaps.
#[derive(Clone, Copy)]
pub struct FrameView<'a> {
    /// `3 * width_px * height_px` bytes.
    pub rgb: &'a [u8],
    /// Width in pixels.
    pub width_px: u32,
    /// Height in pixels.
    pub height_px: u32,
    /// Session, 0 for a single picture.
    pub session: u64,
    /// Counts up within a session.
    pub sequence: u64,
    /// Microseconds of the client's clock.
    pub captured_at_micros: u64,
}

/// The planes that a call fills, each `width_px * height_px` bytes.
pub struct MaskPlanes<'a> {
    /// Width of the mask in pixels.
    pub width_px: u32,
    /// Height of the mask in pixels.
    pub height_px: u32,
    /// Class ids.
    pub labels: &'a mut [u8],
    /// Confidence of the winning class; `None` when nobody asked.
    pub confidence: Option<&'a mut [u8]>,
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

/// A call that another thread may cancel.
#[derive(Default)]
pub struct RunningCall(OnceLock<(&'static HostTable, u64)>);

impl RunningCall {
    /// Tells the backend, if the call has begun and is not over, that nobody waits for it.
    pub fn cancel(&self) {
        if let Some((host, token)) = self.0.get() {
            host.cancel(*token);
        }
    }

    fn start(&self, host: &'static HostTable, token: u64) {
        // One of these is for one call.
        let _ = self.0.set((host, token));
    }
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
}

/// A loaded model, ready to be called from one thread at a time.
pub struct Instance {
    library: Arc<Library>,
    pointer: *mut c_void,
    slot: usize,
    info: InstanceInfo,
}

// SAFETY: the ABI lets an instance be called from any thread, one at a time; `&mut self` and ownership see to that.
unsafe impl Send for Instance {}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance").field("plugin", &self.library.descriptor.name).finish_non_exhaustive()
    }
}

impl Instance {
    /// Loads the model. Takes as long as that takes.
    pub fn create(library: &Arc<Library>, spec: &ModelSpec) -> Result<Self, InstanceError> {
        let create = library.plugin.create.ok_or(InstanceError::Incomplete("create"))?;
        let slot = library.host.take_slot().ok_or(InstanceError::TooMany)?;
        let weights = spec.weights.as_ref().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
        let labels: Vec<_> = spec.classes.iter().map(|(label, _)| abi::Text::borrow(label)).collect();
        let palette: Vec<_> =
            spec.classes.iter().map(|&(_, [red, green, blue])| abi::Rgb { red, green, blue }).collect();
        let model = abi::Model {
            struct_size: size_of::<abi::Model>() as u32,
            max_threads: spec.max_threads,
            name: abi::Text::borrow(&spec.name),
            weights: abi::Text::borrow(&weights),
            labels: pointer_or_null(&labels),
            palette: pointer_or_null(&palette),
            classes: labels.len() as u32,
            reserved: 0,
            settings: abi::Text::borrow(&spec.settings_json),
        };
        let mut pointer = std::ptr::null_mut();
        let created = call(|error| {
            // SAFETY: every pointer lives through the call; the host table lives for good.
            unsafe { create(&raw const library.host.table, &raw const model, &raw mut pointer, error) }
        });
        let is_missing = pointer.is_null();
        if let Err(error) = created.and_then(|()| match is_missing {
            true => Err(InstanceError::BrokeContract("it made no instance and reported no failure".into())),
            false => Ok(()),
        }) {
            library.host.free_slot(slot);
            return Err(error);
        }
        let info = InstanceInfo {
            labels: Vec::new(),
            palette: Vec::new(),
            input_size_px: None,
            has_confidence: false,
            memory_bytes: 0,
        };
        let mut instance = Self { library: Arc::clone(library), pointer, slot, info };
        instance.info = instance.ask_info()?;
        Ok(instance)
    }

    /// What the model says of itself.
    pub fn info(&self) -> &InstanceInfo {
        &self.info
    }

    /// Pays for what the first frames would otherwise pay for.
    pub fn warm_up(&mut self) -> Result<(), InstanceError> {
        let Some(warm_up) = self.library.plugin.warm_up else { return Ok(()) };
        // SAFETY: the instance is alive, and no other call of it is running.
        call(|error| unsafe { warm_up(self.pointer, error) })
    }

    /// Segments `frame` into `planes`; `running` can cancel it meanwhile.
    pub fn infer(
        &mut self,
        frame: &FrameView<'_>,
        planes: &mut MaskPlanes<'_>,
        running: &RunningCall,
    ) -> Result<StageMicros, InstanceError> {
        let infer = self.library.plugin.infer.ok_or(InstanceError::Incomplete("infer"))?;
        check_sizes(frame, planes)?;
        let host = self.library.host;
        let token = host.begin(self.slot);
        running.start(host, token);
        let raw_frame = abi::Frame {
            struct_size: size_of::<abi::Frame>() as u32,
            format: abi::FORMAT_RGB8,
            width_px: frame.width_px,
            height_px: frame.height_px,
            stride_bytes: 3 * frame.width_px,
            reserved: 0,
            data: frame.rgb.as_ptr(),
            len_bytes: frame.rgb.len(),
            captured_at_micros: frame.captured_at_micros,
            sequence: frame.sequence,
            session: frame.session,
            token,
            deadline_nanos: 0,
        };
        let (confidence, confidence_len_bytes) = match &mut planes.confidence {
            Some(plane) => (plane.as_mut_ptr(), plane.len()),
            None => (std::ptr::null_mut(), 0),
        };
        let mut output = abi::Output {
            struct_size: size_of::<abi::Output>() as u32,
            width_px: planes.width_px,
            height_px: planes.height_px,
            written: 0,
            labels: planes.labels.as_mut_ptr(),
            labels_len_bytes: planes.labels.len(),
            confidence,
            confidence_len_bytes,
        };
        // SAFETY: the instance is alive and no other call of it is running; frame, output and the planes behind
        // them live through the call and have the sizes that they state.
        let result = call(|error| unsafe { infer(self.pointer, &raw const raw_frame, &raw mut output, error) });
        let [preprocess, forward, postprocess] = host.end(self.slot).map(to_micros);
        result?;
        self.check_output(output.written, planes.labels)?;
        Ok(StageMicros { preprocess, forward, postprocess })
    }

    /// Class ids become indices later, so none may be out of range.
    fn check_output(&self, written: u32, labels: &[u8]) -> Result<(), InstanceError> {
        if written != 1 {
            return Err(InstanceError::BrokeContract("it returned without a mask".into()));
        }
        let (largest, classes) = (labels.iter().copied().max().unwrap_or(0), self.info.labels.len());
        if usize::from(largest) < classes {
            return Ok(());
        }
        Err(InstanceError::BrokeContract(format!("its mask has class {largest}, and it has {classes} classes")))
    }

    fn ask_info(&self) -> Result<InstanceInfo, InstanceError> {
        let info = self.library.plugin.info.ok_or(InstanceError::Incomplete("info"))?;
        let mut raw = abi::BackendInfo::UNFILLED;
        // SAFETY: the instance is alive, and `raw` is ours.
        call(|error| unsafe { info(self.pointer, &raw mut raw, error) })?;
        let classes = raw.classes as usize;
        if !(1..=256).contains(&classes) || raw.labels.is_null() || raw.palette.is_null() {
            return Err(InstanceError::BrokeContract(format!("it states {classes} classes, or no labels for them")));
        }
        // SAFETY: the ABI has both arrays hold `classes` elements until `destroy`.
        let (labels, palette) = unsafe {
            (std::slice::from_raw_parts(raw.labels, classes), std::slice::from_raw_parts(raw.palette, classes))
        };
        Ok(InstanceInfo {
            labels: labels.iter().map(show).collect(),
            palette: palette.iter().map(|colour| [colour.red, colour.green, colour.blue]).collect(),
            input_size_px: (raw.input_width_px > 0).then_some((raw.input_width_px, raw.input_height_px)),
            has_confidence: raw.has_confidence != 0,
            memory_bytes: raw.memory_bytes,
        })
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(destroy) = self.library.plugin.destroy {
            // SAFETY: the instance came from `create`, and this is its last use.
            unsafe { destroy(self.pointer) };
        }
        self.library.host.free_slot(self.slot);
    }
}

fn check_sizes(frame: &FrameView<'_>, planes: &MaskPlanes<'_>) -> Result<(), InstanceError> {
    let pixels = planes.width_px as usize * planes.height_px as usize;
    let whole_frame = frame.rgb.len() == 3 * frame.width_px as usize * frame.height_px as usize;
    let whole_planes =
        planes.labels.len() == pixels && planes.confidence.as_ref().is_none_or(|confidence| confidence.len() == pixels);
    if whole_frame && whole_planes && pixels > 0 && !frame.rgb.is_empty() {
        return Ok(());
    }
    Err(InstanceError::Failed("the server handed over a frame or a mask of the wrong size".into()))
}

fn call(run: impl FnOnce(*mut abi::TextBuffer) -> i32) -> Result<(), InstanceError> {
    let mut text = [0_u8; REASON_LEN_BYTES];
    let mut buffer = abi::TextBuffer { data: text.as_mut_ptr(), capacity_bytes: text.len(), len_bytes: 0 };
    let status = run(&raw mut buffer);
    let reason = || String::from_utf8_lossy(&text[..buffer.len_bytes.min(REASON_LEN_BYTES)]).into_owned();
    match status {
        abi::STATUS_OK => Ok(()),
        abi::STATUS_FAILED => Err(InstanceError::Failed(reason())),
        abi::STATUS_CANCELLED => Err(InstanceError::Cancelled),
        abi::STATUS_PANICKED => Err(InstanceError::Panicked(reason())),
        other => Err(InstanceError::BrokeContract(format!("it returned the unknown status {other}"))),
    }
}

/// The ABI has null stand for none; the pointer of an empty slice is not null.
fn pointer_or_null<T>(slice: &[T]) -> *const T {
    if slice.is_empty() { std::ptr::null() } else { slice.as_ptr() }
}

fn to_micros(nanos: u64) -> u32 {
    u32::try_from(nanos / 1000).unwrap_or(u32::MAX)
}

//! One instance of a backend in this process: create, ask, call, destroy.

use std::{ffi::c_void, path::Path, sync::Arc};

use segue_abi as abi;

use super::{
    callbacks::show,
    find::PluginFile,
    instance::{CallInProgress, FrameCall, InstanceError, InstanceInfo, ModelSpec, Planes, RunningCall, StageMicros},
    open::{Library, OpenError},
    program,
};
use crate::copies::Copies;

/// Longest reason that a plugin can give.
pub(super) const REASON_LEN_BYTES: usize = 2048;

/// Room for a frame beyond this is given back: one huge picture must not be paid for ever after.
pub(super) const KEPT_LEN_BYTES: usize = 32 << 20;

/// A loaded model, ready to be called from one thread at a time.
pub struct Direct {
    library: Arc<Library>,
    pointer: *mut c_void,
    slot: usize,
    info: InstanceInfo,
    rgb: Vec<u8>,
    pub(super) planes: Planes,
}

// SAFETY: the ABI lets an instance be called from any thread, one at a time; `&mut self` and ownership see to that.
unsafe impl Send for Direct {}

/// Where a frame and its planes lie.
pub(super) struct PlanePointers {
    pub(super) frame: *const u8,
    pub(super) frame_len_bytes: usize,
    pub(super) labels: *mut u8,
    /// Null when nobody wants it.
    pub(super) confidence: *mut u8,
}

impl Direct {
    /// Loads the model. Takes as long as that takes.
    pub(super) fn create(library: &Arc<Library>, spec: &ModelSpec) -> Result<Self, InstanceError> {
        let create = library.plugin.create.ok_or(InstanceError::Incomplete("create"))?;
        let slot = library.host.take_slot().ok_or(InstanceError::TooMany)?;
        let weights =
            spec.weights.as_ref().map(|weights| weights.path.to_string_lossy().into_owned()).unwrap_or_default();
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
        let library = Arc::clone(library);
        let mut direct = Self { library, pointer, slot, info, rgb: Vec::new(), planes: Planes::default() };
        direct.info = direct.ask_info()?;
        Ok(direct)
    }

    /// What the model says of itself.
    pub(super) fn info(&self) -> &InstanceInfo {
        &self.info
    }

    /// Pays for what the first frames would otherwise pay for.
    pub(super) fn warm_up(&mut self) -> Result<(), InstanceError> {
        let Some(warm_up) = self.library.plugin.warm_up else { return Ok(()) };
        // SAFETY: the instance is alive, and no other call of it is running.
        call(|error| unsafe { warm_up(self.pointer, error) })
    }

    /// Room for the next frame.
    pub(super) fn frame_room(&mut self, len_bytes: usize) -> &mut [u8] {
        if self.rgb.capacity() > KEPT_LEN_BYTES {
            self.rgb = Vec::new();
        }
        self.rgb.resize(len_bytes, 0);
        &mut self.rgb
    }

    /// The frame in its room.
    pub(super) fn frame(&self) -> &[u8] {
        &self.rgb
    }

    /// Segments the frame in its room into the planes; `running` can cancel it meanwhile.
    pub(super) fn infer(&mut self, call: &FrameCall, running: &RunningCall) -> Result<StageMicros, InstanceError> {
        let pixels = call.mask_len_bytes();
        let Planes { labels, confidence } = &mut self.planes;
        // Whatever a backend leaves unwritten must not be another session's mask.
        labels.clear();
        labels.resize(pixels, 0);
        confidence.resize(if call.wants_confidence { pixels } else { 0 }, 0);
        let pointers = PlanePointers {
            frame: self.rgb.as_ptr(),
            frame_len_bytes: self.rgb.len(),
            labels: labels.as_mut_ptr(),
            confidence: if call.wants_confidence { confidence.as_mut_ptr() } else { std::ptr::null_mut() },
        };
        // SAFETY: the pointers are of this instance's own buffers, which have the lengths that the call states.
        let stages = unsafe { self.infer_at(call, &pointers, running) }?;
        self.planes.check(self.info.labels.len())?;
        Ok(stages)
    }

    /// Segments the frame at `pointers` into the planes there.
    ///
    /// # Safety
    /// The planes have the sizes that `call` states, and live through the call.
    pub(super) unsafe fn infer_at(
        &mut self,
        wanted: &FrameCall,
        pointers: &PlanePointers,
        running: &RunningCall,
    ) -> Result<StageMicros, InstanceError> {
        let infer = self.library.plugin.infer.ok_or(InstanceError::Incomplete("infer"))?;
        if pointers.frame_len_bytes != wanted.frame_len_bytes()
            || pointers.frame_len_bytes == 0
            || wanted.mask_len_bytes() == 0
        {
            return Err(InstanceError::Failed("the server handed over a frame or a mask of the wrong size".into()));
        }
        let host = self.library.host;
        let token = host.begin(self.slot);
        running.start(CallInProgress::Direct(host, token));
        let raw_frame = abi::Frame {
            struct_size: size_of::<abi::Frame>() as u32,
            format: abi::FORMAT_RGB8,
            width_px: wanted.width_px,
            height_px: wanted.height_px,
            stride_bytes: 3 * wanted.width_px,
            reserved: 0,
            data: pointers.frame,
            len_bytes: pointers.frame_len_bytes,
            captured_at_micros: wanted.captured_at_micros,
            sequence: wanted.sequence,
            session: wanted.session,
            token,
            deadline_nanos: 0,
            trace_id: wanted.trace.trace_id,
            span_id: wanted.trace.span_id,
            trace_flags: wanted.trace.flags,
            reserved_2: 0,
        };
        let mut output = abi::Output {
            struct_size: size_of::<abi::Output>() as u32,
            width_px: wanted.mask_width_px,
            height_px: wanted.mask_height_px,
            written: 0,
            labels: pointers.labels,
            labels_len_bytes: wanted.mask_len_bytes(),
            confidence: pointers.confidence,
            confidence_len_bytes: if pointers.confidence.is_null() { 0 } else { wanted.mask_len_bytes() },
        };
        // SAFETY: the instance is alive and no other call of it is running; frame, output and the planes behind
        // them live through the call and have the sizes that they state.
        let result = call(|error| unsafe { infer(self.pointer, &raw const raw_frame, &raw mut output, error) });
        let [preprocess, forward, postprocess] = host.end(self.slot).map(to_micros);
        result?;
        if output.written != 1 {
            return Err(InstanceError::BrokeContract("it returned without a mask".into()));
        }
        Ok(StageMicros { preprocess, forward, postprocess })
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

impl Drop for Direct {
    fn drop(&mut self) {
        if let Some(destroy) = self.library.plugin.destroy {
            // SAFETY: the instance came from `create`, and this is its last use.
            unsafe { destroy(self.pointer) };
        }
        self.library.host.free_slot(self.slot);
    }
}

/// Longest entry of the catalog that a plugin can propose.
const ENTRY_LEN_BYTES: usize = 1 << 20;

/// An entry of the catalog, as TOML, for the model in `file`; `None` when that is no kind of file that the plugin reads. A private copy
/// of the plugin is made in `copies`, and run in this process.
pub fn propose(plugin: &PluginFile, copies: &Copies, file: &Path) -> Result<Option<String>, InstanceError> {
    if plugin.descriptor.is_program {
        let copy = copies.keep(&plugin.path, &plugin.sha256).map_err(OpenError::from)?;
        return program::propose(copy.path(), file).map_err(InstanceError::Failed);
    }
    let library = Library::open(plugin, copies)?;
    let Some(propose) = library.plugin.propose else { return Ok(None) };
    let file = file.to_string_lossy();
    let mut text = vec![0_u8; ENTRY_LEN_BYTES];
    let mut entry = abi::TextBuffer { data: text.as_mut_ptr(), capacity_bytes: text.len(), len_bytes: 0 };
    // SAFETY: every pointer lives through the call; the host table lives for good.
    call(|error| unsafe { propose(&raw const library.host.table, abi::Text::borrow(&file), &raw mut entry, error) })?;
    text.truncate(entry.len_bytes.min(ENTRY_LEN_BYTES));
    Ok((!text.is_empty()).then(|| String::from_utf8_lossy(&text).into_owned()))
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

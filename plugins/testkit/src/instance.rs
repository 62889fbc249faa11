//! One instance of the plugin under test, called as the server calls it, over memory with guard bytes.

use std::{
    ffi::c_void,
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use segue_abi as abi;

use crate::{ModelUnderTest, frame::TestFrame, host, options::SizePx};

/// Bytes before and behind every output plane that must stay as they are: more than the widest row.
const GUARD_LEN_BYTES: usize = 4096 + 64;
const GUARD: u8 = 0xA5;

/// What a plane of labels holds before the call: the last class that a backend could have.
const UNWRITTEN_LABEL: u8 = 0xFF;
/// What a plane of confidences holds before the call.
pub(crate) const UNWRITTEN_CONFIDENCE: u8 = 0xA5;

/// Room for the reason of a failure.
const REASON_LEN_BYTES: usize = 2048;

/// What `infer` left behind.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Inference {
    pub(crate) status: i32,
    pub(crate) error: String,
    pub(crate) written: u32,
    pub(crate) labels: Vec<u8>,
    pub(crate) confidence: Vec<u8>,
    pub(crate) overran: bool,
}

impl Inference {
    /// Whether it is a mask of classes below `classes`, and nothing else was written.
    pub(crate) fn expect_mask(&self, classes: u32) -> Result<(), String> {
        if self.status != abi::STATUS_OK {
            return Err(format!("it ended with {}", Refusal { status: self.status, reason: self.error.clone() }));
        }
        if self.written != 1 {
            return Err(format!("it returned OK, and `written` is {}", self.written));
        }
        if self.overran {
            return Err("it wrote beyond the mask".into());
        }
        match self.labels.iter().position(|&id| u32::from(id) >= classes) {
            Some(at) if self.labels[at] == UNWRITTEN_LABEL => Err(format!("pixel {at} was not written")),
            Some(at) => Err(format!("pixel {at} is of class {}, and there are {classes} classes", self.labels[at])),
            None => Ok(()),
        }
    }
}

/// A call that did not end with OK.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: i32,
    pub(crate) reason: String,
}

impl Refusal {
    /// Whether it is what the ABI has a plugin do when it can't do what it is asked.
    pub(crate) fn expect_reason(&self) -> Result<(), String> {
        match self.status {
            abi::STATUS_FAILED | abi::STATUS_PANICKED if !self.reason.is_empty() => Ok(()),
            abi::STATUS_FAILED | abi::STATUS_PANICKED => Err(format!("it gives no reason with {self}")),
            _ => Err(format!("it ended with {self}; FAILED or PANICKED is expected")),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            abi::STATUS_OK => f.write_str("status OK"),
            abi::STATUS_FAILED => f.write_str("status FAILED"),
            abi::STATUS_CANCELLED => f.write_str("status CANCELLED"),
            abi::STATUS_PANICKED => f.write_str("status PANICKED"),
            unknown => write!(f, "the unknown status {unknown}"),
        }?;
        if self.reason.is_empty() { Ok(()) } else { write!(f, " ({})", self.reason) }
    }
}

/// An instance, destroyed when it is dropped.
pub(crate) struct Instance<'a> {
    plugin: &'a abi::Plugin,
    pointer: *mut c_void,
}

// SAFETY: the ABI lets an instance be called from any thread; the checks call one from as many at once as it says.
unsafe impl Send for Instance<'_> {}
// SAFETY: as above.
unsafe impl Sync for Instance<'_> {}

impl<'a> Instance<'a> {
    /// Calls `create`.
    pub(crate) fn create(plugin: &'a abi::Plugin, model: &ModelUnderTest) -> Result<Self, Refusal> {
        let broken = |reason: &str| Refusal { status: abi::STATUS_OK, reason: reason.into() };
        let create = plugin.create.ok_or_else(|| broken("the descriptor has no `create`"))?;
        let weights = model.weights.as_ref().map(|path| path.to_string_lossy()).unwrap_or_default();
        let labels: Vec<_> = model.classes.iter().map(|(label, _)| abi::Text::borrow(label)).collect();
        let palette: Vec<_> =
            model.classes.iter().map(|&(_, [red, green, blue])| abi::Rgb { red, green, blue }).collect();
        let raw = abi::Model {
            struct_size: size_of::<abi::Model>() as u32,
            max_threads: model.max_threads,
            name: abi::Text::borrow(&model.name),
            weights: abi::Text::borrow(&weights),
            labels: pointer_or_null(&labels),
            palette: pointer_or_null(&palette),
            classes: labels.len() as u32,
            reserved: 0,
            settings: abi::Text::borrow(&model.settings_json),
        };
        let mut pointer = std::ptr::null_mut();
        ok_or_refusal(with_error(|error| {
            // SAFETY: all arguments live through the call; the host table is static.
            unsafe { create(&raw const host::HOST.0, &raw const raw, &raw mut pointer, error) }
        }))?;
        if pointer.is_null() { Err(broken("there is no instance")) } else { Ok(Self { plugin, pointer }) }
    }

    /// Calls `info`.
    pub(crate) fn info(&self) -> Result<abi::BackendInfo, String> {
        let info = self.plugin.info.ok_or("the descriptor has no `info`")?;
        let mut out = abi::BackendInfo::UNFILLED;
        // SAFETY: the instance is alive, and `out` is ours.
        let called = with_error(|error| unsafe { info(self.pointer, &raw mut out, error) });
        ok_or_refusal(called).map_err(|refusal| format!("`info` ended with {refusal}"))?;
        Ok(out)
    }

    /// Calls `warm_up`, if there is one.
    pub(crate) fn warm_up(&self) -> Result<(), String> {
        let Some(warm_up) = self.plugin.warm_up else { return Ok(()) };
        // SAFETY: the instance is alive.
        let called = with_error(|error| unsafe { warm_up(self.pointer, error) });
        ok_or_refusal(called).map_err(|refusal| format!("`warm_up` ended with {refusal}"))
    }

    /// Calls `infer` for a mask of this size.
    pub(crate) fn infer(&self, frame: &TestFrame, mask_size_px: SizePx, confidence: bool) -> Inference {
        self.infer_as(new_token(), frame, mask_size_px, confidence)
    }

    /// [`infer`](Self::infer) under a token of the caller's.
    pub(crate) fn infer_as(
        &self,
        token: u64,
        frame: &TestFrame,
        (width_px, height_px): SizePx,
        confidence: bool,
    ) -> Inference {
        let raw = raw_frame(frame, token);
        let pixels = width_px as usize * height_px as usize;
        let mut labels = GuardedPlane::new(pixels, UNWRITTEN_LABEL);
        let mut certainty = GuardedPlane::new(if confidence { pixels } else { 0 }, UNWRITTEN_CONFIDENCE);
        let mut output = abi::Output {
            struct_size: size_of::<abi::Output>() as u32,
            width_px,
            height_px,
            written: 0,
            labels: labels.start(),
            labels_len_bytes: pixels,
            confidence: if confidence { certainty.start() } else { std::ptr::null_mut() },
            confidence_len_bytes: if confidence { pixels } else { 0 },
        };
        let (status, error) = match self.plugin.infer {
            // SAFETY: the instance is alive; frame, output and their planes live through the call.
            Some(infer) => with_error(|error| unsafe { infer(self.pointer, &raw const raw, &raw mut output, error) }),
            None => (abi::STATUS_FAILED, "the descriptor has no `infer`".into()),
        };
        let overran = !labels.is_guarded() || !certainty.is_guarded();
        let (labels, confidence) = (labels.into_content(), certainty.into_content());
        Inference { status, error, written: output.written, labels, confidence, overran }
    }
}

impl Drop for Instance<'_> {
    fn drop(&mut self) {
        if let Some(destroy) = self.plugin.destroy {
            // SAFETY: the instance came from `create`, and this is its last use.
            unsafe { destroy(self.pointer) };
        }
    }
}

/// A token that no other call has.
pub(crate) fn new_token() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn raw_frame(frame: &TestFrame, token: u64) -> abi::Frame {
    abi::Frame {
        struct_size: size_of::<abi::Frame>() as u32,
        format: frame.format,
        width_px: frame.size_px.0,
        height_px: frame.size_px.1,
        stride_bytes: frame.stride_bytes,
        reserved: 0,
        data: frame.data.as_ptr(),
        len_bytes: frame.data.len(),
        captured_at_micros: 0,
        sequence: token,
        session: 0,
        token,
        deadline_nanos: 0,
        trace_id: [0; 16],
        span_id: [0; 8],
        trace_flags: 0,
        reserved_2: 0,
    }
}

/// An output plane between guard bytes.
struct GuardedPlane(Vec<u8>);

impl GuardedPlane {
    fn new(len_bytes: usize, unwritten: u8) -> Self {
        let mut bytes = vec![unwritten; len_bytes + 2 * GUARD_LEN_BYTES];
        bytes[..GUARD_LEN_BYTES].fill(GUARD);
        bytes[GUARD_LEN_BYTES + len_bytes..].fill(GUARD);
        Self(bytes)
    }

    fn start(&mut self) -> *mut u8 {
        // Not of a shorter slice: whoever writes beyond the plane still writes into this memory.
        self.0.as_mut_ptr().wrapping_add(GUARD_LEN_BYTES)
    }

    fn is_guarded(&self) -> bool {
        let (before, rest) = self.0.split_at(GUARD_LEN_BYTES);
        let behind = &rest[rest.len() - GUARD_LEN_BYTES..];
        before.iter().chain(behind).all(|&byte| byte == GUARD)
    }

    fn into_content(mut self) -> Vec<u8> {
        self.0.truncate(self.0.len() - GUARD_LEN_BYTES);
        self.0.drain(..GUARD_LEN_BYTES);
        self.0
    }
}

fn with_error(call: impl FnOnce(*mut abi::TextBuffer) -> i32) -> (i32, String) {
    let mut text = vec![0; REASON_LEN_BYTES];
    let mut buffer = abi::TextBuffer { data: text.as_mut_ptr(), capacity_bytes: text.len(), len_bytes: 0 };
    let status = call(&raw mut buffer);
    text.truncate(buffer.len_bytes);
    (status, String::from_utf8_lossy(&text).into_owned())
}

fn ok_or_refusal((status, reason): (i32, String)) -> Result<(), Refusal> {
    if status == abi::STATUS_OK { Ok(()) } else { Err(Refusal { status, reason }) }
}

/// The ABI has null stand for none; the pointer of an empty slice is not null.
fn pointer_or_null<T>(slice: &[T]) -> *const T {
    if slice.is_empty() { std::ptr::null() } else { slice.as_ptr() }
}

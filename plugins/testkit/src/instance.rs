//! One instance of the plugin under test, called as the server calls it, over memory with guard bytes.

use std::{
    ffi::c_void,
    sync::atomic::{AtomicU64, Ordering},
};

use segue_abi as abi;

use crate::{ModelUnderTest, host};

/// Bytes behind every output plane that must stay as they are.
const GUARD_LEN_BYTES: usize = 64;
pub(crate) const GUARD: u8 = 0xA5;

/// A frame of made-up pixels, the same for the same sizes.
#[derive(Clone)]
pub(crate) struct TestFrame {
    pub(crate) width_px: u32,
    pub(crate) height_px: u32,
    pub(crate) stride_bytes: u32,
    pub(crate) data: Vec<u8>,
}

impl TestFrame {
    /// Pixels that depend on their place alone; the gap between rows is filled with `gap`.
    pub(crate) fn new(width_px: u32, height_px: u32, gap_len_bytes: u32, gap: u8) -> Self {
        let stride_bytes = 3 * width_px + gap_len_bytes;
        let mut data = vec![gap; (stride_bytes * height_px) as usize];
        for y in 0..height_px {
            for x in 0..width_px {
                let at = (y * stride_bytes + 3 * x) as usize;
                data[at..at + 3].copy_from_slice(&[(x * 7 + y) as u8, (x ^ y) as u8, (y * 5) as u8]);
            }
        }
        Self { width_px, height_px, stride_bytes, data }
    }
}

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

/// An instance, destroyed when it is dropped.
pub(crate) struct Instance<'a> {
    plugin: &'a abi::Plugin,
    pointer: *mut c_void,
}

impl<'a> Instance<'a> {
    /// Calls `create`.
    pub(crate) fn create(plugin: &'a abi::Plugin, model: &ModelUnderTest) -> Result<Self, String> {
        let create = plugin.create.ok_or("the descriptor has no `create`")?;
        let weights = model.weights.as_ref().map(|path| path.to_string_lossy()).unwrap_or_default();
        let raw = abi::Model {
            struct_size: size_of::<abi::Model>() as u32,
            max_threads: model.max_threads,
            name: abi::Text::borrow("under-test"),
            weights: abi::Text::borrow(&weights),
            labels: std::ptr::null(),
            palette: std::ptr::null(),
            classes: 0,
            reserved: 0,
            settings: abi::Text::borrow(&model.settings_json),
        };
        let mut pointer = std::ptr::null_mut();
        let (status, error) = with_error(|error| {
            // SAFETY: all arguments live through the call; the host table is static.
            unsafe { create(&raw const host::HOST.0, &raw const raw, &raw mut pointer, error) }
        });
        match status {
            abi::STATUS_OK if !pointer.is_null() => Ok(Self { plugin, pointer }),
            abi::STATUS_OK => Err("`create` returned OK and no instance".into()),
            _ => Err(format!("`create` failed: {error}")),
        }
    }

    /// Calls `info`.
    pub(crate) fn info(&self) -> Result<abi::BackendInfo, String> {
        let info = self.plugin.info.ok_or("the descriptor has no `info`")?;
        let mut out = abi::BackendInfo::UNFILLED;
        // SAFETY: the instance is alive, and `out` is ours.
        let (status, error) = with_error(|error| unsafe { info(self.pointer, &raw mut out, error) });
        if status == abi::STATUS_OK { Ok(out) } else { Err(format!("`info` failed: {error}")) }
    }

    /// Calls `warm_up`, if there is one.
    pub(crate) fn warm_up(&self) -> Result<(), String> {
        let Some(warm_up) = self.plugin.warm_up else { return Ok(()) };
        // SAFETY: the instance is alive.
        let (status, error) = with_error(|error| unsafe { warm_up(self.pointer, error) });
        if status == abi::STATUS_OK { Ok(()) } else { Err(error) }
    }

    /// Calls `infer` for a mask of this size, with guard bytes behind both planes.
    pub(crate) fn infer(&self, frame: &TestFrame, mask_size_px: (u32, u32), confidence: bool) -> Inference {
        self.infer_as(new_token(), frame, mask_size_px, confidence)
    }

    /// [`infer`](Self::infer) under a token of the caller's.
    pub(crate) fn infer_as(
        &self,
        token: u64,
        frame: &TestFrame,
        (width_px, height_px): (u32, u32),
        confidence: bool,
    ) -> Inference {
        let raw = abi::Frame {
            struct_size: size_of::<abi::Frame>() as u32,
            format: abi::FORMAT_RGB8,
            width_px: frame.width_px,
            height_px: frame.height_px,
            stride_bytes: frame.stride_bytes,
            reserved: 0,
            data: frame.data.as_ptr(),
            len_bytes: frame.data.len(),
            captured_at_micros: 0,
            sequence: token,
            session: 0,
            token,
            deadline_nanos: 0,
        };
        let pixels = width_px as usize * height_px as usize;
        let mut labels = guarded_plane(pixels);
        let mut certainty = guarded_plane(pixels);
        let mut output = abi::Output {
            struct_size: size_of::<abi::Output>() as u32,
            width_px,
            height_px,
            written: 0,
            labels: labels.as_mut_ptr(),
            labels_len_bytes: pixels,
            confidence: if confidence { certainty.as_mut_ptr() } else { std::ptr::null_mut() },
            confidence_len_bytes: if confidence { pixels } else { 0 },
        };
        let (status, error) = match self.plugin.infer {
            // SAFETY: the instance is alive; frame, output and their planes live through the call.
            Some(infer) => with_error(|error| unsafe { infer(self.pointer, &raw const raw, &raw mut output, error) }),
            None => (abi::STATUS_FAILED, "the descriptor has no `infer`".into()),
        };
        let overran = [&labels, &certainty].iter().any(|plane| plane[pixels..].iter().any(|&byte| byte != GUARD));
        labels.truncate(pixels);
        certainty.truncate(pixels);
        Inference { status, error, written: output.written, labels, confidence: certainty, overran }
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

fn guarded_plane(len_bytes: usize) -> Vec<u8> {
    vec![GUARD; len_bytes + GUARD_LEN_BYTES]
}

fn with_error(call: impl FnOnce(*mut abi::TextBuffer) -> i32) -> (i32, String) {
    let mut text = vec![0; 4096];
    let mut buffer = abi::TextBuffer { data: text.as_mut_ptr(), capacity_bytes: text.len(), len_bytes: 0 };
    let status = call(&raw mut buffer);
    text.truncate(buffer.len_bytes);
    (status, String::from_utf8_lossy(&text).into_owned())
}

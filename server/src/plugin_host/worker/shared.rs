//! The memory that server and worker share: what a call is about, the frame, the planes.
//!
//! It is as large as the largest frame could be, and costs what was written to it.

use std::{
    ffi::c_void,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    ptr::NonNull,
    sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering},
};

use rustix::{
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create},
    io::{self, Errno},
    mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap},
};

use super::super::{
    direct::{KEPT_LEN_BYTES, REASON_LEN_BYTES},
    instance::{FrameCall, StageMicros, TraceContext},
};

const CONTROL_LEN_BYTES: usize = 4096;
/// Three bytes for each pixel of the largest picture that a profile can allow.
const FRAME_LEN_BYTES: usize = 3 * 268_435_456;
/// A mask is at most 4096 pixels wide and high.
const PLANE_LEN_BYTES: usize = 4096 * 4096;
const LEN_BYTES: usize = CONTROL_LEN_BYTES + FRAME_LEN_BYTES + 2 * PLANE_LEN_BYTES;

/// What both sides say of a call. Only the server writes the first half, only the worker the second.
#[repr(C)]
pub(crate) struct Control {
    frame_size_px: [AtomicU32; 2],
    mask_size_px: [AtomicU32; 2],
    wants_confidence: AtomicU32,
    trace_flags: AtomicU32,
    trace_id: [AtomicU64; 2],
    span_id: AtomicU64,
    session: AtomicU64,
    sequence: AtomicU64,
    captured_at_micros: AtomicU64,
    /// Number of the call.
    number: AtomicU64,
    /// Number of the call that nobody waits for any more.
    cancelled: AtomicU64,

    /// Number of the call that was answered last.
    answered: AtomicU64,
    status: AtomicU32,
    stage_micros: [AtomicU32; 3],
    reason_len_bytes: AtomicU32,
    reason: [AtomicU8; REASON_LEN_BYTES],
}

const _: () = assert!(size_of::<Control>() <= CONTROL_LEN_BYTES, "the control block has one page");

impl Control {
    /// Writes what the next call is about; its number.
    pub(super) fn begin(&self, call: &FrameCall) -> u64 {
        let put = |to: &[AtomicU32; 2], [width, height]: [u32; 2]| {
            to[0].store(width, Ordering::Relaxed);
            to[1].store(height, Ordering::Relaxed);
        };
        put(&self.frame_size_px, [call.width_px, call.height_px]);
        put(&self.mask_size_px, [call.mask_width_px, call.mask_height_px]);
        self.wants_confidence.store(call.wants_confidence.into(), Ordering::Relaxed);
        self.session.store(call.session, Ordering::Relaxed);
        self.sequence.store(call.sequence, Ordering::Relaxed);
        self.captured_at_micros.store(call.captured_at_micros, Ordering::Relaxed);
        let TraceContext { trace_id, span_id, flags } = call.trace;
        for (to, from) in self.trace_id.iter().zip(trace_id.as_chunks().0) {
            to.store(u64::from_ne_bytes(*from), Ordering::Relaxed);
        }
        self.span_id.store(u64::from_ne_bytes(span_id), Ordering::Relaxed);
        self.trace_flags.store(flags, Ordering::Relaxed);
        self.number.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// What the call is about, and its number.
    pub(super) fn read(&self) -> (FrameCall, u64) {
        let number = self.number.load(Ordering::Acquire);
        let get = |from: &[AtomicU32; 2]| [from[0].load(Ordering::Relaxed), from[1].load(Ordering::Relaxed)];
        let ([width_px, height_px], [mask_width_px, mask_height_px]) =
            (get(&self.frame_size_px), get(&self.mask_size_px));
        let call = FrameCall {
            width_px,
            height_px,
            mask_width_px,
            mask_height_px,
            wants_confidence: self.wants_confidence.load(Ordering::Relaxed) != 0,
            session: self.session.load(Ordering::Relaxed),
            sequence: self.sequence.load(Ordering::Relaxed),
            captured_at_micros: self.captured_at_micros.load(Ordering::Relaxed),
            trace: self.trace(),
        };
        (call, number)
    }

    fn trace(&self) -> TraceContext {
        let mut trace_id = [0; 16];
        for (to, from) in trace_id.as_chunks_mut().0.iter_mut().zip(&self.trace_id) {
            *to = from.load(Ordering::Relaxed).to_ne_bytes();
        }
        let span_id = self.span_id.load(Ordering::Relaxed).to_ne_bytes();
        TraceContext { trace_id, span_id, flags: self.trace_flags.load(Ordering::Relaxed) }
    }

    /// Says that nobody waits for the call `number`.
    pub(crate) fn cancel(&self, number: u64) {
        self.cancelled.store(number, Ordering::Release);
    }

    /// Whether nobody waits for the call that runs.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire) == self.number.load(Ordering::Acquire)
    }

    /// Writes the answer to the call `number`.
    pub(super) fn answer(&self, number: u64, status: i32, stages: StageMicros, reason: &str) {
        let reason = &reason.as_bytes()[..reason.len().min(REASON_LEN_BYTES)];
        for (to, from) in self.reason.iter().zip(reason) {
            to.store(*from, Ordering::Relaxed);
        }
        self.reason_len_bytes.store(reason.len() as u32, Ordering::Relaxed);
        let StageMicros { preprocess, forward, postprocess } = stages;
        for (to, from) in self.stage_micros.iter().zip([preprocess, forward, postprocess]) {
            to.store(from, Ordering::Relaxed);
        }
        self.status.store(status.cast_unsigned(), Ordering::Relaxed);
        self.answered.store(number, Ordering::Release);
    }

    /// The answer to the call `number`, once there is one.
    pub(super) fn answer_to(&self, number: u64) -> Option<(i32, StageMicros)> {
        if self.answered.load(Ordering::Acquire) != number {
            return None;
        }
        let [preprocess, forward, postprocess] =
            [0, 1, 2].map(|stage: usize| self.stage_micros[stage].load(Ordering::Relaxed));
        Some((self.status.load(Ordering::Relaxed).cast_signed(), StageMicros { preprocess, forward, postprocess }))
    }

    /// Why the last call failed, in the worker's words.
    pub(super) fn reason(&self) -> String {
        let len = (self.reason_len_bytes.load(Ordering::Relaxed) as usize).min(REASON_LEN_BYTES);
        let bytes: Vec<u8> = self.reason[..len].iter().map(|byte| byte.load(Ordering::Relaxed)).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// The mapping.
pub(in crate::plugin_host) struct SharedMemory {
    start: NonNull<u8>,
    file: OwnedFd,
}

// SAFETY: the mapping stays where it is for as long as this lives; what is shared of it changes by atomics, or has one
// user at a time, by `&mut` of the instance that owns it.
unsafe impl Send for SharedMemory {}
// SAFETY: see above.
unsafe impl Sync for SharedMemory {}

impl SharedMemory {
    /// New memory. Nobody can make it shorter: then touching it would end the server.
    pub(super) fn new() -> io::Result<Self> {
        let file = memfd_create("segue-frames", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&file, LEN_BYTES as u64)?;
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        Self::map(file)
    }

    /// Maps memory that [`Self::new`] made.
    pub(super) fn map(file: OwnedFd) -> io::Result<Self> {
        // SAFETY: a new mapping at an address that the kernel chooses harms none that is there.
        let start = unsafe {
            mmap(
                std::ptr::null_mut(),
                LEN_BYTES,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED | MapFlags::NORESERVE,
                &file,
                0,
            )?
        };
        let start = NonNull::new(start.cast::<u8>()).ok_or(Errno::NOMEM)?;
        Ok(Self { start, file })
    }

    pub(super) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// What both sides say of a call.
    pub(crate) fn control(&self) -> &Control {
        // SAFETY: the mapping begins with one page for it; all its fields are atomics, for which any bytes will do.
        unsafe { self.start.cast::<Control>().as_ref() }
    }

    /// Where the frame lies; `None` when it has more than `len_bytes` can be.
    pub(super) fn frame(&self, len_bytes: usize) -> Option<*mut u8> {
        (len_bytes <= FRAME_LEN_BYTES).then(|| self.at(CONTROL_LEN_BYTES))
    }

    /// Where the class ids lie, and the confidences; `None` when they have more than `len_bytes` can be.
    pub(super) fn planes(&self, len_bytes: usize) -> Option<(*mut u8, *mut u8)> {
        let labels = CONTROL_LEN_BYTES + FRAME_LEN_BYTES;
        (len_bytes <= PLANE_LEN_BYTES).then(|| (self.at(labels), self.at(labels + PLANE_LEN_BYTES)))
    }

    /// Gives back what a frame of `len_bytes` took beyond what is usual.
    pub(super) fn forget_frame_beyond_usual(&self, len_bytes: usize) {
        if len_bytes > KEPT_LEN_BYTES {
            let first = CONTROL_LEN_BYTES + KEPT_LEN_BYTES;
            let len = (FRAME_LEN_BYTES - KEPT_LEN_BYTES) & !(CONTROL_LEN_BYTES - 1);
            // SAFETY: the range lies within the mapping, and nobody holds a reference to it between two calls.
            // Failing to give memory back changes nothing.
            let _ = unsafe { madvise(self.at(first).cast::<c_void>(), len, Advice::LinuxRemove) };
        }
    }

    fn at(&self, offset: usize) -> *mut u8 {
        // SAFETY: every offset in this file is below LEN_BYTES.
        unsafe { self.start.as_ptr().add(offset) }
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and whoever uses it holds this alive.
        let _ = unsafe { munmap(self.start.as_ptr().cast::<c_void>(), LEN_BYTES) };
    }
}

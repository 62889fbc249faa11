//! The C ABI between the Segue server (the *host*) and a backend plugin (a shared library).
//!
//! A plugin exports one static, [`Plugin`], under the symbol [`PLUGIN_SYMBOL`]. The host reads it from the
//! file before the library is opened, so that a plugin of another ABI is refused without running its code.
//! Rust plugins never write any of this by hand: `segue-plugin` does, from the trait `Backend`.
//!
//! # Rules that hold everywhere
//!
//! - **Ownership.** The host owns every buffer. A pointer handed over in a call is borrowed until that call
//!   returns, unless its field says otherwise. Nothing allocated on one side is ever freed on the other.
//! - **Threading.** An instance is called from one thread at a time, not always the same one, unless
//!   [`BackendInfo::max_concurrency`] says more. Different instances are called from different threads at once.
//!   Every function of [`Host`] may be called from any thread, from the first `create` on for as long as the library
//!   is open.
//! - **Unwinding.** No panic and no C++ exception may cross a function of this ABI: catch it and return
//!   [`STATUS_PANICKED`].
//! - **Growth.** Structs only ever grow at their end. The side that fills a struct writes its `struct_size`;
//!   the side that reads one must not look beyond that size. A plugin works with every host of the same
//!   [`ABI_MAJOR`] whose minor number is at least the plugin's.
//! - **Text** is UTF-8, by pointer and length, with no terminating zero, except for the fixed arrays of
//!   [`Plugin`], which are padded with zeros.

#![allow(unsafe_code, reason = "this crate is the unsafe boundary: it declares the function pointers that cross it")]

use core::ffi::c_void;

/// `"SEGUEPLG"` as a little-endian number: the first eight bytes of every descriptor.
pub const MAGIC: u64 = 0x474C_5045_5547_4553;
// The header for C needs a literal.
const _: () = assert!(MAGIC == u64::from_le_bytes(*b"SEGUEPLG"));
/// A host refuses a plugin of another major number.
pub const ABI_MAJOR: u16 = 1;
/// A host refuses a plugin of a higher minor number.
pub const ABI_MINOR: u16 = 2;
/// The symbol under which the descriptor is exported; its number is [`ABI_MAJOR`].
pub const PLUGIN_SYMBOL: &str = "segue_plugin_v1";

/// No panic and no exception leaves a function of the plugin. A host refuses a plugin without it, such as one in Rust
/// with `panic = "abort"`; one in C has nothing to catch, and sets it.
pub const PLUGIN_PANIC_UNWIND: u32 = 1 << 0;
/// The plugin has no threads and no thread-local state left once its last instance is destroyed.
pub const PLUGIN_UNLOADABLE: u32 = 1 << 1;
/// Since 1.2. The plugin calls other machines: its processes may use the network, which is refused to all others.
pub const PLUGIN_NETWORK: u32 = 1 << 2;

/// The call did what it was asked to do.
pub const STATUS_OK: i32 = 0;
/// The call failed; the reason is in its [`TextBuffer`]. The instance stays usable.
pub const STATUS_FAILED: i32 = 1;
/// The call stopped early because [`Host::cancelled`] said so.
pub const STATUS_CANCELLED: i32 = 2;
/// The plugin panicked and caught it; the message is in the [`TextBuffer`]. The host destroys the instance.
pub const STATUS_PANICKED: i32 = 3;

/// Pixels of three bytes: red, green, blue.
pub const FORMAT_RGB8: u32 = 1;

/// Levels of [`Host::log`], the most urgent first.
pub const LOG_ERROR: u32 = 1;
/// See [`LOG_ERROR`].
pub const LOG_WARN: u32 = 2;
/// See [`LOG_ERROR`].
pub const LOG_INFO: u32 = 3;
/// See [`LOG_ERROR`].
pub const LOG_DEBUG: u32 = 4;
/// See [`LOG_ERROR`].
pub const LOG_TRACE: u32 = 5;

/// Stages of [`Host::stage`]: from the frame's pixels to the network's input.
pub const STAGE_PREPROCESS: u32 = 0;
/// See [`STAGE_PREPROCESS`]: the network itself.
pub const STAGE_FORWARD: u32 = 1;
/// See [`STAGE_PREPROCESS`]: from the network's scores to the mask.
pub const STAGE_POSTPROCESS: u32 = 2;
/// How many stages there are.
pub const STAGES: usize = 3;

/// A borrowed text.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Text {
    /// First byte; may be null when `len_bytes` is 0.
    pub data: *const u8,
    /// Length in bytes.
    pub len_bytes: usize,
}

impl Text {
    /// A view of `text`, valid as long as `text` is.
    pub const fn borrow(text: &str) -> Self {
        Self { data: text.as_ptr(), len_bytes: text.len() }
    }
}

/// A buffer of the host's into which a plugin writes a text: the reason of a failure, most often.
#[repr(C)]
#[derive(Debug)]
pub struct TextBuffer {
    /// First byte of the buffer.
    pub data: *mut u8,
    /// How many bytes fit; a longer text is cut.
    pub capacity_bytes: usize,
    /// How many bytes the plugin wrote. The host sets it to 0 before the call.
    pub len_bytes: usize,
}

/// A colour of a palette.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rgb {
    /// Red, 0 to 255.
    pub red: u8,
    /// Green, 0 to 255.
    pub green: u8,
    /// Blue, 0 to 255.
    pub blue: u8,
}

/// What a plugin may call. Lives as long as the library is open.
#[repr(C)]
pub struct Host {
    /// Size of this struct as the host knows it.
    pub struct_size: u32,
    /// The host's [`ABI_MINOR`].
    pub abi_minor: u32,
    /// Handed back as the first argument of every function below.
    pub context: *mut c_void,
    /// Nanoseconds of the host's monotonic clock, the one that [`Host::stage`] expects.
    pub now_nanos: extern "C" fn(context: *mut c_void) -> u64,
    /// Writes one line to the host's log. `target` names the part of the plugin that speaks.
    pub log: extern "C" fn(context: *mut c_void, level: u32, target: Text, message: Text),
    /// Reports that a stage of the frame `token` ran from `start_nanos` to `end_nanos`. Unknown tokens and
    /// stages are ignored; of a stage reported twice the times are added.
    pub stage: extern "C" fn(context: *mut c_void, token: u64, stage: u32, start_nanos: u64, end_nanos: u64),
    /// 1 when nobody waits for the frame `token` any more: return [`STATUS_CANCELLED`] soon. Else 0.
    pub cancelled: extern "C" fn(context: *mut c_void, token: u64) -> u32,
}

/// The model that an instance is created for: one file of the catalog, with the mode's settings.
#[repr(C)]
#[derive(Debug)]
pub struct Model {
    /// Size of this struct as the host knows it.
    pub struct_size: u32,
    /// How many threads the instance may keep busy, itself included; at least 1.
    pub max_threads: u32,
    /// Name in the catalog.
    pub name: Text,
    /// Path of the weights file, which the host has checked against its SHA-256; empty when there is none.
    pub weights: Text,
    /// Labels by class id, `classes` of them; null when the catalog gives none.
    pub labels: *const Text,
    /// Colours by class id, `classes` of them; null when the catalog gives none.
    pub palette: *const Rgb,
    /// Number of labels and colours.
    pub classes: u32,
    /// Keeps what follows aligned; 0.
    pub reserved: u32,
    /// The model's and the mode's settings: one JSON object.
    pub settings: Text,
}

/// What an instance says of itself. Its pointers belong to the instance and live until `destroy`.
#[repr(C)]
#[derive(Debug)]
pub struct BackendInfo {
    /// Size of this struct as the host knows it; the plugin writes no more than that.
    pub struct_size: u32,
    /// Width of the network's input, in pixels; 0 when any will do.
    pub input_width_px: u32,
    /// Height of the network's input, in pixels; 0 when any will do.
    pub input_height_px: u32,
    /// Number of classes, 1 to 256.
    pub classes: u32,
    /// Labels by class id.
    pub labels: *const Text,
    /// Colours by class id.
    pub palette: *const Rgb,
    /// How many frames one call takes; 1 in this version.
    pub max_batch: u32,
    /// How many calls of one instance may run at once.
    pub max_concurrency: u32,
    /// Memory that the instance holds, in bytes, as well as it knows; 0 when it doesn't.
    pub memory_bytes: u64,
    /// 1 when the instance can fill the confidence plane.
    pub has_confidence: u32,
    /// Keeps the size a multiple of 8; 0.
    pub reserved: u32,
}

impl BackendInfo {
    /// What a host hands to [`Plugin::info`] to be filled.
    pub const UNFILLED: Self = Self {
        struct_size: size_of::<Self>() as u32,
        input_width_px: 0,
        input_height_px: 0,
        classes: 0,
        labels: core::ptr::null(),
        palette: core::ptr::null(),
        max_batch: 0,
        max_concurrency: 0,
        memory_bytes: 0,
        has_confidence: 0,
        reserved: 0,
    };
}

/// One decoded frame.
#[repr(C)]
#[derive(Debug)]
pub struct Frame {
    /// Size of this struct as the host knows it.
    pub struct_size: u32,
    /// [`FORMAT_RGB8`].
    pub format: u32,
    /// Width in pixels, at least 1.
    pub width_px: u32,
    /// Height in pixels, at least 1.
    pub height_px: u32,
    /// From one row's first byte to the next one's.
    pub stride_bytes: u32,
    /// Keeps what follows aligned; 0.
    pub reserved: u32,
    /// First byte of the first row.
    pub data: *const u8,
    /// At least `stride_bytes * (height_px - 1) + 3 * width_px`.
    pub len_bytes: usize,
    /// When the camera took it, in microseconds of the client's clock; 0 when unknown.
    pub captured_at_micros: u64,
    /// Counts up within a session; a gap means dropped frames.
    pub sequence: u64,
    /// Which session it is of; for backends that keep state between frames. 0 for a single picture.
    pub session: u64,
    /// Names this call to [`Host::stage`] and [`Host::cancelled`].
    pub token: u64,
    /// When the answer stops being of use, on the clock of [`Host::now_nanos`]; 0 when the host has not decided,
    /// which a host of ABI 1.1 never does.
    pub deadline_nanos: u64,
    /// Since 1.1. W3C trace id of the frame; all zero when it has none. What the plugin calls over a network is told of
    /// it by the header `traceparent`.
    pub trace_id: [u8; 16],
    /// Since 1.1. The span of this call: the parent of the spans of whatever the plugin calls.
    pub span_id: [u8; 8],
    /// Since 1.1. W3C trace flags; bit 0: it is already known that the trace is kept.
    pub trace_flags: u32,
    /// Since 1.1. Keeps the size a multiple of eight; 0.
    pub reserved_2: u32,
}

/// Where the mask goes.
#[repr(C)]
#[derive(Debug)]
pub struct Output {
    /// Size of this struct as the host knows it.
    pub struct_size: u32,
    /// Width of the mask that the host wants, in pixels. The plugin upsamples scores to it before the argmax.
    pub width_px: u32,
    /// Height of the mask that the host wants, in pixels.
    pub height_px: u32,
    /// 1 once the plugin has filled `labels`. The host sets it to 0 before the call.
    pub written: u32,
    /// `width_px * height_px` class ids in row order. The plugin fills it all.
    pub labels: *mut u8,
    /// Size of `labels` in bytes.
    pub labels_len_bytes: usize,
    /// Confidence of the winning class per pixel, 255 = certain; null when nobody asked for it.
    pub confidence: *mut u8,
    /// Size of `confidence` in bytes; 0 when null.
    pub confidence_len_bytes: usize,
}

/// The descriptor that a plugin exports as [`PLUGIN_SYMBOL`]: constant data, readable from the file.
#[repr(C)]
pub struct Plugin {
    /// [`MAGIC`].
    pub magic: u64,
    /// [`ABI_MAJOR`] of the headers that the plugin was built with.
    pub abi_major: u16,
    /// [`ABI_MINOR`] of the headers that the plugin was built with.
    pub abi_minor: u16,
    /// `size_of::<Plugin>()` there.
    pub struct_size: u32,
    /// `size_of::<Host>()` there; a host with a smaller table refuses the plugin.
    pub sizeof_host: u32,
    /// `size_of::<Model>()` there.
    pub sizeof_model: u32,
    /// `size_of::<BackendInfo>()` there.
    pub sizeof_info: u32,
    /// `size_of::<Frame>()` there.
    pub sizeof_frame: u32,
    /// `size_of::<Output>()` there.
    pub sizeof_output: u32,
    /// [`PLUGIN_PANIC_UNWIND`], and those of the others that hold.
    pub flags: u32,
    /// Name of the backend, as profiles and models write it: `[a-z0-9-]`, padded with zeros.
    pub name: [u8; 32],
    /// Its version, padded with zeros.
    pub version: [u8; 32],
    /// How it was built (profile, commit, ...), for people; padded with zeros.
    pub build: [u8; 64],
    /// Makes an instance for `model` and stores it in `instance`. May take long: it loads the weights.
    /// `host` lives as long as the library is open. On failure nothing is stored.
    pub create: Option<
        unsafe extern "C" fn(
            host: *const Host,
            model: *const Model,
            instance: *mut *mut c_void,
            error: *mut TextBuffer,
        ) -> i32,
    >,
    /// Ends an instance. No other call of it is running or follows.
    pub destroy: Option<unsafe extern "C" fn(instance: *mut c_void)>,
    /// Fills `info`, whose `struct_size` the host has set.
    pub info:
        Option<unsafe extern "C" fn(instance: *mut c_void, info: *mut BackendInfo, error: *mut TextBuffer) -> i32>,
    /// Segments `frame` into `output`. The only function on the frame path.
    pub infer: Option<
        unsafe extern "C" fn(
            instance: *mut c_void,
            frame: *const Frame,
            output: *mut Output,
            error: *mut TextBuffer,
        ) -> i32,
    >,
    /// Runs what the first frames would otherwise pay for (allocation, kernels, caches). Optional.
    pub warm_up: Option<unsafe extern "C" fn(instance: *mut c_void, error: *mut TextBuffer) -> i32>,
    /// Forgets what the instance keeps of `session`; of all sessions when 0. Optional. A host of ABI 1.1 does not call
    /// it: bound what you keep.
    pub reset: Option<unsafe extern "C" fn(instance: *mut c_void, session: u64)>,
    /// Stops every thread of the plugin; called after the last `destroy` of an unloadable plugin. Optional.
    pub quiesce: Option<unsafe extern "C" fn()>,
    /// Since 1.2. Writes an entry of the catalog, as TOML, for the model in `file`; nothing when that is not a kind of file that
    /// the plugin reads. Called without any instance, by a person's command only. Optional.
    pub propose: Option<
        unsafe extern "C" fn(host: *const Host, file: Text, entry: *mut TextBuffer, error: *mut TextBuffer) -> i32,
    >,
}

/// The size of the descriptor of a plugin that was built for ABI 1.`minor`; with the host's own size for those to come.
pub const fn descriptor_len_bytes(minor: u16) -> usize {
    match minor {
        0 | 1 => core::mem::offset_of!(Plugin, propose),
        _ => size_of::<Plugin>(),
    }
}

// SAFETY: the descriptor holds constants and function pointers only; nobody writes to it.
unsafe impl Sync for Plugin {}

/// Copies `text` into a zero-padded array at compile time.
///
/// # Panics
/// When `text` leaves no room for one zero.
pub const fn padded<const N: usize>(text: &str) -> [u8; N] {
    let bytes = text.as_bytes();
    assert!(bytes.len() < N, "this text is too long for the plugin descriptor");
    let mut out = [0; N];
    let mut at = 0;
    while at < bytes.len() {
        out[at] = bytes[at];
        at += 1;
    }
    out
}

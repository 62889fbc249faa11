//! From the C ABI to the trait: the functions behind the descriptor that [`export_backend!`](crate::export_backend) makes.
//!
//! Invariant: every function here catches panics, and trusts nothing of its arguments but what `segue-abi`
//! promises. "The ABI" in the comments below is that crate's documentation.

use std::{
    ffi::c_void,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    slice,
};

use segue_abi as abi;

use crate::{Backend, Call, Class, Error, Frame, Mask, Model, Result, host};

/// Exports `$backend`, a type that implements [`Backend`], as a plugin called `$name`: the one line that makes a
/// `cdylib` crate a Segue plugin.
#[macro_export]
macro_rules! export_backend {
    ($backend:ty, $name:literal) => {
        /// The descriptor that the Segue server reads.
        #[allow(unsafe_code, non_upper_case_globals, reason = "the ABI fixes the exported symbol's name")]
        #[unsafe(no_mangle)]
        pub static segue_plugin_v1: $crate::abi::Plugin = $crate::export::descriptor::<$backend>(
            $name,
            env!("CARGO_PKG_VERSION"),
            if cfg!(debug_assertions) { "debug" } else { "release" },
            cfg!(panic = "unwind"),
        );
    };
}

/// The descriptor of backend `B`; [`export_backend!`](crate::export_backend) calls it.
pub const fn descriptor<B: Backend>(name: &str, version: &str, build: &str, unwinds: bool) -> abi::Plugin {
    abi::Plugin {
        magic: abi::MAGIC,
        abi_major: abi::ABI_MAJOR,
        abi_minor: abi::ABI_MINOR,
        struct_size: size_of::<abi::Plugin>() as u32,
        sizeof_host: size_of::<abi::Host>() as u32,
        sizeof_model: size_of::<abi::Model>() as u32,
        sizeof_info: size_of::<abi::BackendInfo>() as u32,
        sizeof_frame: size_of::<abi::Frame>() as u32,
        sizeof_output: size_of::<abi::Output>() as u32,
        flags: if unwinds { abi::PLUGIN_PANIC_UNWIND } else { 0 }
            | if B::NEEDS_NETWORK { abi::PLUGIN_NETWORK } else { 0 },
        name: abi::padded(name),
        version: abi::padded(version),
        build: abi::padded(build),
        create: Some(create::<B>),
        destroy: Some(destroy::<B>),
        info: Some(info::<B>),
        infer: Some(infer::<B>),
        warm_up: Some(warm_up::<B>),
        reset: Some(reset::<B>),
        quiesce: None,
        propose: Some(propose::<B>),
    }
}

/// What an instance pointer points to.
struct Instance<B> {
    backend: B,
    host: &'static abi::Host,
    info: crate::Info,
    /// Views into `info`, so that the host can borrow them until `destroy`.
    labels: Vec<abi::Text>,
    palette: Vec<abi::Rgb>,
}

unsafe extern "C" fn create<B: Backend>(
    host: *const abi::Host,
    model: *const abi::Model,
    instance: *mut *mut c_void,
    error: *mut abi::TextBuffer,
) -> i32 {
    guarded(error, || {
        // SAFETY: the ABI has the host table live as long as this library is open.
        let host: &'static abi::Host = unsafe { host.as_ref() }.ok_or_else(|| Error::new("no host table"))?;
        // SAFETY: the ABI lends the model for this call.
        let model = unsafe { model.as_ref() }.ok_or_else(|| Error::new("no model"))?;
        check_size::<abi::Host>(host.struct_size)?;
        check_size::<abi::Model>(model.struct_size)?;
        host::connect(host);
        let created = Box::new(Instance::<B>::load(host, model)?);
        // SAFETY: the ABI has `instance` point to a place for one pointer.
        unsafe { *instance = Box::into_raw(created).cast() };
        Ok(())
    })
}

impl<B: Backend> Instance<B> {
    fn load(host: &'static abi::Host, model: &abi::Model) -> Result<Self> {
        let weights = read_text(&model.weights)?;
        let backend = B::load(&Model {
            name: read_text(&model.name)?,
            weights: (!weights.is_empty()).then(|| Path::new(weights)),
            classes: read_classes(model)?,
            max_threads: model.max_threads.max(1) as usize,
            settings_json: read_text(&model.settings)?,
        })?;
        let info = backend.info();
        if !(1..=256).contains(&info.classes.len()) {
            return Err(Error::new(format!("a model of {} classes; 1 to 256 are possible", info.classes.len())));
        }
        let labels = info.classes.iter().map(|class| abi::Text::borrow(&class.label)).collect();
        let palette = info.classes.iter().map(|class| rgb(class.colour)).collect();
        Ok(Self { backend, host, info, labels, palette })
    }
}

unsafe extern "C" fn destroy<B: Backend>(instance: *mut c_void) {
    // A panic in a destructor has nobody left to be told to; the hook has logged it.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the ABI has `instance` come from `create` and not be used again.
        drop(unsafe { Box::from_raw(instance.cast::<Instance<B>>()) });
    }));
}

unsafe extern "C" fn info<B: Backend>(
    instance: *mut c_void,
    out: *mut abi::BackendInfo,
    error: *mut abi::TextBuffer,
) -> i32 {
    guarded(error, || {
        // SAFETY: the ABI has `instance` come from `create`, with no other call of it running.
        let instance = unsafe { &*instance.cast::<Instance<B>>() };
        // SAFETY: the ABI lends a `BackendInfo` whose `struct_size` is set.
        let out = unsafe { out.as_mut() }.ok_or_else(|| Error::new("no place for the info"))?;
        check_size::<abi::BackendInfo>(out.struct_size)?;
        let (input_width_px, input_height_px) = instance.info.input_size_px.unwrap_or((0, 0));
        *out = abi::BackendInfo {
            struct_size: out.struct_size,
            input_width_px,
            input_height_px,
            classes: instance.labels.len() as u32,
            labels: instance.labels.as_ptr(),
            palette: instance.palette.as_ptr(),
            max_batch: 1,
            max_concurrency: 1,
            memory_bytes: instance.info.memory_bytes,
            has_confidence: instance.info.has_confidence.into(),
            reserved: 0,
        };
        Ok(())
    })
}

unsafe extern "C" fn infer<B: Backend>(
    instance: *mut c_void,
    frame: *const abi::Frame,
    output: *mut abi::Output,
    error: *mut abi::TextBuffer,
) -> i32 {
    guarded(error, || {
        // SAFETY: the ABI has `instance` come from `create`, with no other call of it running.
        let instance = unsafe { &mut *instance.cast::<Instance<B>>() };
        // SAFETY: the ABI lends the frame for this call.
        let frame = unsafe { frame.as_ref() }.ok_or_else(|| Error::new("no frame"))?;
        // SAFETY: the ABI lends the output for this call, to nobody else.
        let output = unsafe { output.as_mut() }.ok_or_else(|| Error::new("no output"))?;
        check_size::<abi::Frame>(frame.struct_size)?;
        check_size::<abi::Output>(output.struct_size)?;
        let call = Call::new(instance.host, frame);
        instance.backend.segment(&read_frame(frame)?, &mut read_output(output)?, &call)?;
        output.written = 1;
        Ok(())
    })
}

unsafe extern "C" fn warm_up<B: Backend>(instance: *mut c_void, error: *mut abi::TextBuffer) -> i32 {
    guarded(error, || {
        // SAFETY: the ABI has `instance` come from `create`, with no other call of it running.
        unsafe { &mut *instance.cast::<Instance<B>>() }.backend.warm_up()
    })
}

unsafe extern "C" fn reset<B: Backend>(instance: *mut c_void, session: u64) {
    // The hook has logged a panic, and this call returns nothing.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the ABI has `instance` come from `create`, with no other call of it running.
        unsafe { &mut *instance.cast::<Instance<B>>() }.backend.reset(session);
    }));
}

unsafe extern "C" fn propose<B: Backend>(
    host: *const abi::Host,
    file: abi::Text,
    entry: *mut abi::TextBuffer,
    error: *mut abi::TextBuffer,
) -> i32 {
    guarded(error, || {
        // SAFETY: the ABI has the host table live as long as this library is open.
        let host: &'static abi::Host = unsafe { host.as_ref() }.ok_or_else(|| Error::new("no host table"))?;
        check_size::<abi::Host>(host.struct_size)?;
        host::connect(host);
        if let Some(text) = B::propose(Path::new(read_text(&file)?))? {
            write_text(entry, &text);
        }
        Ok(())
    })
}

/// Runs `work`, and turns its failure or its panic into a status and a text.
fn guarded(error: *mut abi::TextBuffer, work: impl FnOnce() -> Result<()>) -> i32 {
    let (status, reason) = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => return abi::STATUS_OK,
        Ok(Err(Error::Cancelled)) => return abi::STATUS_CANCELLED,
        Ok(Err(Error::Failed(reason))) => (abi::STATUS_FAILED, reason),
        Err(_payload) => (abi::STATUS_PANICKED, format!("panicked: {}", host::take_last_panic())),
    };
    write_text(error, &reason);
    status
}

/// Writes as much of `text` as there is room for.
fn write_text(buffer: *mut abi::TextBuffer, text: &str) {
    // SAFETY: the ABI lends a text buffer, or null, for this call.
    if let Some(buffer) = unsafe { buffer.as_mut() } {
        let len_bytes = text.floor_char_boundary(buffer.capacity_bytes);
        // SAFETY: the buffer has room for `capacity_bytes`, and belongs to the host, not to `text`.
        unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), buffer.data, len_bytes) };
        buffer.len_bytes = len_bytes;
    }
}

fn check_size<T>(struct_size: u32) -> Result<()> {
    if (struct_size as usize) < size_of::<T>() {
        let name = std::any::type_name::<T>();
        return Err(Error::new(format!("the host's {name} has {struct_size} bytes, {} are needed", size_of::<T>())));
    }
    Ok(())
}

fn read_text(text: &abi::Text) -> Result<&str> {
    if text.len_bytes == 0 {
        return Ok("");
    }
    // SAFETY: the ABI has a text point to `len_bytes` bytes, borrowed as long as `text` is.
    let bytes = unsafe { slice::from_raw_parts(text.data, text.len_bytes) };
    Ok(std::str::from_utf8(bytes)?)
}

fn read_classes(model: &abi::Model) -> Result<Vec<Class>> {
    if model.classes == 0 || model.labels.is_null() || model.palette.is_null() {
        return Ok(Vec::new());
    }
    let count = model.classes as usize;
    // SAFETY: the ABI has both arrays hold `classes` elements for this call.
    let (labels, palette) =
        unsafe { (slice::from_raw_parts(model.labels, count), slice::from_raw_parts(model.palette, count)) };
    labels
        .iter()
        .zip(palette)
        .map(|(label, colour)| Ok(Class::new(read_text(label)?, [colour.red, colour.green, colour.blue])))
        .collect()
}

fn read_frame(frame: &abi::Frame) -> Result<Frame<'_>> {
    if frame.format != abi::FORMAT_RGB8 || frame.data.is_null() {
        return Err(Error::new(format!("a frame of pixel format {}; this backend reads RGB8", frame.format)));
    }
    // SAFETY: the ABI has `data` hold `len_bytes` bytes for this call.
    let data = unsafe { slice::from_raw_parts(frame.data, frame.len_bytes) };
    let mut read = Frame::new(data, frame.width_px, frame.height_px, frame.stride_bytes as usize)
        .ok_or_else(|| Error::new("a frame shorter than its sizes say"))?;
    read.session = frame.session;
    read.sequence = frame.sequence;
    read.captured_at_micros = frame.captured_at_micros;
    Ok(read)
}

fn read_output(output: &mut abi::Output) -> Result<Mask<'_>> {
    let pixels = output.width_px as usize * output.height_px as usize;
    if pixels == 0 || output.labels.is_null() || output.labels_len_bytes < pixels {
        return Err(Error::new("an output without room for its labels"));
    }
    let confidence = if output.confidence.is_null() {
        None
    } else if output.confidence_len_bytes < pixels {
        return Err(Error::new("an output without room for its confidence plane"));
    } else {
        // SAFETY: the ABI has `confidence` hold `confidence_len_bytes`, lent to this call alone.
        Some(unsafe { slice::from_raw_parts_mut(output.confidence, pixels) })
    };
    // SAFETY: the ABI has `labels` hold `labels_len_bytes`, lent to this call alone, apart from `confidence`.
    let labels = unsafe { slice::from_raw_parts_mut(output.labels, pixels) };
    Ok(Mask { width_px: output.width_px, height_px: output.height_px, labels, confidence })
}

fn rgb([red, green, blue]: [u8; 3]) -> abi::Rgb {
    abi::Rgb { red, green, blue }
}

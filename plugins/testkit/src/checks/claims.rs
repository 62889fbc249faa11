//! What a plugin says of itself: its descriptor, its classes.

use std::collections::HashMap;

use segue_abi as abi;

use super::{CheckResult, Subject, ensure};
use crate::{frame::TestFrame, host, instance::Instance};

pub(super) fn is_whole(plugin: &abi::Plugin) -> CheckResult {
    ensure(plugin.magic == abi::MAGIC, || "it does not start with the magic number".into())?;
    let version = (plugin.abi_major, plugin.abi_minor);
    ensure(version.0 == abi::ABI_MAJOR && version.1 <= abi::ABI_MINOR, || {
        format!("it is of ABI {}.{}, and this is {}.{}", version.0, version.1, abi::ABI_MAJOR, abi::ABI_MINOR)
    })?;
    has_right_sizes(plugin)?;
    ensure(plugin.flags & abi::PLUGIN_PANIC_UNWIND != 0, || "its flags don't say that it catches panics".into())?;
    let unknown = plugin.flags & !(abi::PLUGIN_PANIC_UNWIND | abi::PLUGIN_UNLOADABLE);
    ensure(unknown == 0, || format!("its flags have bits that mean nothing: {unknown:#x}"))?;
    let name = text("name", &plugin.name)?;
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    ensure(!name.is_empty() && name.bytes().all(is_plain), || {
        format!("its name {name:?} is not made of a-z, 0-9 and `-`")
    })?;
    ensure(!text("version", &plugin.version)?.is_empty(), || "it has no version text".into())?;
    text("build", &plugin.build)?;
    has_functions(plugin)
}

fn has_right_sizes(plugin: &abi::Plugin) -> CheckResult {
    let sizes = [
        ("Plugin", plugin.struct_size, abi::descriptor_len_bytes(plugin.abi_minor)),
        ("Host", plugin.sizeof_host, size_of::<abi::Host>()),
        ("Model", plugin.sizeof_model, size_of::<abi::Model>()),
        ("BackendInfo", plugin.sizeof_info, size_of::<abi::BackendInfo>()),
        ("Frame", plugin.sizeof_frame, frame_len_bytes(plugin.abi_minor)),
        ("Output", plugin.sizeof_output, size_of::<abi::Output>()),
    ];
    for (name, stated, ours) in sizes {
        ensure(stated as usize == ours, || format!("its `{name}` has {stated} bytes, and that of its ABI has {ours}"))?;
    }
    Ok(())
}

/// How long a frame is by the headers of a minor number.
fn frame_len_bytes(abi_minor: u16) -> usize {
    if abi_minor == 0 { std::mem::offset_of!(abi::Frame, trace_id) } else { size_of::<abi::Frame>() }
}

fn has_functions(plugin: &abi::Plugin) -> CheckResult {
    let required = [
        ("create", plugin.create.is_some()),
        ("destroy", plugin.destroy.is_some()),
        ("info", plugin.info.is_some()),
        ("infer", plugin.infer.is_some()),
    ];
    required.into_iter().try_for_each(|(name, is_there)| ensure(is_there, || format!("it has no `{name}`")))
}

fn text<'a>(field: &str, bytes: &'a [u8]) -> Result<&'a str, String> {
    let end =
        bytes.iter().position(|&byte| byte == 0).ok_or_else(|| format!("its {field} does not end with a zero"))?;
    ensure(bytes[end..].iter().all(|&byte| byte == 0), || format!("its {field} is not padded with zeros"))?;
    std::str::from_utf8(&bytes[..end]).map_err(|_not_utf8| format!("its {field} is not UTF-8"))
}

/// An info, copied out of the instance.
#[derive(PartialEq)]
struct Claims {
    input_px: (u32, u32),
    labels: Vec<String>,
    palette: Vec<abi::Rgb>,
    has_confidence: u32,
    at_once: (u32, u32),
}

pub(super) fn names_its_classes(_: &Subject<'_>, instance: &Instance<'_>) -> CheckResult {
    let claims = read_claims(instance)?;
    let mut ids = HashMap::new();
    for (id, label) in claims.labels.iter().enumerate() {
        ensure(!label.trim().is_empty(), || format!("label {id} is empty"))?;
        ensure(!label.contains('\u{FFFD}'), || format!("label {id} is not UTF-8"))?;
        if let Some(first) = ids.insert(label, id) {
            return Err(format!("labels {first} and {id} are both {label:?}"));
        }
    }
    ensure((claims.input_px.0 == 0) == (claims.input_px.1 == 0), || {
        format!("its input is {}x{}", claims.input_px.0, claims.input_px.1)
    })?;
    instance.infer(&TestFrame::new((64, 48)), (64, 48), false);
    ensure(read_claims(instance)? == claims, || "its info differs when it is asked again after a frame".into())
}

fn read_claims(instance: &Instance<'_>) -> Result<Claims, String> {
    let info = instance.info()?;
    let classes = info.classes as usize;
    ensure((1..=256).contains(&classes), || format!("it has {classes} classes; 1 to 256 are possible"))?;
    ensure(!info.labels.is_null(), || format!("it has {classes} classes and no labels"))?;
    ensure(!info.palette.is_null(), || format!("it has {classes} classes and no palette"))?;
    ensure(info.max_batch == 1, || format!("`max_batch` is {}, and this ABI knows 1", info.max_batch))?;
    ensure(info.max_concurrency >= 1, || "`max_concurrency` is 0: it takes no call at all".into())?;
    // SAFETY: the ABI has both arrays hold `classes` elements until `destroy`.
    let (labels, palette) = unsafe {
        (std::slice::from_raw_parts(info.labels, classes), std::slice::from_raw_parts(info.palette, classes))
    };
    Ok(Claims {
        input_px: (info.input_width_px, info.input_height_px),
        labels: labels.iter().map(host::show).collect(),
        palette: palette.to_vec(),
        has_confidence: info.has_confidence,
        at_once: (info.max_batch, info.max_concurrency),
    })
}

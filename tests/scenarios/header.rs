//! The header for C and C++ lays memory out as the ABI's own structs do.

use std::{fs, mem::offset_of, process::Command};

use anyhow::{Result, ensure};
use segue_abi as abi;

/// Where a field lies, and how much it takes, in bytes.
struct Field {
    name: &'static str,
    offset: usize,
    size: usize,
}

fn size_of_field<S, F>(_: fn(&S) -> &F) -> usize {
    size_of::<F>()
}

/// Assertions in C about one struct. A field that is not named is an error of the compiler's.
macro_rules! assertions_on {
    ($name:ident { $($field:ident),+ }) => {{
        let _names_all = |it: abi::$name| { let abi::$name { $($field: _),+ } = it; };
        let fields = [$(Field {
            name: stringify!($field),
            offset: offset_of!(abi::$name, $field),
            size: size_of_field(|it: &abi::$name| &it.$field),
        }),+];
        assertions(stringify!($name), size_of::<abi::$name>(), &fields)
    }};
}

fn assertions(name: &str, size: usize, fields: &[Field]) -> String {
    let mut text = format!("static_assert(sizeof(Segue{name}) == {size}, \"size of {name}\");\n");
    for Field { name: field, offset, size } in fields {
        text += &format!("static_assert(offsetof(Segue{name}, {field}) == {offset}, \"{name}.{field}\");\n");
        text += &format!("static_assert(sizeof(((Segue{name} *)0)->{field}) == {size}, \"{name}.{field}\");\n");
    }
    text
}

fn all_assertions() -> String {
    [
        assertions_on!(Text { data, len_bytes }),
        assertions_on!(TextBuffer { data, capacity_bytes, len_bytes }),
        assertions_on!(Rgb { red, green, blue }),
        assertions_on!(Host { struct_size, abi_minor, context, now_nanos, log, stage, cancelled }),
        assertions_on!(Model { struct_size, max_threads, name, weights, labels, palette, classes, reserved, settings }),
        assertions_on!(BackendInfo {
            struct_size,
            input_width_px,
            input_height_px,
            classes,
            labels,
            palette,
            max_batch,
            max_concurrency,
            memory_bytes,
            has_confidence,
            reserved
        }),
        assertions_on!(Frame {
            struct_size,
            format,
            width_px,
            height_px,
            stride_bytes,
            reserved,
            data,
            len_bytes,
            captured_at_micros,
            sequence,
            session,
            token,
            deadline_nanos,
            trace_id,
            span_id,
            trace_flags,
            reserved_2
        }),
        assertions_on!(Output {
            struct_size,
            width_px,
            height_px,
            written,
            labels,
            labels_len_bytes,
            confidence,
            confidence_len_bytes
        }),
        assertions_on!(Plugin {
            magic,
            abi_major,
            abi_minor,
            struct_size,
            sizeof_host,
            sizeof_model,
            sizeof_info,
            sizeof_frame,
            sizeof_output,
            flags,
            name,
            version,
            build,
            create,
            destroy,
            info,
            infer,
            warm_up,
            reset,
            quiesce,
            propose
        }),
    ]
    .concat()
}

#[test]
fn c_and_cpp_lay_every_struct_out_as_rust_does() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let magic = format!("static_assert(SEGUE_MAGIC == {}, \"magic\");\n", abi::MAGIC);
    let program = format!("#include <segue.h>\n#include <assert.h>\n{}{magic}", all_assertions());
    for (compiler, standard, file) in
        [("cc", "c11", "layout.c"), ("c++", "c++11", "layout.cpp"), ("c++", "c++17", "layout.cpp")]
    {
        let source = folder.path().join(file);
        fs::write(&source, &program)?;
        let status = Command::new(compiler)
            .args([&format!("-std={standard}"), "-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only"])
            .args(["-I", concat!(env!("CARGO_MANIFEST_DIR"), "/../plugins/abi/include")])
            .arg(source)
            .status()?;
        ensure!(status.success(), "{compiler} -std={standard} ended with {status}");
    }
    Ok(())
}

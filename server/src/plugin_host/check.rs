//! Reads a plugin's descriptor from its file, and refuses what can't be opened safely, in one sentence.
//!
//! Invariant: no code of the plugin has run when this is done.

use std::mem::offset_of;

use std::fs::File;

use object::{Architecture, Object, ObjectSection, ObjectSymbol, ReadCache, ReadRef};
use segue_abi as abi;

/// A plugin with kernels for a GPU has tens of megabytes.
const LARGEST_LEN_BYTES: u64 = 1 << 30;

/// What a plugin says of itself in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The backend's name, as models write it.
    pub name: String,
    /// The plugin's version.
    pub version: String,
    /// How it was built, in the plugin's words.
    pub build: String,
    /// ABI that it was built for: major and minor.
    pub abi: (u16, u16),
    /// Whether it calls other machines.
    pub needs_network: bool,
    /// Whether it is run by an interpreter, rather than opened.
    pub is_program: bool,
}

/// Why a file is not opened as a plugin.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum CheckError {
    #[error("it can't be read: {0}")]
    Unreadable(#[source] std::io::Error),
    #[error("it has {len_bytes} bytes, and a plugin at most {LARGEST_LEN_BYTES}")]
    TooLarge { len_bytes: u64 },
    #[error("it is not a shared library of this system, or is cut short ({0})")]
    NotALibrary(#[source] object::Error),
    #[error("it is not a program with a `segue-plugin.json`, or is cut short ({0})")]
    NotAProgram(String),
    #[error(
        "it speaks the workers' protocol {protocol}, and this server {ours}; use the one that came with the server"
    )]
    OtherProtocol { protocol: u32, ours: u32 },
    #[error("it is cut short: its headers promise {promised} bytes, and it has {found}")]
    Truncated { promised: u64, found: u64 },
    #[error("it is built for {found}, and this server runs on {expected}; build it for this machine")]
    OtherArchitecture { found: String, expected: &'static str },
    #[error(
        "it exports no `{}`, so it is no Segue plugin (in C++ the descriptor needs `extern \"C\"`)",
        abi::PLUGIN_SYMBOL
    )]
    NoDescriptor,
    #[error("its `segue_plugin_v1` is not a Segue descriptor: {0}")]
    BadDescriptor(&'static str),
    #[error(
        "it is built for plugin ABI {major}.{minor}, and this server speaks {}.{}; rebuild it against this server's `segue-plugin`",
        abi::ABI_MAJOR,
        abi::ABI_MINOR
    )]
    OtherAbi { major: u16, minor: u16 },
    #[error("it needs a larger host table ({needed} bytes) than this server has ({has}); use a newer server")]
    HostTooSmall { needed: u32, has: usize },
    #[error(
        "it does not catch panics (built with panic=abort?), so one panic would end the server; build it with panic=\"unwind\""
    )]
    PanicAborts,
}

/// Reads and judges the descriptor in `file`. Of the rest only the headers are read.
pub(super) fn check(file: File) -> Result<Descriptor, CheckError> {
    let len_bytes = file.metadata().map_err(CheckError::Unreadable)?.len();
    if len_bytes > LARGEST_LEN_BYTES {
        return Err(CheckError::TooLarge { len_bytes });
    }
    let content = ReadCache::new(file);
    let object = object::File::parse(&content).map_err(CheckError::NotALibrary)?;
    check_architecture(&object)?;
    check_complete(&object, len_bytes)?;
    let raw = descriptor_bytes(&object)?;
    judge(&RawDescriptor(raw))
}

fn check_architecture<'a, R: ReadRef<'a>>(object: &object::File<'a, R>) -> Result<(), CheckError> {
    let expected = std::env::consts::ARCH;
    let same = match object.architecture() {
        Architecture::X86_64 => expected == "x86_64",
        Architecture::Aarch64 => expected == "aarch64",
        _ => false,
    };
    if same && object.is_little_endian() {
        return Ok(());
    }
    Err(CheckError::OtherArchitecture { found: format!("{:?}", object.architecture()), expected })
}

fn check_complete<'a, R: ReadRef<'a>>(object: &object::File<'a, R>, found: u64) -> Result<(), CheckError> {
    use object::ObjectSegment;
    let promised = object
        .segments()
        .map(|segment| segment.file_range())
        .map(|(start, len_bytes)| start.saturating_add(len_bytes))
        .max()
        .unwrap_or(0);
    if promised > found { Err(CheckError::Truncated { promised, found }) } else { Ok(()) }
}

/// The bytes of the static, as they lie in the file. Pointers in it are not relocated yet; nothing else differs.
fn descriptor_bytes<'a, R: ReadRef<'a>>(object: &object::File<'a, R>) -> Result<&'a [u8], CheckError> {
    let is_descriptor = |name: &[u8]| name.strip_prefix(b"_").unwrap_or(name) == abi::PLUGIN_SYMBOL.as_bytes();
    let symbol = object
        .dynamic_symbols()
        .find(|symbol| symbol.is_definition() && symbol.name_bytes().is_ok_and(is_descriptor))
        .ok_or(CheckError::NoDescriptor)?;
    // What is read of it here was there from the first ABI on.
    let len_bytes = abi::descriptor_len_bytes(0) as u64;
    object
        .sections()
        .find_map(|section| section.data_range(symbol.address(), len_bytes).ok().flatten())
        .ok_or(CheckError::BadDescriptor("it is shorter than a descriptor, or holds no data"))
}

fn judge(raw: &RawDescriptor<'_>) -> Result<Descriptor, CheckError> {
    if raw.u64(offset_of!(abi::Plugin, magic)) != abi::MAGIC {
        return Err(CheckError::BadDescriptor("it does not start with the magic number"));
    }
    let (major, minor) = (raw.u16(offset_of!(abi::Plugin, abi_major)), raw.u16(offset_of!(abi::Plugin, abi_minor)));
    if major != abi::ABI_MAJOR || minor > abi::ABI_MINOR {
        return Err(CheckError::OtherAbi { major, minor });
    }
    if (raw.u32(offset_of!(abi::Plugin, struct_size)) as usize) < abi::descriptor_len_bytes(minor) {
        return Err(CheckError::BadDescriptor("its size is smaller than that of its ABI"));
    }
    let needed = raw.u32(offset_of!(abi::Plugin, sizeof_host));
    if needed as usize > size_of::<abi::Host>() {
        return Err(CheckError::HostTooSmall { needed, has: size_of::<abi::Host>() });
    }
    let flags = raw.u32(offset_of!(abi::Plugin, flags));
    if flags & abi::PLUGIN_PANIC_UNWIND == 0 {
        return Err(CheckError::PanicAborts);
    }
    let name = raw.text(offset_of!(abi::Plugin, name), 32)?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || !name.bytes().all(plain) {
        return Err(CheckError::BadDescriptor("its name is not made of a-z, 0-9 and `-`"));
    }
    Ok(Descriptor {
        name,
        version: raw.text(offset_of!(abi::Plugin, version), 32)?,
        build: raw.text(offset_of!(abi::Plugin, build), 64)?,
        abi: (major, minor),
        needs_network: flags & abi::PLUGIN_NETWORK != 0,
        is_program: false,
    })
}

/// The bytes of a descriptor in a file, read field by field.
struct RawDescriptor<'a>(&'a [u8]);

impl RawDescriptor<'_> {
    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut out = [0; N];
        out.copy_from_slice(&self.0[at..at + N]);
        out
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.array(at))
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.array(at))
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.array(at))
    }

    fn text(&self, at: usize, len_bytes: usize) -> Result<String, CheckError> {
        let field = &self.0[at..at + len_bytes];
        let end = field.iter().position(|&byte| byte == 0).unwrap_or(len_bytes);
        match std::str::from_utf8(&field[..end]) {
            Ok(text) => Ok(text.to_owned()),
            Err(_not_utf8) => Err(CheckError::BadDescriptor("a text in it is not UTF-8")),
        }
    }
}

//! Parameters by name, from the files in which networks are published: safetensors, and those of torch.save.
//!
//! A network's loader asks for each parameter by name and shape, and at the end whether any was left over: a file
//! that fits no layer, or has more, is refused before the first frame. Opening reads the file's index; a tensor's
//! values are read when they are asked for.
//! Invariant: whatever the bytes of a file are, reading it neither panics nor allocates for more than it can hold.

mod bytes;
mod callable;
mod entry;
mod error;
mod legacy;
mod pickle;
mod pth;
mod safetensors;
mod zip;

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::fs::File;
use std::path::Path;

use memmap2::Mmap;

use self::bytes::Bytes;
use self::entry::{Dtype, Entry, Source, count};
pub use self::error::WeightsError;

/// How many of the tensors that nobody took are named.
const MOST_LEFTOVER_NAMES: usize = 5;

/// A file of parameters, by name.
///
/// It stays mapped, and what was read of it counts as the process's memory: drop it once the network is built.
#[derive(Debug)]
pub struct Weights {
    file: String,
    entries: BTreeMap<String, Entry>,
    map: Option<Mmap>,
}

impl Weights {
    /// Maps the file at `path` and reads its index. What format it has is seen from its bytes, not from its name.
    ///
    /// # Errors
    /// When the file can't be opened, is of another format, is truncated or damaged, or holds no parameters by name.
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        let file = path.display().to_string();
        let map = map(path).map_err(|source| WeightsError::Open { file: file.clone(), source })?;
        let bytes = Bytes { name: &file, all: &map };
        let entries = match bytes.all {
            [_, _, _, _, _, _, _, _, b'{', ..] => safetensors::read(bytes),
            [b'P', b'K', 3, 4, ..] => pth::read(bytes),
            all if all.starts_with(legacy::MAGIC) => legacy::read(bytes),
            all => Err(WeightsError::Format { file: file.clone(), looks_like: guess(all) }),
        }?;
        Ok(Self { file, entries, map: Some(map) })
    }

    /// Parameters from memory, named `name` in errors: for tests, and for networks whose weights are generated.
    ///
    /// # Panics
    /// When a tensor has not as many values as its shape says.
    pub fn from_map(name: &str, tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>) -> Self {
        let entry = |(tensor, (shape, values)): (String, (Vec<usize>, Vec<f32>))| {
            assert_eq!(count(&shape), Some(values.len()), "tensor {tensor:?} has other than its shape's values");
            (tensor, Entry::new(shape, Dtype::F32, Source::Values(values)))
        };
        Self { file: name.into(), entries: tensors.into_iter().map(entry).collect(), map: None }
    }

    /// All tensors' names, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The shape of the tensor `name`, if there is one.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.entries.get(name).map(|entry| &entry.shape[..])
    }

    /// Whether there is a tensor `name`.
    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// What all tensors take as f32, in bytes.
    pub fn len_bytes(&self) -> usize {
        self.entries.values().filter_map(|entry| count(&entry.shape)).sum::<usize>() * size_of::<f32>()
    }

    /// Where names begin.
    pub fn root(&self) -> Scope<'_> {
        Scope { weights: self, path: String::new() }
    }

    /// Checks that every parameter was taken, those aside whose name `is_ignored`, and integer buffers aside, too.
    ///
    /// # Errors
    /// [`WeightsError::Leftover`].
    pub fn finish(&self, is_ignored: impl Fn(&str) -> bool) -> Result<(), WeightsError> {
        let is_left = |entry: &Entry| !entry.taken.get() && !matches!(entry.dtype, Dtype::Integer(..));
        let left = self.entries.iter().filter(|(name, entry)| is_left(entry) && !is_ignored(name));
        let left: Vec<&String> = left.map(|(name, _)| name).collect();
        if left.is_empty() {
            return Ok(());
        }
        let first = left.iter().take(MOST_LEFTOVER_NAMES).map(|name| name.to_string()).collect();
        Err(WeightsError::Leftover { file: self.file.clone(), count: left.len(), first })
    }

    fn tensor(&self, tensor: &str, shape: &[usize]) -> Result<Vec<f32>, WeightsError> {
        let named = || (self.file.clone(), tensor.to_owned());
        let Some(entry) = self.entries.get(tensor) else {
            let (file, tensor) = named();
            let nearest = self.nearest(&tensor);
            return Err(WeightsError::Missing { file, tensor, nearest });
        };
        if entry.shape != shape {
            let (file, tensor) = named();
            return Err(WeightsError::Shape { file, tensor, expected: shape.into(), found: entry.shape.clone() });
        }
        let Some(values) = entry.values(self.map.as_deref().unwrap_or_default()) else {
            let (file, tensor) = named();
            return Err(WeightsError::Dtype { file, tensor, dtype: entry.dtype.name() });
        };
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            let (file, tensor) = named();
            return Err(WeightsError::NotFinite { file, tensor, index, value: values[index] });
        }
        entry.taken.set(true);
        Ok(values)
    }

    /// The name that shares most of its beginning and end with `name`, if it shares half of it.
    fn nearest(&self, name: &str) -> Option<String> {
        let common = |other: &str| {
            let begin = name.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
            let end = name.bytes().rev().zip(other.bytes().rev()).take_while(|(a, b)| a == b).count();
            (begin + end).min(name.len()).min(other.len())
        };
        let nearest = self.names().max_by_key(|other| common(other))?;
        (2 * common(nearest) >= name.len()).then(|| nearest.into())
    }
}

/// A place in the tree of names: `scope.at("backbone").at(3).at("conv")` is `backbone.3.conv`.
#[derive(Clone)]
pub struct Scope<'a> {
    weights: &'a Weights,
    path: String,
}

impl<'a> Scope<'a> {
    /// The place `part` below this one.
    pub fn at(&self, part: impl Display) -> Scope<'a> {
        Scope { weights: self.weights, path: self.join(part) }
    }

    /// Whether there is a tensor `name` right here.
    pub fn contains(&self, name: &str) -> bool {
        self.weights.contains(&self.join(name))
    }

    /// The values of the tensor `name` below this place, row by row, which must have exactly this shape; marks it as
    /// taken.
    ///
    /// # Errors
    /// When there is none, its shape or type is another, or a value is not finite.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, WeightsError> {
        self.weights.tensor(&self.join(name), shape)
    }

    /// The shape of `name`, if it is there: to choose between namings or sizes.
    pub fn shape(&self, name: &str) -> Option<&'a [usize]> {
        self.weights.shape(&self.join(name))
    }

    /// A parameter that may be missing.
    ///
    /// # Errors
    /// Those of [`Scope::tensor`] when it is there.
    pub fn optional(&self, name: &str, shape: &[usize]) -> Result<Option<Vec<f32>>, WeightsError> {
        self.contains(name).then(|| self.tensor(name, shape)).transpose()
    }

    /// The place's full name; empty at the root.
    pub fn path(&self) -> &str {
        &self.path
    }

    fn join(&self, part: impl Display) -> String {
        if self.path.is_empty() { part.to_string() } else { format!("{}.{part}", self.path) }
    }
}

impl fmt::Debug for Scope<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Scope({:?} of {})", self.path, self.weights.file)
    }
}

fn map(path: &Path) -> std::io::Result<Mmap> {
    let file = File::open(path)?;
    // SAFETY: nobody writes to the file or truncates it while it is mapped: the server gives plugins a private copy,
    // named by its content's hash, and a test or a tool opens files of its own. A truncation would bring a SIGBUS, a
    // change other values, and values are checked where they are used.
    unsafe { Mmap::map(&file) }
}

/// What a file of another format may be.
fn guess(all: &[u8]) -> &'static str {
    let start = &all[..all.len().min(64)];
    match start {
        [] => "it is empty; fetch it again",
        _ if start.len() < 9 => "it has fewer than 9 bytes; fetch it again",
        _ if start.starts_with(b"version https://git-lfs") => {
            "it is a pointer of Git LFS; fetch the file it stands for"
        }
        _ if start.trim_ascii_start().starts_with(b"<") => "it is a web page; fetch the file itself",
        [0x80, 2..=5, ..] => "it is a Python pickle; save the model's state_dict() with torch.save",
        [0x89, b'H', b'D', b'F', ..] => "it is HDF5; convert it to safetensors",
        [_, _, _, _, b'T', b'F', b'L', b'3', ..] => "it is TFLite; convert it to safetensors",
        [8, ..] => "it may be ONNX; convert it to safetensors",
        _ => "its first bytes are of no known format; convert it to safetensors",
    }
}

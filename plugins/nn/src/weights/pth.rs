//! What torch.save writes: from a pickle's values to tensors by name, and the zip archive (torch 1.6 and newer).
//! <https://github.com/pytorch/pytorch/blob/main/torch/serialization.py>

use std::collections::BTreeMap;

use super::WeightsError;
use super::bytes::Bytes;
use super::callable::Callable;
use super::entry::{Dtype, Entry, Source, count};
use super::pickle::{self, Span, Value, Values};
use super::zip::Archive;

/// Where a checkpoint keeps parameters beside other things.
const NESTED: [&str; 2] = ["state_dict", "model"];
const MOST_NESTING: usize = 3;
/// More dimensions than any parameter has.
const MOST_DIMENSIONS: usize = 8;

/// Reads a zip archive: the member `data.pkl`, and `data/KEY` for each storage.
pub(super) fn read(file: Bytes<'_>) -> Result<BTreeMap<String, Entry>, WeightsError> {
    let archive = Archive::read(file)?;
    let in_archive = |name: &&str| *name == "data.pkl" || name.ends_with("/data.pkl");
    let Some(pickle) = archive.names().filter(in_archive).min_by_key(|name| name.len()) else {
        return Err(no_parameters(file, "an archive without data.pkl"));
    };
    let folder = pickle.trim_end_matches("data.pkl");
    if archive.names().any(|name| name.strip_prefix(folder) == Some("constants.pkl")) {
        return Err(no_parameters(file, "a TorchScript program"));
    }
    if let Ok((start, len)) = archive.find(&format!("{folder}byteorder"))
        && file.slice("byteorder", start, len)? == b"big"
    {
        return Err(no_parameters(file, "numbers of a big-endian machine"));
    }
    let (start, _) = archive.find(pickle)?;
    let (values, root, _) = pickle::read(file, start)?;
    entries(file, &values, root, |storage| archive.find(&format!("{folder}data/{}", storage.key)))
}

/// What a pickle says of a storage.
pub(super) struct Storage<'a> {
    pub(super) dtype: Dtype,
    pub(super) key: &'a str,
    /// In values.
    pub(super) len: u64,
}

impl<'a> Storage<'a> {
    pub(super) fn new(values: &Values<'a>, span: Span) -> Result<Self, &'static str> {
        let &[_, Value::Callable(Callable::StorageType(dtype)), Value::Text(key), _, Value::Int(len), ref view @ ..] =
            values.tuple(span)
        else {
            return Err("its storage is of an unknown type; save it with a newer torch, or as safetensors");
        };
        if !matches!(view, [] | [Value::Opaque]) {
            return Err("its storage is a view of another; save it with a newer torch, or as safetensors");
        }
        Ok(Self { dtype, key, len: len.unsigned_abs() })
    }
}

/// The tensors by name of the pickle whose outermost value is `root`; `find` says where in the file a storage begins,
/// and how many bytes it has.
pub(super) fn entries<'a>(
    file: Bytes<'a>,
    values: &Values<'a>,
    root: Value<'a>,
    find: impl Fn(&Storage<'a>) -> Result<(u64, u64), WeightsError>,
) -> Result<BTreeMap<String, Entry>, WeightsError> {
    let mut entries = BTreeMap::new();
    for &(name, value) in state_dict(file, values, root)? {
        let (Value::Text(name), Value::Tensor(rebuilt)) = (name, value) else {
            continue;
        };
        let unreadable = |why| file.unreadable(name, why);
        let tensor = Tensor::new(values, rebuilt).map_err(unreadable)?;
        let (at, len) = find(&tensor.storage)?;
        let size = tensor.storage.dtype.size() as u64;
        if tensor.storage.len > len / size {
            let Storage { key, len: values, .. } = tensor.storage;
            return Err(file.damaged(format!("storage {key:?} of tensor {name:?} has {len} bytes for {values} values")));
        }
        entries.insert(name.to_owned(), tensor.entry(at).map_err(unreadable)?);
    }
    Ok(entries)
}

/// The dict that holds tensors: the outermost one, or one within it.
fn state_dict<'v, 'a>(
    file: Bytes<'a>,
    values: &'v Values<'a>,
    root: Value<'a>,
) -> Result<&'v [(Value<'a>, Value<'a>)], WeightsError> {
    let mut value = root;
    for _ in 0..MOST_NESTING {
        let Value::Dict(dict) = value else { break };
        let items = values.dict(dict);
        if items.iter().any(|(_, value)| matches!(value, Value::Tensor(_))) {
            return Ok(items);
        }
        let is_nested = |key: &str| NESTED.contains(&key);
        let nested = items
            .iter()
            .find(|(key, value)| matches!(key, Value::Text(key) if is_nested(key)) && matches!(value, Value::Dict(_)));
        let Some((_, nested)) = nested else {
            let keys = items.iter().filter_map(|(key, _)| if let Value::Text(key) = key { Some(*key) } else { None });
            let keys: Vec<&str> = keys.take(5).collect();
            return Err(no_parameters(file, format!("a dict of other things ({})", keys.join(", "))));
        };
        value = *nested;
    }
    Err(no_parameters(file, "another Python object"))
}

pub(super) fn no_parameters(file: Bytes<'_>, found: impl Into<String>) -> WeightsError {
    WeightsError::NoParameters { file: file.name.into(), found: found.into() }
}

/// A tensor as a pickle describes it, in values of its storage.
struct Tensor<'a> {
    storage: Storage<'a>,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

impl<'a> Tensor<'a> {
    fn new(values: &Values<'a>, rebuilt: Span) -> Result<Self, &'static str> {
        let &[Value::Storage(storage), Value::Int(offset), Value::Tuple(shape), Value::Tuple(strides), ..] =
            values.tuple(rebuilt)
        else {
            return Err("it is not rebuilt from a storage, a shape and strides; save it as safetensors");
        };
        let storage = Storage::new(values, storage)?;
        let offset = usize::try_from(offset).map_err(|_negative| "its offset is negative: the file is damaged")?;
        let (shape, strides) = (sizes(values.tuple(shape))?, sizes(values.tuple(strides))?);
        if shape.len() != strides.len() {
            return Err("its shape and its strides differ in length: the file is damaged");
        }
        Ok(Self { storage, offset, shape, strides })
    }

    /// The entry, once it is sure that all of it lies in its storage, which begins at byte `at`.
    fn entry(self, at: u64) -> Result<Entry, &'static str> {
        let Self { storage, offset, shape, strides } = self;
        let beyond = "it reaches beyond its storage: the file is damaged";
        let count = count(&shape).ok_or(beyond)?;
        let mut last = Some(offset);
        for (size, stride) in shape.iter().zip(&strides) {
            let step = size.saturating_sub(1).checked_mul(*stride);
            last = last.zip(step).and_then(|(last, step)| last.checked_add(step));
        }
        let last = last.ok_or(beyond)? as u64;
        if count as u64 > storage.len {
            return Err("it has more values than its storage, repeating some; save it with .contiguous()");
        }
        if last >= storage.len && count > 0 {
            return Err(beyond);
        }
        // Within the file's length, as the storage is; an empty tensor may claim any offset.
        let at = if count == 0 { 0 } else { at as usize + offset * storage.dtype.size() };
        let strides = (!is_contiguous(&shape, &strides)).then_some(strides);
        Ok(Entry::new(shape, storage.dtype, Source::File { at, strides }))
    }
}

fn sizes(values: &[Value<'_>]) -> Result<Vec<usize>, &'static str> {
    if values.len() > MOST_DIMENSIONS {
        return Err("it has more than 8 dimensions");
    }
    let size = |value: &Value<'_>| if let Value::Int(size) = value { usize::try_from(*size).ok() } else { None };
    values.iter().map(|value| size(value).ok_or("its shape or a stride is no whole number")).collect()
}

/// Whether values that follow each other by row do so in memory, too. A dimension of one has any stride.
fn is_contiguous(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1;
    shape.iter().zip(strides).rev().filter(|(size, _)| **size != 1).all(|(size, stride)| {
        let matches = *stride == expected;
        expected *= size;
        matches
    })
}

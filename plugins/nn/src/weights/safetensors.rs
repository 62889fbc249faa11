//! The safetensors format: the header's length in 8 bytes, a JSON header, then the values.
//! <https://huggingface.co/docs/safetensors/index#format>
//!
//! Own code, for the header is all there is to it, and the `safetensors` crate's check of it adds offsets unchecked.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::WeightsError;
use super::bytes::Bytes;
use super::entry::{Dtype, Entry, Source, count};

/// As much as other readers accept.
const MOST_HEADER_BYTES: u64 = 100_000_000;

/// The tensors that a header lists.
struct Header(BTreeMap<String, Tensor>);

#[derive(Deserialize)]
struct Tensor {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (u64, u64),
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("tensors by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut tensors = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
            } else if let Some(_twice) = tensors.insert(name, map.next_value()?) {
                return Err(A::Error::custom("a tensor is listed twice"));
            }
        }
        Ok(Header(tensors))
    }
}

pub(super) fn read(file: Bytes<'_>) -> Result<BTreeMap<String, Entry>, WeightsError> {
    let header_len = file.u64("the header's length", 0)?;
    if header_len > MOST_HEADER_BYTES {
        return Err(WeightsError::Header { file: file.name.into(), len: header_len, most: MOST_HEADER_BYTES });
    }
    let header = file.slice("the header", 8, header_len)?;
    let header: Header =
        serde_json::from_slice(header).map_err(|error| file.damaged(format!("its header can't be read: {error}")))?;
    let start = 8 + header_len;
    let data_len = header.0.values().map(|tensor| tensor.data_offsets.1).max().unwrap_or_default();
    let entries = header.0.into_iter().map(|(name, tensor)| {
        let entry = entry(file, start, &name, tensor)?;
        Ok((name, entry))
    });
    let entries = entries.collect::<Result<_, _>>()?;
    let (len, described) = (file.all.len() as u64, start + data_len);
    if len != described {
        return Err(file.damaged(format!("it has {len} bytes, and its header describes {described}")));
    }
    Ok(entries)
}

fn entry(file: Bytes<'_>, start: u64, name: &str, tensor: Tensor) -> Result<Entry, WeightsError> {
    let Tensor { dtype, shape, data_offsets: (begin, end) } = tensor;
    let dtype = DTYPES.iter().find(|(name, _)| *name == dtype).map_or(Dtype::Other("unknown", 0), |(_, dtype)| *dtype);
    let Some(len) = end.checked_sub(begin) else {
        return Err(file.damaged(format!("tensor {name:?} ends before it begins")));
    };
    let at = start.saturating_add(begin);
    file.slice(&format!("tensor {name:?}"), at, len)?;
    let needed = count(&shape).and_then(|count| count.checked_mul(dtype.size()));
    if needed.is_none_or(|needed| dtype.size() > 0 && needed as u64 != len) {
        let kind = dtype.name();
        return Err(file.damaged(format!("tensor {name:?} is of type {kind} and shape {shape:?}, but has {len} bytes")));
    }
    Ok(Entry::new(shape, dtype, Source::File { at: at as usize, strides: None }))
}

const DTYPES: [(&str, Dtype); 20] = [
    ("F32", Dtype::F32),
    ("F16", Dtype::F16),
    ("BF16", Dtype::BF16),
    ("F64", Dtype::F64),
    ("BOOL", Dtype::Integer("BOOL", 1)),
    ("U8", Dtype::Integer("U8", 1)),
    ("I8", Dtype::Integer("I8", 1)),
    ("U16", Dtype::Integer("U16", 2)),
    ("I16", Dtype::Integer("I16", 2)),
    ("U32", Dtype::Integer("U32", 4)),
    ("I32", Dtype::Integer("I32", 4)),
    ("U64", Dtype::Integer("U64", 8)),
    ("I64", Dtype::Integer("I64", 8)),
    ("C64", Dtype::Other("C64", 8)),
    ("F8_E4M3", Dtype::Other("F8_E4M3", 1)),
    ("F8_E5M2", Dtype::Other("F8_E5M2", 1)),
    ("F8_E8M0", Dtype::Other("F8_E8M0", 1)),
    ("F6_E2M3", Dtype::Other("F6_E2M3", 0)),
    ("F6_E3M2", Dtype::Other("F6_E3M2", 0)),
    ("F4", Dtype::Other("F4", 0)),
];

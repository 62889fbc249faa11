//! What torch.save wrote before torch 1.6: five pickles, then each storage's number of values and the values.
//! The pickles: a magic number, the format's version, the machine, the object, and the storages' keys in file order.

use std::collections::{BTreeMap, HashMap};

use super::WeightsError;
use super::bytes::Bytes;
use super::entry::Entry;
use super::pickle::{self, Value};
use super::pth::{Storage, entries, no_parameters};

/// The pickle of 0x1950a86a20f9469cfc6c.
pub(super) const MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

pub(super) fn read(file: Bytes<'_>) -> Result<BTreeMap<String, Entry>, WeightsError> {
    let (_, version, at) = pickle::read(file, MAGIC.len() as u64)?;
    if version != Value::Int(1001) {
        return Err(file.damaged("its version is not 1001, the only one that torch ever wrote"));
    }
    let (machine, machine_dict, at) = pickle::read(file, at)?;
    if let Value::Dict(dict) = machine_dict
        && machine.dict(dict).contains(&(Value::Text("little_endian"), Value::Bool(false)))
    {
        return Err(no_parameters(file, "numbers of a big-endian machine"));
    }
    let (values, root, at) = pickle::read(file, at)?;
    let (keys, key_list, at) = pickle::read(file, at)?;
    let Value::List(key_list) = key_list else {
        return Err(file.damaged("it has no list of storages"));
    };

    let sizes = values.storages.iter().filter_map(|&span| Storage::new(&values, span).ok());
    let sizes: HashMap<&str, u64> = sizes.map(|storage| (storage.key, storage.dtype.size() as u64)).collect();
    let mut places = HashMap::new();
    let mut at = at;
    for &key in keys.list(key_list) {
        let Value::Text(key) = key else {
            return Err(file.damaged("a storage's key is no text"));
        };
        let Some(size) = sizes.get(key) else {
            return Err(file.damaged(format!("storage {key:?} is of no known type")));
        };
        let what = format!("storage {key:?}");
        let len = file.u64(&what, at)?.saturating_mul(*size);
        file.slice(&what, at + 8, len)?;
        places.insert(key, (at + 8, len));
        at += 8 + len;
    }
    entries(file, &values, root, |storage| {
        let place = places.get(storage.key).copied();
        place.ok_or_else(|| file.damaged(format!("storage {:?} is not in its list", storage.key)))
    })
}

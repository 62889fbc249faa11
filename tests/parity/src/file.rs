//! Parameters in a file, as a checkpoint has them.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Result;
use serde_json::{Map, json};

use crate::Parameters;

/// Writes tensors, f32, as a safetensors file.
pub fn write_safetensors(path: &Path, tensors: &Parameters) -> Result<()> {
    let (mut header, mut end) = (Map::new(), 0);
    for (name, (shape, values)) in tensors {
        let start = end;
        end += 4 * values.len();
        header.insert(name.clone(), json!({"dtype": "F32", "shape": shape, "data_offsets": [start, end]}));
    }
    let header = serde_json::to_vec(&header)?;
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(&header)?;
    for value in tensors.values().flat_map(|(_, values)| values) {
        file.write_all(&value.to_le_bytes())?;
    }
    Ok(file.flush()?)
}

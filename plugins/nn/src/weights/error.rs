//! What can be wrong with a file of parameters, and how to mend it.

use std::io;

/// Why parameters could not be read. Every message begins with the file.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file can't be opened or mapped.
    #[error("{file}: can't be opened: {source}")]
    Open {
        /// The file.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// The file is of another format.
    #[error("{file}: is neither a safetensors file nor one that torch.save wrote: {looks_like}")]
    Format {
        /// The file.
        file: String,
        /// What it seems to be.
        looks_like: &'static str,
    },
    /// The file ends too early.
    #[error("{file}: is truncated: {what} ends at byte {end}, and the file has {len}; fetch it again")]
    Truncated {
        /// The file.
        file: String,
        /// What reaches beyond the end.
        what: String,
        /// Where that would end.
        end: u64,
        /// The file's length.
        len: u64,
    },
    /// The description of the tensors is longer than any network's.
    #[error("{file}: its header has more bytes than the {most} that are read ({len}); it is damaged, or no network")]
    Header {
        /// The file.
        file: String,
        /// Its header's length in bytes, as far as it is known.
        len: u64,
        /// The most that is read.
        most: u64,
    },
    /// The file contradicts itself.
    #[error("{file}: is damaged: {what}; fetch it again")]
    Damaged {
        /// The file.
        file: String,
        /// What was found, and what was expected.
        what: String,
    },
    /// A file of torch.save that holds something else than parameters by name.
    #[error("{file}: holds no parameters by name, but {found}; save the model's state_dict()")]
    NoParameters {
        /// The file.
        file: String,
        /// What it holds.
        found: String,
    },
    /// A tensor is stored in a way that is not read.
    #[error("{file}: tensor {tensor:?} can't be read: {why}")]
    Unreadable {
        /// The file.
        file: String,
        /// The tensor's name.
        tensor: String,
        /// What stands against it, and the mend.
        why: &'static str,
    },
    /// A tensor is not there.
    #[error("{file}: there is no tensor {tensor:?}{}; is this the file of another network?", hint(.nearest))]
    Missing {
        /// The file.
        file: String,
        /// The tensor's name.
        tensor: String,
        /// The name in the file that is most like it.
        nearest: Option<String>,
    },
    /// A tensor has another shape.
    #[error(
        "{file}: tensor {tensor:?} has shape {found:?}, and the network needs {expected:?}; \
         is this the file of another network?"
    )]
    Shape {
        /// The file.
        file: String,
        /// The tensor's name.
        tensor: String,
        /// The shape that is needed.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// A tensor is not of floating-point numbers that are read.
    #[error("{file}: tensor {tensor:?} is of type {dtype}, and parameters are read from F32, F16, BF16 and F64")]
    Dtype {
        /// The file.
        file: String,
        /// The tensor's name.
        tensor: String,
        /// Its type.
        dtype: &'static str,
    },
    /// A tensor holds NaN or an infinity, or a value that is infinite in f32.
    #[error(
        "{file}: tensor {tensor:?} holds {value} at index {index}, and every parameter must be finite; \
         it is damaged, or its training failed"
    )]
    NotFinite {
        /// The file.
        file: String,
        /// The tensor's name.
        tensor: String,
        /// Which of the tensor's values, counted row by row.
        index: usize,
        /// The value.
        value: f32,
    },
    /// The network does not use all parameters.
    #[error("{file}: {count} tensors are not used, {}; is this the file of another network?", listed(.first, *.count))]
    Leftover {
        /// The file.
        file: String,
        /// How many are not used.
        count: usize,
        /// The first few names.
        first: Vec<String>,
    },
}

fn hint(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|name| format!(" (the most similar is {name:?})")).unwrap_or_default()
}

fn listed(first: &[String], count: usize) -> String {
    let names = first.join(", ");
    if count > first.len() { format!("{names} and others") } else { names }
}

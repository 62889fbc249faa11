//! Tensors: what they are called, what they hold.

use std::fmt;

use half::f16;

/// An input or an output.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Its name in the network.
    pub name: String,
    /// What it holds.
    pub element: Element,
    /// `None` for what the network leaves open.
    pub shape: Vec<Option<usize>>,
}

impl fmt::Display for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sides: Vec<_> =
            self.shape.iter().map(|side| side.map_or_else(|| "?".to_owned(), |side| side.to_string())).collect();
        write!(f, "{:?}, {} of {}", self.name, self.element, sides.join(" x "))
    }
}

/// The type of a tensor's elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Element {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// Bytes.
    U8,
    /// 32-bit integers.
    I32,
    /// 64-bit integers.
    I64,
    /// Truth values.
    Bool,
    /// One of which no frame and no mask is made, by its number or its name.
    Other(String),
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::F32 => f.write_str("float32"),
            Self::F16 => f.write_str("float16"),
            Self::U8 => f.write_str("uint8"),
            Self::I32 => f.write_str("int32"),
            Self::I64 => f.write_str("int64"),
            Self::Bool => f.write_str("bool"),
            Self::Other(name) => f.write_str(name),
        }
    }
}

/// A tensor's elements.
#[derive(Clone, Copy, Debug)]
pub enum Values<'a> {
    /// 32-bit floats.
    F32(&'a [f32]),
    /// 16-bit floats.
    F16(&'a [f16]),
    /// Bytes.
    U8(&'a [u8]),
    /// 32-bit integers.
    I32(&'a [i32]),
    /// 64-bit integers.
    I64(&'a [i64]),
    /// Truth values.
    Bool(&'a [bool]),
}

//! One tensor of a file: what it is, where it lies, and its values as f32.
//!
//! Invariant: an entry is made only after its extent was checked against the file's length, so its number of values
//! is one that the file can hold.

use std::cell::Cell;

use half::{bf16, f16};

/// How a tensor's values are stored, with the length of one in bytes where that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dtype {
    F32,
    F16,
    BF16,
    F64,
    /// Counters, indices and masks: named, never read.
    Integer(&'static str, usize),
    /// Not read; a length of 0 is one that is not whole.
    Other(&'static str, usize),
}

impl Dtype {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::F64 => "F64",
            Self::Integer(name, _) | Self::Other(name, _) => name,
        }
    }

    pub(super) const fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::F64 => 8,
            Self::Integer(_, size) | Self::Other(_, size) => size,
        }
    }
}

/// A tensor of the file.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) shape: Vec<usize>,
    pub(super) dtype: Dtype,
    pub(super) source: Source,
    pub(super) taken: Cell<bool>,
}

/// Where a tensor's values are.
#[derive(Debug)]
pub(super) enum Source {
    /// In memory.
    Values(Vec<f32>),
    /// In the file, from byte `at`; one after the other, or by `strides` in values.
    File { at: usize, strides: Option<Vec<usize>> },
}

impl Entry {
    pub(super) fn new(shape: Vec<usize>, dtype: Dtype, source: Source) -> Self {
        Self { shape, dtype, source, taken: Cell::new(false) }
    }

    /// The values, row by row; none when the type is not one of floating-point numbers or they lie beyond the file.
    pub(super) fn values(&self, file: &[u8]) -> Option<Vec<f32>> {
        match self.dtype {
            Dtype::F32 => self.read(file, f32::from_le_bytes),
            Dtype::F16 => self.read(file, |bytes| f16::from_le_bytes(bytes).to_f32()),
            Dtype::BF16 => self.read(file, |bytes| bf16::from_le_bytes(bytes).to_f32()),
            Dtype::F64 => self.read(file, |bytes| f64::from_le_bytes(bytes) as f32),
            Dtype::Integer(..) | Dtype::Other(..) => None,
        }
    }

    fn read<const N: usize>(&self, file: &[u8], convert: impl Fn([u8; N]) -> f32) -> Option<Vec<f32>> {
        let (at, strides) = match &self.source {
            Source::Values(values) => return Some(values.clone()),
            Source::File { at, strides } => (*at, strides),
        };
        let count = self.shape.iter().product();
        let bytes = file.get(at..)?;
        let Some(strides) = strides else {
            let (chunks, _) = bytes.get(..count * N)?.as_chunks::<N>();
            return Some(chunks.iter().map(|&chunk| convert(chunk)).collect());
        };
        let mut values = Vec::with_capacity(count);
        let mut index = vec![0; self.shape.len()];
        for _ in 0..count {
            let offset: usize = index.iter().zip(strides).map(|(index, stride)| index * stride).sum();
            values.push(convert(*bytes.get(offset * N..)?.first_chunk()?));
            for (index, &size) in index.iter_mut().zip(&self.shape).rev() {
                *index += 1;
                if *index < size {
                    break;
                }
                *index = 0;
            }
        }
        Some(values)
    }
}

/// How many values a tensor of this shape has, if that is a number.
pub(super) fn count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |count, &size| count.checked_mul(size))
}

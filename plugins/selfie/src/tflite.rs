//! The TFLite file format, as far as the selfie networks use it: tensors, constants and operators.
//!
//! Field numbers are those of TensorFlow's `schema.fbs`. Reading borrows the file and copies no weights.

use segue_nn::{Activation, Sampling};

use crate::flatbuffer::{self, Table};

/// No network of this kind has more tensors, operators or buffers.
const MOST_ITEMS: usize = 4096;
/// No operator of this kind has more inputs or outputs, and no tensor more dimensions.
const MOST_LINKS: usize = 8;
/// The most values a tensor may have (64 MiB of f32).
const MOST_VALUES: usize = 16 << 20;

/// Why a file is not a network we can read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// The file's structure is broken.
    #[error("the file is damaged: {0}")]
    Damaged(#[from] flatbuffer::Error),
    /// The file is something else.
    #[error("this is not a TFLite file: bytes 4 to 8 should read TFL3")]
    NotTflite,
    /// A count is beyond what such a network has.
    #[error("{count} {what}, but at most {most} are read")]
    TooMany {
        /// What was counted.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        most: usize,
    },
    /// A tensor's size is absurd.
    #[error(
        "tensor {tensor} has the shape {shape:?}: dimensions must be positive, and their product at most {MOST_VALUES}"
    )]
    TensorSize {
        /// The tensor's number.
        tensor: usize,
        /// The shape the file gives.
        shape: Vec<i32>,
    },
    /// A constant's bytes do not fit its shape.
    #[error("tensor {tensor} should have {expected} bytes of data but has {found}")]
    DataSize {
        /// The tensor's number.
        tensor: usize,
        /// What its shape needs.
        expected: usize,
        /// What the file has.
        found: usize,
    },
    /// A reference leads nowhere.
    #[error("{what} number {index} does not exist")]
    Dangling {
        /// What was referred to.
        what: &'static str,
        /// By which number.
        index: i64,
    },
    /// An operator that we have no kernel for.
    #[error("operator {operator} is a {name}, which is not supported")]
    UnknownOperator {
        /// The operator's number.
        operator: usize,
        /// Its name or code.
        name: String,
    },
    /// An option that we have no kernel for.
    #[error("operator {operator} has {option} = {value}, which is not supported")]
    UnknownOption {
        /// The operator's number.
        operator: usize,
        /// The option.
        option: &'static str,
        /// Its value.
        value: i64,
    },
}

/// A network as the file has it.
#[derive(Debug)]
pub(crate) struct Model<'a> {
    pub(crate) tensors: Vec<Tensor<'a>>,
    pub(crate) operators: Vec<Operator>,
    pub(crate) inputs: Vec<usize>,
    pub(crate) outputs: Vec<usize>,
}

/// A tensor: its size, and its bytes if it is a constant.
#[derive(Debug)]
pub(crate) struct Tensor<'a> {
    pub(crate) shape: Vec<usize>,
    pub(crate) kind: TensorKind,
    pub(crate) data: Option<&'a [u8]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TensorKind {
    F32,
    F16,
    I32,
    Other,
}

/// One operator; its tensors by number.
#[derive(Debug)]
pub(crate) struct Operator {
    pub(crate) kind: OperatorKind,
    pub(crate) inputs: Vec<usize>,
    pub(crate) output: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum OperatorKind {
    Add(Activation),
    Multiply(Activation),
    AveragePool { filter: (usize, usize) },
    Mean,
    Conv(Stepping, Activation),
    Depthwise(Stepping, Activation),
    Deconv2x2,
    Dequantize,
    Resize(Sampling),
    Activation(Activation),
}

/// How a convolution's window moves; pairs are (rows, columns).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stepping {
    pub(crate) same: bool,
    pub(crate) stride: (usize, usize),
    pub(crate) dilation: (usize, usize),
}

impl<'a> Model<'a> {
    /// Reads a file's first (and, for these networks, only) graph.
    pub(crate) fn read(file: &'a [u8]) -> Result<Self, Error> {
        let root = Table::root(file, "the model")?;
        if file.get(4..8) != Some(b"TFL3") {
            return Err(Error::NotTflite);
        }
        let graph = root.vector(2, 4, "the graph list")?.first()?;
        let codes = read_all(&root, 1, "operator codes", read_code)?;
        let buffers = read_all(&root, 4, "buffers", |_, table| Ok(table.bytes(0, "a buffer's data")?))?;
        let tensors = read_all(&graph, 0, "tensors", |i, table| read_tensor(i, table, &buffers))?;
        let operators = read_all(&graph, 3, "operators", |i, table| read_operator(i, table, &codes, tensors.len()))?;
        let inputs = read_links(&graph, 1, "graph inputs", tensors.len())?;
        let outputs = read_links(&graph, 2, "graph outputs", tensors.len())?;
        Ok(Self { tensors, operators, inputs, outputs })
    }
}

/// What an operator code stands for: a built-in's number, or a custom operator's name.
#[derive(Clone, Copy)]
enum Code<'a> {
    BuiltIn(i32),
    Custom(&'a [u8]),
}

fn read_all<'a, T>(
    table: &Table<'a>,
    slot: usize,
    what: &'static str,
    read: impl Fn(usize, Table<'a>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let items = table.vector(slot, 4, what)?;
    check_count(what, items.len(), MOST_ITEMS)?;
    items.tables().enumerate().map(|(i, table)| read(i, table?)).collect()
}

fn check_count(what: &'static str, count: usize, most: usize) -> Result<(), Error> {
    if count > most { Err(Error::TooMany { what, count, most }) } else { Ok(()) }
}

fn read_code<'a>(_: usize, table: Table<'a>) -> Result<Code<'a>, Error> {
    const CUSTOM: i32 = 32;
    // Files before 2020 have the code in a byte, later ones (also) in an integer.
    let old = i32::from(table.u8(0, 0, "an operator's code")?);
    match old.max(table.i32(3, 0, "an operator's code")?) {
        CUSTOM => Ok(Code::Custom(table.bytes(1, "a custom operator's name")?)),
        code => Ok(Code::BuiltIn(code)),
    }
}

fn read_tensor<'a>(tensor: usize, table: Table<'a>, buffers: &[&'a [u8]]) -> Result<Tensor<'a>, Error> {
    let dimensions = table.vector(0, 4, "a tensor's shape")?;
    check_count("dimensions of a tensor", dimensions.len(), MOST_LINKS)?;
    let absurd = || Error::TensorSize { tensor, shape: dimensions.i32s().collect() };
    let shape: Option<Vec<usize>> = dimensions.i32s().map(|d| usize::try_from(d).ok().filter(|&d| d > 0)).collect();
    let shape = shape.ok_or_else(absurd)?;
    let values = shape.iter().try_fold(1, |product: usize, &d| product.checked_mul(d).filter(|&p| p <= MOST_VALUES));
    let values = values.ok_or_else(absurd)?;
    let (kind, size) = match table.u8(1, 0, "a tensor's type")? {
        0 => (TensorKind::F32, 4),
        1 => (TensorKind::F16, 2),
        2 => (TensorKind::I32, 4),
        _ => (TensorKind::Other, 0),
    };
    let buffer = table.u32(2, "a tensor's buffer")?;
    let data = *buffers.get(buffer).ok_or(Error::Dangling { what: "buffer", index: buffer as i64 })?;
    if data.is_empty() {
        return Ok(Tensor { shape, kind, data: None });
    }
    let expected = values * size;
    if kind != TensorKind::Other && data.len() != expected {
        return Err(Error::DataSize { tensor, expected, found: data.len() });
    }
    Ok(Tensor { shape, kind, data: Some(data) })
}

fn read_links(table: &Table<'_>, slot: usize, what: &'static str, tensors: usize) -> Result<Vec<usize>, Error> {
    let links = table.vector(slot, 4, what)?;
    check_count(what, links.len(), MOST_LINKS)?;
    let dangling = |index| Error::Dangling { what: "tensor", index: i64::from(index) };
    let link = |index| usize::try_from(index).ok().filter(|&i| i < tensors).ok_or_else(|| dangling(index));
    links.i32s().map(link).collect()
}

fn read_operator(operator: usize, table: Table<'_>, codes: &[Code<'_>], tensors: usize) -> Result<Operator, Error> {
    let code = table.u32(0, "an operator's code")?;
    let code = *codes.get(code).ok_or(Error::Dangling { what: "operator code", index: code as i64 })?;
    let inputs = read_links(&table, 1, "inputs of an operator", tensors)?;
    let outputs = read_links(&table, 2, "outputs of an operator", tensors)?;
    let &[output] = outputs.as_slice() else {
        return Err(Error::UnknownOption { operator, option: "outputs", value: outputs.len() as i64 });
    };
    Ok(Operator { kind: read_kind(operator, table, code)?, inputs, output })
}

fn read_kind(operator: usize, table: Table<'_>, code: Code<'_>) -> Result<OperatorKind, Error> {
    let number = match code {
        Code::BuiltIn(number) => number,
        Code::Custom(b"Convolution2DTransposeBias") => return read_deconv(operator, table),
        Code::Custom(name) => {
            let name = String::from_utf8_lossy(&name[..name.len().min(64)]).into_owned();
            return Err(Error::UnknownOperator { operator, name });
        }
    };
    let options = Options { operator, table: table.table(4, "an operator's options")? };
    Ok(match number {
        0 => OperatorKind::Add(options.activation(0)?),
        1 => options.average_pool()?,
        3 => OperatorKind::Conv(options.stepping(4)?, options.activation(3)?),
        4 => OperatorKind::Depthwise(options.stepping(5)?, options.activation(4)?),
        6 => OperatorKind::Dequantize,
        14 => OperatorKind::Activation(Activation::Sigmoid),
        18 => OperatorKind::Multiply(options.activation(0)?),
        19 => OperatorKind::Activation(Activation::Relu),
        21 => OperatorKind::Activation(Activation::Relu6),
        23 => OperatorKind::Resize(options.sampling()?),
        40 => OperatorKind::Mean,
        117 => OperatorKind::Activation(Activation::HardSwish),
        _ => {
            return Err(Error::UnknownOperator { operator, name: format!("built-in {number}") });
        }
    })
}

/// MediaPipe's operator: its options are three integers, the padding and the strides.
fn read_deconv(operator: usize, table: Table<'_>) -> Result<OperatorKind, Error> {
    let bytes = table.bytes(5, "an operator's custom options")?;
    let strides = bytes.as_chunks::<4>().0.iter().skip(1).map(|b| i32::from_le_bytes(*b));
    match strides.clone().find(|&stride| stride != 2) {
        None if strides.count() == 2 => Ok(OperatorKind::Deconv2x2),
        wrong => Err(Error::UnknownOption { operator, option: "stride", value: wrong.map_or(0, i64::from) }),
    }
}

/// A built-in operator's options; those left out have the schema's defaults.
struct Options<'a> {
    operator: usize,
    table: Option<Table<'a>>,
}

impl Options<'_> {
    fn byte(&self, slot: usize) -> Result<u8, Error> {
        Ok(self.table.map_or(Ok(0), |t| t.u8(slot, 0, "an operator's option"))?)
    }

    /// An integer from 1 to 4096, all that windows, strides and dilations can be.
    fn size(&self, slot: usize, default: i32, option: &'static str) -> Result<usize, Error> {
        let value = self.table.map_or(Ok(default), |t| t.i32(slot, default, "an operator's option"))?;
        let wrong = Error::UnknownOption { operator: self.operator, option, value: i64::from(value) };
        usize::try_from(value).ok().filter(|size| (1..=4096).contains(size)).ok_or(wrong)
    }

    fn activation(&self, slot: usize) -> Result<Activation, Error> {
        match self.byte(slot)? {
            0 => Ok(Activation::None),
            1 => Ok(Activation::Relu),
            3 => Ok(Activation::Relu6),
            other => Err(Error::UnknownOption { operator: self.operator, option: "activation", value: other.into() }),
        }
    }

    fn stepping(&self, dilation_slot: usize) -> Result<Stepping, Error> {
        let same = match self.byte(0)? {
            0 => true,
            1 => false,
            other => {
                return Err(Error::UnknownOption { operator: self.operator, option: "padding", value: other.into() });
            }
        };
        let stride = (self.size(2, 0, "stride")?, self.size(1, 0, "stride")?);
        let dilation = (self.size(dilation_slot + 1, 1, "dilation")?, self.size(dilation_slot, 1, "dilation")?);
        Ok(Stepping { same, stride, dilation })
    }

    fn average_pool(&self) -> Result<OperatorKind, Error> {
        let filter = (self.size(4, 0, "filter")?, self.size(3, 0, "filter")?);
        match self.activation(5)? {
            Activation::None => Ok(OperatorKind::AveragePool { filter }),
            _ => Err(Error::UnknownOption { operator: self.operator, option: "activation", value: 1 }),
        }
    }

    fn sampling(&self) -> Result<Sampling, Error> {
        Ok(match (self.byte(2)? != 0, self.byte(3)? != 0) {
            (true, _) => Sampling::AlignedCorners,
            (false, true) => Sampling::HalfPixelCentres,
            (false, false) => Sampling::TopLeft,
        })
    }
}

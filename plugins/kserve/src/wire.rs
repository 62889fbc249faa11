//! Tensors as they travel, and back.

use bytes::Bytes;
use half::f16;
use segue_oip::{InferTensor, ModelInferResponse, TensorMetadata};
use segue_plugin::{Error, Result};
use segue_tensors::{Element, Tensor, Values};

/// The protocol's name of each element type.
const NAMES: [(&str, Element); 6] = [
    ("FP32", Element::F32),
    ("FP16", Element::F16),
    ("UINT8", Element::U8),
    ("INT32", Element::I32),
    ("INT64", Element::I64),
    ("BOOL", Element::Bool),
];

/// A tensor as a server describes it.
pub(crate) fn described(metadata: &TensorMetadata) -> Tensor {
    let known = NAMES.iter().find(|(name, _)| *name == metadata.datatype);
    let element = known.map_or_else(|| Element::Other(metadata.datatype.clone()), |(_, element)| element.clone());
    let shape = metadata.shape.iter().map(|&side| usize::try_from(side).ok().filter(|&side| side > 0)).collect();
    Tensor { name: metadata.name.clone(), element, shape }
}

/// The protocol's name of an element type that a frame becomes.
pub(crate) fn name_of(element: &Element) -> &'static str {
    NAMES.iter().find(|(_, known)| known == element).map_or("FP32", |(name, _)| name)
}

/// Values as raw bytes, little-endian.
pub(crate) fn to_raw(values: Values<'_>) -> Result<Bytes> {
    match values {
        Values::U8(values) => Ok(Bytes::copy_from_slice(values)),
        Values::F32(values) => Ok(raw_of(values, |value: &f32| value.to_le_bytes())),
        Values::F16(values) => Ok(raw_of(values, |value: &f16| value.to_le_bytes())),
        _ => Err(Error::new("an input of a type that no frame becomes")),
    }
}

fn raw_of<T, const N: usize>(values: &[T], bytes: impl Fn(&T) -> [u8; N]) -> Bytes {
    let mut raw = vec![0; N * values.len()];
    raw.as_chunks_mut::<N>().0.iter_mut().zip(values).for_each(|(to, value)| *to = bytes(value));
    raw.into()
}

/// Hands the output `name` of a response to `take`.
pub(crate) fn read<R>(
    response: &ModelInferResponse,
    name: &str,
    take: impl FnOnce(&[usize], Values<'_>) -> Result<R>,
) -> Result<R> {
    let found = response.outputs.iter().position(|output| output.name == name);
    let at = found.ok_or_else(|| Error::new(format!("the answer has no output {name:?}")))?;
    let output = &response.outputs[at];
    let shape: Vec<usize> = output.shape.iter().map(|&side| usize::try_from(side).unwrap_or(0)).collect();
    let len = shape.iter().try_fold(1_usize, |len, &side| len.checked_mul(side));
    let checked = |found: usize| match len == Some(found) {
        true => Ok(()),
        false => Err(Error::new(format!("the answer's output {name:?} of shape {shape:?} has {found} values"))),
    };
    if let Some(raw) = response.raw_output_contents.get(at) {
        return match output.datatype.as_str() {
            "UINT8" => checked(raw.len()).and_then(|()| take(&shape, Values::U8(raw))),
            "BOOL" => checked(raw.len()).and_then(|()| take(&shape, Values::U8(raw))),
            "FP32" => from_raw(raw, f32::from_le_bytes).and_then(|it| {
                checked(it.len())?;
                take(&shape, Values::F32(&it))
            }),
            "FP16" => from_raw(raw, f16::from_le_bytes).and_then(|it| {
                checked(it.len())?;
                take(&shape, Values::F16(&it))
            }),
            "INT32" => from_raw(raw, i32::from_le_bytes).and_then(|it| {
                checked(it.len())?;
                take(&shape, Values::I32(&it))
            }),
            "INT64" => from_raw(raw, i64::from_le_bytes).and_then(|it| {
                checked(it.len())?;
                take(&shape, Values::I64(&it))
            }),
            other => Err(Error::new(format!("the answer's output {name:?} is of {other}, which is no mask"))),
        };
    }
    listed(output, |values| {
        checked(values.1)?;
        take(&shape, values.0)
    })
}

fn from_raw<T, const N: usize>(raw: &[u8], value: impl Fn([u8; N]) -> T) -> Result<Vec<T>> {
    match raw.as_chunks::<N>() {
        (chunks, []) => Ok(chunks.iter().map(|chunk| value(*chunk)).collect()),
        _ => Err(Error::new("the answer is cut short")),
    }
}

/// Values that came as numbers of the message, as some servers write them; with their count.
fn listed<R>(output: &InferTensor, take: impl FnOnce((Values<'_>, usize)) -> Result<R>) -> Result<R> {
    let Some(contents) = &output.contents else { return Err(Error::new("the answer's output has no values")) };
    match output.datatype.as_str() {
        "FP32" => take((Values::F32(&contents.fp32_contents), contents.fp32_contents.len())),
        "INT64" => take((Values::I64(&contents.int64_contents), contents.int64_contents.len())),
        "INT32" => take((Values::I32(&contents.int_contents), contents.int_contents.len())),
        "BOOL" => take((Values::Bool(&contents.bool_contents), contents.bool_contents.len())),
        "UINT8" => {
            let bytes: Vec<u8> = contents.uint_contents.iter().map(|&value| value.min(255) as u8).collect();
            take((Values::U8(&bytes), bytes.len()))
        }
        other => Err(Error::new(format!("the answer's output is of {other}, which is no mask"))),
    }
}

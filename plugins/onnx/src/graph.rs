//! What an ONNX file says of its graph, read without any engine: inputs, outputs, operators. Weights are skipped.

use std::{collections::BTreeMap, fmt, path::Path};

use prost::Message;
use segue_plugin::{Error, Result};
use segue_tensors::{Element, Tensor};

/// Protobuf messages are no longer than this.
const LARGEST_LEN_BYTES: u64 = 1 << 31;

/// A graph's outside.
#[derive(Debug)]
pub(crate) struct Graph {
    /// Who made the file.
    pub(crate) producer: String,
    pub(crate) inputs: Vec<Tensor>,
    pub(crate) outputs: Vec<Tensor>,
    /// How often each operator is used, with its domain where that is not ONNX's own.
    pub(crate) operators: BTreeMap<String, usize>,
    /// The operator that makes each output.
    makers: BTreeMap<String, String>,
}

impl Graph {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let len_bytes = std::fs::metadata(path)?.len();
        if len_bytes > LARGEST_LEN_BYTES {
            return Err(Error::new(format!("it has {len_bytes} bytes, and an ONNX file at most {LARGEST_LEN_BYTES}")));
        }
        let broken = |reason: &dyn fmt::Display| Error::new(format!("it is no ONNX file, or is cut short ({reason})"));
        let model = ModelProto::decode(&*std::fs::read(path)?).map_err(|error| broken(&error))?;
        let graph = model.graph.ok_or_else(|| broken(&"it has no graph"))?;
        if graph.output.is_empty() || graph.node.is_empty() {
            return Err(broken(&"its graph computes nothing"));
        }
        refuse_external_weights(&graph)?;
        let is_weight = |name: &str| graph.initializer.iter().any(|weight| weight.name == name);
        let inputs = graph.input.iter().filter(|input| !is_weight(&input.name)).map(tensor).collect();
        let mut operators = BTreeMap::new();
        let mut makers = BTreeMap::new();
        for node in &graph.node {
            let name = match node.domain.as_str() {
                "" | "ai.onnx" => node.op_type.clone(),
                domain => format!("{domain}.{}", node.op_type),
            };
            makers.extend(node.output.iter().map(|output| (output.clone(), name.clone())));
            *operators.entry(name).or_insert(0) += 1;
        }
        let outputs = graph.output.iter().map(tensor).collect();
        Ok(Self { producer: model.producer_name, inputs, outputs, operators, makers })
    }

    /// The operator that makes the output `name`.
    pub(crate) fn maker(&self, name: &str) -> &str {
        self.makers.get(name).map_or("", String::as_str)
    }
}

/// The server checks one file by its hash, and hands over a copy of it.
fn refuse_external_weights(graph: &GraphProto) -> Result<()> {
    let Some(weight) = graph.initializer.iter().find(|weight| weight.data_location == 1) else { return Ok(()) };
    let place = weight.external_data.iter().find(|entry| entry.key == "location");
    let file = place.map_or("another file", |entry| &entry.value);
    Err(Error::new(format!(
        "it keeps weights in {file}; save it as one file: `onnx.save(onnx.load(path), new_path, save_as_external_data=False)`"
    )))
}

fn tensor(info: &ValueInfoProto) -> Tensor {
    let of = info.r#type.as_ref().and_then(|of| of.tensor_type.as_ref());
    let element = match of.map_or(0, |of| of.elem_type) {
        1 => Element::F32,
        2 => Element::U8,
        6 => Element::I32,
        7 => Element::I64,
        9 => Element::Bool,
        10 => Element::F16,
        other => Element::Other(format!("ONNX's element type {other}")),
    };
    let sides = of.and_then(|of| of.shape.as_ref()).map(|shape| shape.dim.as_slice()).unwrap_or_default();
    let shape = sides.iter().map(|side| usize::try_from(side.dim_value).ok().filter(|&side| side > 0)).collect();
    Tensor { name: info.name.clone(), element, shape }
}

// The parts of ONNX's messages that are read here; the numbers are those of its `onnx.proto`.

#[derive(Clone, PartialEq, Message)]
struct ModelProto {
    #[prost(string, tag = "2")]
    producer_name: String,
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphProto>,
}

#[derive(Clone, PartialEq, Message)]
struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    node: Vec<NodeProto>,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<ValueInfoProto>,
}

#[derive(Clone, PartialEq, Message)]
struct NodeProto {
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "4")]
    op_type: String,
    #[prost(string, tag = "7")]
    domain: String,
}

#[derive(Clone, PartialEq, Message)]
struct TensorProto {
    #[prost(string, tag = "8")]
    name: String,
    #[prost(message, repeated, tag = "13")]
    external_data: Vec<EntryProto>,
    #[prost(int32, tag = "14")]
    data_location: i32,
}

#[derive(Clone, PartialEq, Message)]
struct ValueInfoProto {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    r#type: Option<TypeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct TypeProto {
    #[prost(message, optional, tag = "1")]
    tensor_type: Option<TensorTypeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorTypeProto {
    #[prost(int32, tag = "1")]
    elem_type: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<ShapeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct ShapeProto {
    #[prost(message, repeated, tag = "1")]
    dim: Vec<SideProto>,
}

#[derive(Clone, PartialEq, Message)]
struct SideProto {
    #[prost(int64, tag = "1")]
    dim_value: i64,
}

#[derive(Clone, PartialEq, Message)]
struct EntryProto {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

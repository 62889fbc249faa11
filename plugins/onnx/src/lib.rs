//! Any ONNX file as a Segue backend: the graph says what it takes and gives, `models/<name>.toml` says the rest.
//!
//! A frame becomes the graph's input (`segue-tensors`), an engine runs the graph (`engine`: ONNX Runtime where its library is found,
//! else rten), and what comes out becomes a mask: class scores, a label map, or a matte.

mod backend;
mod engine;
mod graph;
mod propose;
mod settings;

pub use backend::Onnx;

segue_plugin::export_backend!(Onnx, "onnx");

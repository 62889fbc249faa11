//! Models on other machines: frames go to servers of the Open Inference Protocol (KServe, Triton, MLServer, OpenVINO, Segue), by gRPC.
//!
//! A frame becomes the remote model's input and its output a mask as for an ONNX graph (`segue-tensors`); `remote` chooses among
//! several servers, and knows which of them are well.

mod backend;
mod remote;
mod settings;
mod wire;

pub use backend::KServe;

segue_plugin::export_backend!(KServe, "kserve");

//! MediaPipe Selfie Segmentation: person or not, for webcam frames, on a CPU.

pub mod network;

mod backend;
mod flatbuffer;
mod fuse;
mod graph;
mod lower;
mod plan;
mod step;
mod tflite;

pub use backend::segue_plugin_v1;

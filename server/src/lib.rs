//! Segue, a real-time segmentation server, in the order in which a frame meets its modules.

pub mod cli;
pub mod http;
pub mod session;

pub mod admission;
pub mod pipeline;

pub mod reload;

pub mod model;
pub mod plugin_host;

pub mod config;
pub mod telemetry;

pub mod copies;
pub mod file;

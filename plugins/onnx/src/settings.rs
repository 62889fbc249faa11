//! What a model of the catalog, or a mode, can set beside the rules of its tensors.

use std::path::PathBuf;

use segue_plugin::{Model, Result};
use segue_tensors::Rules;
use serde::Deserialize;
use serde_json::{Map, Value};

/// All of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// What goes into the graph, and what comes out.
    pub(crate) rules: Rules,
    /// What runs it.
    pub(crate) run: Run,
}

impl Settings {
    pub(crate) fn of(model: &Model<'_>) -> Result<Self> {
        let mut all: Map<String, Value> = model.settings()?;
        let rules = Rules::take_from(&mut all)?;
        let own = Value::Object(all).to_string();
        Ok(Self { rules, run: Model { settings_json: &own, ..model.clone() }.settings()? })
    }
}

/// What runs a graph.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Run {
    /// The engine.
    pub(crate) engine: EngineName,
    /// ONNX Runtime's library, where it lies in no usual place.
    pub(crate) runtime: Option<PathBuf>,
    /// Where ONNX Runtime runs it.
    pub(crate) device: Device,
}

/// An engine.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EngineName {
    /// ONNX Runtime where its library is found, else rten.
    #[default]
    Auto,
    OnnxRuntime,
    Rten,
}

/// Where ONNX Runtime runs a graph.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Device {
    /// On an NVIDIA card where library and card are there, else on the CPU.
    #[default]
    Auto,
    Cpu,
    Cuda,
}

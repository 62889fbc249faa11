//! What a model of the catalog, or a mode, can set beside the rules of its tensors.

use std::{collections::BTreeMap, path::PathBuf};

use segue_plugin::{Error, Model, Result};
use segue_tensors::Rules;
use serde::Deserialize;
use serde_json::{Map, Value};

/// All of it.
pub(crate) struct Settings {
    /// What goes into the model, and what comes out.
    pub(crate) rules: Rules,
    /// Where it is.
    pub(crate) remote: RemoteSettings,
}

impl Settings {
    pub(crate) fn of(model: &Model<'_>) -> Result<Self> {
        let mut all: Map<String, Value> = model.settings()?;
        let rules = Rules::take_from(&mut all)?;
        let own = Value::Object(all).to_string();
        let remote: RemoteSettings = Model { settings_json: &own, ..model.clone() }.settings()?;
        if remote.endpoints.is_empty() {
            return Err(Error::new("endpoints = []: name at least one server, such as \"http://127.0.0.1:8001\""));
        }
        Ok(Self { rules, remote })
    }
}

/// Where a model is, and how long it may take.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct RemoteSettings {
    /// Addresses of servers that have the model, such as `http://10.0.0.7:8001`; `https` for TLS.
    pub(crate) endpoints: Vec<String>,
    /// The model's name there.
    pub(crate) model: String,
    /// Its version; the server's choice when empty.
    #[serde(default)]
    pub(crate) version: String,
    /// Longest time for one frame, in milliseconds, a second attempt included.
    #[serde(default = "usual_deadline")]
    pub(crate) deadline_millis: u64,
    /// How often it is asked how the servers are, in milliseconds.
    #[serde(default = "usual_health_interval")]
    pub(crate) health_interval_millis: u64,
    /// Sent with each request, such as `authorization`.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// A file in PEM with the certificates that the servers' are signed by; the public ones when left out.
    #[serde(default)]
    pub(crate) ca_file: Option<PathBuf>,
    /// The name in the servers' certificates, where it is not the one in their address.
    #[serde(default)]
    pub(crate) server_name: Option<String>,
}

const fn usual_deadline() -> u64 {
    1000
}

const fn usual_health_interval() -> u64 {
    1000
}

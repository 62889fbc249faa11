//! A running server, as subcommands talk to it.

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::Failure;

/// A switch of profile that brings a new model waits until that is loaded.
const PATIENCE: Duration = Duration::from_secs(180);

/// A capture with its pictures, or all that a flight recorder holds.
const LARGEST_ANSWER_LEN_BYTES: u64 = 256 << 20;

/// Which server.
#[derive(Debug, Args)]
pub(super) struct RemoteArguments {
    /// Address of the running server
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080", env = "SEGUE_URL")]
    pub(super) url: String,
    /// The admin token: `security.admin_token` of its profile
    #[arg(long, value_name = "TOKEN", env = "SEGUE_ADMIN_TOKEN", hide_env_values = true)]
    pub(super) token: Option<String>,
}

impl RemoteArguments {
    /// Posts `body` to an admin path; the answer of a server that did what was asked for.
    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let Some(token) = &self.token else {
            return Err(Failure::wrong_usage("this needs the admin token: --token, or SEGUE_ADMIN_TOKEN"));
        };
        let url = address(&self.url, path);
        answer(&url, agent().post(&url).header("authorization", format!("Bearer {token}")).send_json(body))
    }
}

/// What the server at `url` answers at `path`.
pub(super) fn get(url: &str, path: &str) -> Result<Value, Failure> {
    let url = address(url, path);
    answer(&url, agent().get(&url).call())
}

/// The text that the server at `url` answers at `path`.
pub(super) fn text(url: &str, path: &str) -> Result<String, Failure> {
    let url = address(url, path);
    let unreachable = |error: ureq::Error| Failure::does_not_hold(format!("{url}: {error}"));
    agent().get(&url).call().and_then(|mut answer| answer.body_mut().read_to_string()).map_err(unreachable)
}

fn agent() -> ureq::Agent {
    // No proxy: the admin token is for the server alone.
    let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None);
    config.timeout_global(Some(PATIENCE)).build().into()
}

fn address(url: &str, path: &str) -> String {
    let scheme = if url.contains("://") { "" } else { "http://" };
    format!("{scheme}{}{path}", url.trim_end_matches('/'))
}

fn answer(url: &str, answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Value, Failure> {
    let unreachable = |error: ureq::Error| {
        Failure::does_not_hold(format!("{url}: {error}; is a server running there? Name it with --url"))
    };
    let mut answer = answer.map_err(unreachable)?;
    let is_done = answer.status().is_success();
    let text = answer.body_mut().with_config().limit(LARGEST_ANSWER_LEN_BYTES).read_to_string().map_err(unreachable)?;
    let document = serde_json::from_str::<Value>(&text);
    match document {
        Ok(document) if is_done => Ok(document),
        Ok(document) => Err(Failure::does_not_hold(document["message"].as_str().unwrap_or(&text))),
        Err(_no_json) => Err(Failure::does_not_hold(format!("{url} answered {}: {}", answer.status(), text.trim()))),
    }
}

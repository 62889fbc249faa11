//! A running server, as subcommands talk to it.

use std::time::Duration;

use clap::Args;
use serde_json::Value;
use ureq::{
    Body,
    http::{Response, StatusCode},
    tls::{RootCerts, TlsConfig},
};

use super::Failure;

type Answer = Result<Response<Body>, ureq::Error>;

/// A switch of profile that brings a new model waits until that is loaded.
const PATIENCE: Duration = Duration::from_secs(180);

/// A capture with its pictures, or all that a flight recorder holds.
const LARGEST_ANSWER_LEN_BYTES: u64 = 256 << 20;

/// Which server.
#[derive(Clone, Debug, Args)]
pub(super) struct RemoteArguments {
    /// Address of the running server
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080", env = "SEGUE_URL")]
    pub(super) url: String,
    /// A token that it knows: `security.admin_token` of its profile, or one of a client where that is enough
    #[arg(long, value_name = "TOKEN", env = "SEGUE_ADMIN_TOKEN", hide_env_values = true)]
    pub(super) token: Option<String>,
}

impl RemoteArguments {
    /// What the server answers at `path`.
    pub(super) fn get(&self, path: &str) -> Result<Value, Failure> {
        let url = address(&self.url, path);
        answer(&url, self.ask(&url))
    }

    /// The text that the server answers at `path`.
    pub(super) fn text(&self, path: &str) -> Result<String, Failure> {
        let url = address(&self.url, path);
        match read(&url, self.ask(&url))? {
            (status, text) if status.is_success() => Ok(text),
            (status, text) => Err(refused(&url, status, &text)),
        }
    }

    fn ask(&self, url: &str) -> Answer {
        let question = agent().get(url);
        match &self.token {
            None => question.call(),
            Some(token) => question.header("authorization", format!("Bearer {token}")).call(),
        }
    }

    /// Posts `body` to an admin path; the answer of a server that did what was asked for.
    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let Some(token) = &self.token else {
            return Err(Failure::wrong_usage("this needs the admin token: --token, or SEGUE_ADMIN_TOKEN"));
        };
        let url = address(&self.url, path);
        answer(&url, agent().post(&url).header("authorization", format!("Bearer {token}")).send_json(body))
    }
}

fn agent() -> ureq::Agent {
    // No proxy: tokens are for the server alone. Whom this machine trusts may vouch for it, such as the lab's own authority.
    let trust = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
    let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).tls_config(trust);
    config.timeout_global(Some(PATIENCE)).build().into()
}

fn address(url: &str, path: &str) -> String {
    let scheme = if url.contains("://") { "" } else { "http://" };
    format!("{scheme}{}{path}", url.trim_end_matches('/'))
}

fn answer(url: &str, answer: Answer) -> Result<Value, Failure> {
    let (status, text) = read(url, answer)?;
    match serde_json::from_str::<Value>(&text) {
        Ok(document) if status.is_success() => Ok(document),
        Ok(document) if status == StatusCode::UNAUTHORIZED => {
            let refusal = document["message"].as_str().unwrap_or(&text);
            Err(Failure::does_not_hold(format!("{refusal}: name one with --token")))
        }
        Ok(document) => Err(Failure::does_not_hold(document["message"].as_str().unwrap_or(&text))),
        Err(_no_json) => Err(refused(url, status, &text)),
    }
}

fn read(url: &str, answer: Answer) -> Result<(StatusCode, String), Failure> {
    let unreachable = |error: ureq::Error| {
        Failure::does_not_hold(format!("{url}: {error}; is a server running there? Name it with --url"))
    };
    let mut answer = answer.map_err(unreachable)?;
    let body = answer.body_mut().with_config().limit(LARGEST_ANSWER_LEN_BYTES).read_to_string();
    Ok((answer.status(), body.map_err(unreachable)?))
}

fn refused(url: &str, status: StatusCode, text: &str) -> Failure {
    Failure::does_not_hold(format!("{url} answered {status}: {}", text.trim()))
}

//! The Hugging Face hub, or the mirror that `HF_ENDPOINT` names: which file to get, and what it has to be.

use std::env;

use hf_hub::{
    Repo, RepoType,
    api::sync::{ApiBuilder, ApiError},
};

use super::Trouble;

/// A file of the hub.
pub(super) struct Found {
    /// Where it is, at the commit that was found.
    pub(super) url: String,
    /// What the hub says that it is.
    pub(super) sha256: String,
    /// What opens it, if the operator has one.
    pub(super) token: Option<String>,
}

/// Whether the operator forbade to ask it, as all of the hub's clients understand it.
pub(super) fn is_offline() -> bool {
    let word = env::var("HF_HUB_OFFLINE").unwrap_or_default().to_lowercase();
    matches!(word.as_str(), "1" | "true" | "yes" | "on")
}

/// Finds the first of `files` that `repository` has at `revision`.
pub(super) fn find(repository: &str, revision: &str, files: &[String]) -> Result<Found, Trouble> {
    let mut builder = ApiBuilder::from_env().with_progress(false);
    let token = env::var("HF_TOKEN").ok().filter(|token| !token.is_empty());
    let token = token.or_else(|| hf_hub::Cache::from_env().token());
    builder = builder.with_token(token.clone());
    if let Ok(endpoint) = env::var("HF_ENDPOINT") {
        builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
    }
    let api = builder.build().map_err(|error| Trouble::Source(error.to_string()))?;
    let repo_at = |revision: &str| Repo::with_revision(repository.into(), RepoType::Model, revision.into());
    let mut absent = Vec::new();
    for file in files {
        let told = match api.metadata(&api.repo(repo_at(revision)).url(file)) {
            Ok(told) => told,
            Err(error) if is_status(&error, 404) => {
                absent.push(file.as_str());
                continue;
            }
            Err(error) => return Err(Trouble::Source(reason(&error))),
        };
        let sha256 = told.etag().to_owned();
        if sha256.len() != 64 || hex::decode(&sha256).is_err() {
            return Err(Trouble::Source(format!(
                "it tells no SHA-256 of {file}, so nobody could tell whether it is whole"
            )));
        }
        let url = api.repo(repo_at(told.commit_hash())).url(file);
        return Ok(Found { url, sha256, token });
    }
    Err(Trouble::Source(format!("it has no {} at {revision}", absent.join(" and no "))))
}

fn is_status(error: &ApiError, status: u16) -> bool {
    matches!(error, ApiError::RequestError(error) if matches!(**error, ureq::Error::StatusCode(code) if code == status))
}

fn reason(error: &ApiError) -> String {
    match error {
        _ if is_status(error, 401) || is_status(error, 403) => {
            "it wants to know who asks; set HF_TOKEN to a token that may read it".into()
        }
        ApiError::RequestError(error) => format!("it can't be reached: {error}"),
        error => format!("it is no hub that we understand: {error}"),
    }
}

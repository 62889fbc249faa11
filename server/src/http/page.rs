//! The page's files, which are part of the program.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Json, Response},
};
use rust_embed::RustEmbed;
use serde_json::json;

use super::{App, health::Health};

/// A debug build reads them from the source tree, so that an edit shows at the next reload of the page.
#[derive(RustEmbed)]
#[folder = "../frontend"]
struct Files;

/// The page runs its own scripts, talks to the host it came from, and nothing else.
const POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' blob: data:; \
    media-src 'self' blob:; worker-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; \
    form-action 'none'";

/// The page that asks for a token sends one, too.
const SIGN_IN_POLICY: &str = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'";

/// Where that page says that a token was no good.
const REFUSED_MARK: &str = "<!-- refused -->";

/// Asks for a token.
pub(super) fn sign_in() -> Response {
    sign_in_saying("")
}

/// Asks for another token than the one that was sent.
pub(super) fn sign_in_again() -> Response {
    sign_in_saying("<p role=\"alert\">The server does not know this token.</p>")
}

fn sign_in_saying(refusal: &str) -> Response {
    let Some(file) = Files::get("sign_in.html") else { return StatusCode::NOT_FOUND.into_response() };
    let text = String::from_utf8_lossy(&file.data).replace(REFUSED_MARK, refusal);
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, SIGN_IN_POLICY),
    ];
    (headers, text).into_response()
}

/// The page; or a few words of JSON for a program that wants nothing else.
pub(super) async fn root(State(app): State<App>, uri: Uri, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let wants = |kind: &str| accept.split([',', ';']).any(|range| range.trim() == kind);
    if wants("application/json") && !wants("text/html") {
        let (version, status) = (env!("CARGO_PKG_VERSION"), Health::of(&app).name());
        return Json(json!({ "name": "Segue", "version": version, "status": status })).into_response();
    }
    file(uri, headers).await
}

pub(super) async fn file(uri: Uri, headers: HeaderMap) -> Response {
    let path = match uri.path().trim_start_matches('/') {
        "" => "index.html",
        "traces" => "traces.html",
        path => path,
    };
    let Some(file) = Files::get(path) else {
        return (StatusCode::NOT_FOUND, format!("there is nothing at {}\n", uri.path())).into_response();
    };
    let tag = format!("\"{}\"", hex::encode(&file.metadata.sha256_hash()[..8]));
    let is_known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    // A browser takes the headers of "not modified" for those of the copy that it has.
    let headers = [
        (header::CONTENT_TYPE, file.metadata.mimetype()),
        (header::ETAG, &tag),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ];
    if is_known {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, file.data.into_owned()).into_response()
}

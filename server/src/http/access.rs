//! Who is let in to what: tokens of clients, where the profile has some.
//!
//! Health is for everybody, and so are the page's scripts and styles; all else says something, or costs something.

use axum::{
    extract::{Form, Request, State, rejection::FormRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;

use super::{App, page, refusal::Refusal};

/// Where the page keeps its token. No script sees it, and no other site's request carries it.
const COOKIE: &str = "segue_token";

/// A browser can give a WebSocket no header: a token may come as a subprotocol, in base64url.
const AS_SUBPROTOCOL: &str = "bearer.";

/// Lets a request with a client's token through.
pub(super) async fn authorize(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if !is_guarded(path) {
        return next.run(request).await;
    }
    let security = &app.service.configuration().security;
    if let Some(pass) = security.pass(tokens(request.headers()).iter().map(Vec::as_slice)) {
        request.extensions_mut().insert(pass);
        return next.run(request).await;
    }
    match path {
        "/" | "/traces" => (StatusCode::UNAUTHORIZED, page::sign_in()).into_response(),
        _ => refusal().into_response(),
    }
}

/// The admin API asks for its own token.
fn is_guarded(path: &str) -> bool {
    let is_admin = path == "/v1/admin" || path.starts_with("/v1/admin/");
    let of_inference = ["/v2/models/", "/inference.GRPCInferenceService/Model"];
    let costs_something = path.starts_with("/v1/") || of_inference.iter().any(|start| path.starts_with(start));
    !is_admin && (costs_something || ["/", "/traces", "/ws", "/metrics"].contains(&path))
}

fn refusal() -> Refusal {
    let message = "the request needs the header `Authorization: Bearer TOKEN`, with a client's token".into();
    Refusal { status: StatusCode::UNAUTHORIZED, code: "unauthorized", message }
}

/// All tokens that a request shows.
fn tokens(headers: &HeaderMap) -> Vec<Vec<u8>> {
    let decode = |token: &str| URL_SAFE_NO_PAD.decode(token).ok();
    let listed = |name, separator: char| {
        let values = headers.get_all(name).iter().filter_map(|value: &HeaderValue| value.to_str().ok());
        values.flat_map(move |value| value.split(separator)).map(str::trim)
    };
    let of_subprotocols =
        listed(header::SEC_WEBSOCKET_PROTOCOL, ',').filter_map(|one| one.strip_prefix(AS_SUBPROTOCOL));
    let of_cookies = listed(header::COOKIE, ';').filter_map(|one| one.strip_prefix(COOKIE)?.strip_prefix('='));
    let bearer = bearer_token(headers).map(<[u8]>::to_vec);
    bearer.into_iter().chain(of_subprotocols.chain(of_cookies).filter_map(decode)).collect()
}

/// What stands behind `Authorization: Bearer`.
pub(super) fn bearer_token(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.as_bytes().split_at_checked("Bearer ".len())?;
    (scheme.eq_ignore_ascii_case(b"Bearer ") && !token.is_empty()).then_some(token)
}

/// What the page's form sends.
#[derive(Deserialize)]
pub(super) struct SignIn {
    token: String,
}

/// Takes a token from the page's form, and has the browser keep it.
pub(super) async fn sign_in(
    State(app): State<App>,
    headers: HeaderMap,
    form: Result<Form<SignIn>, FormRejection>,
) -> Response {
    let configuration = app.service.configuration();
    let token = form.map(|Form(SignIn { token })| token).unwrap_or_default();
    if configuration.security.pass([token.trim().as_bytes()]).is_none() {
        return (StatusCode::UNAUTHORIZED, page::sign_in_again()).into_response();
    }
    let is_encrypted = app.is_encrypted || headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
    let secure = if is_encrypted { "; Secure" } else { "" };
    let value = URL_SAFE_NO_PAD.encode(token.trim());
    let cookie = format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age=31536000{secure}");
    ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response()
}

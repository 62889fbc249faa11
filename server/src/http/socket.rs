//! `GET /ws`: from an HTTP request to a session.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Extension,
    extract::{
        State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket, close_code},
    },
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};

use tokio::time::timeout;

use super::{
    App,
    connections::Connection,
    seats::{Full, Most},
};
use crate::{
    config::{LimitSettings, Pass},
    session::{self, Protocol, protocol::SUBPROTOCOL},
};

/// A message may be twice the largest frame: then the frame is dropped and the session lives. Beyond that the
/// session ends before the message is stored.
const LARGEST_MESSAGE_IN_FRAMES: usize = 2;

/// A session keeps the bound that it started with. This much is always let in, so that a limit that is raised while the
/// session lives is raised for it, too.
const ROOM_TO_RAISE_LEN_BYTES: usize = 4 << 20;

pub(super) async fn upgrade(
    State(app): State<App>,
    Extension(connection): Extension<Arc<Connection>>,
    Extension(pass): Extension<Pass>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let configuration = app.service.configuration();
    let security = &configuration.security;
    let is_reached_by_name = !app.is_local || connection.is_of_proxy(&security.trusted_proxies);
    if let Err(refusal) = check_origin(&headers, &security.allowed_origins, is_reached_by_name) {
        return (StatusCode::FORBIDDEN, refusal).into_response();
    }
    let upgrade = upgrade.protocols([SUBPROTOCOL]);
    let protocol = match upgrade.selected_protocol() {
        Some(_) => Protocol::SegueV2,
        None if !headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL) => Protocol::Legacy,
        None => {
            let mend = format!(
                "this server speaks the WebSocket subprotocol {SUBPROTOCOL}, or the legacy protocol without any\n"
            );
            return (StatusCode::BAD_REQUEST, mend).into_response();
        }
    };
    let client = connection.client(&headers, &security.trusted_proxies);
    let largest = (LARGEST_MESSAGE_IN_FRAMES * configuration.limits.max_frame_len_bytes).max(ROOM_TO_RAISE_LEN_BYTES);
    let largest = match protocol {
        Protocol::SegueV2 => largest,
        // Base64 is a third longer.
        Protocol::Legacy => largest / 3 * 4,
    };
    upgrade
        .max_message_size(largest)
        .max_frame_size(largest)
        .on_upgrade(move |socket| serve(socket, app, protocol, connection, (client, pass)))
}

/// A browser says which page opens a socket, and lets any page open one to any host: a page of another origin must be
/// allowed by name. Programs say nothing and are let through. So are pages of the user's own machine, from whatever port:
/// who can serve a page there is on that machine already, and needs no browser to open a socket. `null` is the origin of
/// files and of sandboxed frames of any site, so it must be named, too.
///
/// A name of any site may be made to lead to this machine. Where only this machine reaches the server, and it is not
/// `reached_by_name`, a page that has such a name is not its own.
fn check_origin(headers: &HeaderMap, allowed: &[String], reached_by_name: bool) -> Result<(), String> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default();
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let is_own_page = reached_by_name && origin.split_once("://").is_some_and(|(_, authority)| Some(authority) == host);
    if is_own_page || is_loopback(origin) || allowed.iter().any(|allowed| allowed == "*" || allowed == origin) {
        return Ok(());
    }
    Err(format!("pages of {origin} may not open sessions here; security.allowed_origins of the profile can let them\n"))
}

/// Whether the host of `origin`, `scheme://host` or `scheme://host:port`, is a name of the machine that it is looked up on.
fn is_loopback(origin: &str) -> bool {
    let Some((_, authority)) = origin.split_once("://") else { return false };
    let is_port = |port: &str| port.parse::<u16>().is_ok();
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if is_port(port) && !host.is_empty() => host,
        _ => authority,
    };
    let is_name = host == "localhost" || host.ends_with(".localhost");
    is_name || host == "[::1]" || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

/// Holds the connection, which counts for as long as the session lasts.
async fn serve(
    socket: WebSocket,
    app: App,
    protocol: Protocol,
    _connection: Arc<Connection>,
    (client, pass): (IpAddr, Pass),
) {
    let limits = app.service.configuration().limits;
    let most = Most { of_all: limits.max_sessions, of_an_address: limits.max_sessions_per_address };
    match app.seats.take(client, most) {
        Ok(_seat) => session::run(socket, app.service, protocol, pass).await,
        Err(full) => {
            app.service.telemetry.metrics.refused_connections.inc();
            let message = match full {
                Full::All => format!("the server has its {} sessions; try again later", most.of_all),
                Full::OfAddress => format!("{client} has its {} sessions; try again later", most.of_an_address),
            };
            turn_away(socket, protocol, message, limits).await;
        }
    }
}

/// In the socket, since a browser shows its page nothing of a refused handshake.
async fn turn_away(mut socket: WebSocket, protocol: Protocol, message: String, limits: LimitSettings) {
    let error = protocol.error("too_many_sessions", message);
    let close = CloseFrame { code: close_code::AGAIN, reason: "too many sessions".into() };
    let telling = async {
        socket.send(Message::Text(error.into())).await?;
        socket.send(Message::Close(Some(close))).await
    };
    // Whether it is still there to read this makes no difference.
    let _ = timeout(Duration::from_millis(limits.send_timeout_millis), telling).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_ones_own_machine_are_told_from_those_that_look_like_it() {
        for own in ["http://localhost", "http://localhost:3000", "https://app.localhost:8", "http://127.0.0.1:5173"] {
            assert!(is_loopback(own), "{own}");
        }
        assert!(is_loopback("http://127.8.9.1") && is_loopback("http://[::1]:3000") && is_loopback("https://[::1]"));
        for other in [
            "null",
            "",
            "localhost",
            "http://localhost.evil.example",
            "http://evil.example:3000",
            "http://notlocalhost",
            "http://localhost:3000@evil.example",
            "http://localhost:port",
            "http://127.0.0.1.evil.example",
            "http://1270.0.0.1",
            "http://128.0.0.1",
            "http://[::2]",
            "http://[::1]:3000.evil.example",
            "http://[::ffff:8.8.8.8]",
            "http://:80",
        ] {
            assert!(!is_loopback(other), "{other}");
        }
    }
}

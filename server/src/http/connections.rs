//! Connections: who is let in before a word is said, and how long they have to say it.
//!
//! Architecture invariant: a connection counts against its address from the moment it is accepted until nothing of it is
//! left, the session that it may become included; and no step of it waits for a client without a limit.

use std::{
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    http::{HeaderMap, HeaderName, Request},
};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use ipnet::IpNet;
use rustix::net::sockopt;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

use super::{
    seats::{Full, Most, Seat, Seats},
    tls::Tls,
};
use crate::{config::LimitSettings, session::Service};

/// After an error that the next connection would meet, too, such as too many open files.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// The longest head of a request.
const LARGEST_HEAD_LEN_BYTES: usize = 64 << 10;

/// A client that has begun to say what it speaks says on within this.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(5);

/// What may be spoken at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Versions {
    /// HTTP/1.1, of which WebSockets are made.
    Http1,
    /// HTTP/2, too, of which gRPC is made.
    Http1And2,
}

/// How many requests one connection of HTTP/2 may have open.
const MOST_STREAMS: u32 = 64;

/// What a client is told that is let in no further.
const FULL: &str = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n\
    Content-Type: text/plain\r\nContent-Length: 57\r\n\r\nthe server has its connections; try again in five seconds";

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// A connection, as the requests see it that come by it. It is counted as long as somebody holds it.
pub(super) struct Connection {
    peer: IpAddr,
    _seat: Seat,
}

impl Connection {
    /// Whether it is a trusted proxy's.
    pub(super) fn is_of_proxy(&self, trusted: &[IpNet]) -> bool {
        is_trusted(self.peer.to_canonical(), trusted)
    }

    /// Whom a request with these `headers` is from: the peer, or whom a trusted proxy names.
    pub(super) fn client(&self, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
        let mut client = self.peer.to_canonical();
        let named = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
        let named: Vec<_> = named.flat_map(|value| value.split(',')).map(str::trim).collect();
        // Each proxy adds whom it saw at the end. What stands before one that nobody trusts, anybody may have written.
        for address in named.iter().rev() {
            if !is_trusted(client, trusted) {
                break;
            }
            let Some(address) = without_port(address) else { break };
            client = address.to_canonical();
        }
        client
    }
}

fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&address))
}

/// Some proxies add the port.
fn without_port(address: &str) -> Option<IpAddr> {
    address.parse().or_else(|_| address.parse::<SocketAddr>().map(|address| address.ip())).ok()
}

/// Serves `router` on `listener` until the server is to stop, and then until every request is answered and every session
/// has ended.
pub(super) async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    versions: Versions,
    router: Router,
    service: Arc<Service>,
) {
    let seats = Arc::new(Seats::default());
    let mut stop = pin!(service.stopping());
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok((stream, peer)) => (stream, peer.ip()),
            Err(error) => {
                tracing::warn!(%error, "A connection can't be accepted");
                sleep(ACCEPT_AGAIN_AFTER).await;
                continue;
            }
        };
        let configuration = service.configuration();
        let limits = configuration.limits;
        match take_seat(&seats, peer, &limits, &configuration.security.trusted_proxies) {
            Ok(seat) => {
                prepare(&stream, &limits);
                let connection = Arc::new(Connection { peer, _seat: seat });
                tokio::spawn(run(stream, tls.clone(), versions, connection, router.clone(), Arc::clone(&service)));
            }
            Err(full) => {
                service.telemetry.metrics.refused_connections.inc();
                tracing::debug!(%peer, ?full, "Connection refused");
                if tls.is_none() {
                    // Whether it is read makes no difference.
                    let _ = stream.try_write(FULL.as_bytes());
                }
            }
        }
    }
    drop(listener);
    seats.all_free().await;
}

/// Connections of a proxy are everybody's: they are bounded all in all.
fn take_seat(seats: &Arc<Seats>, peer: IpAddr, limits: &LimitSettings, trusted: &[IpNet]) -> Result<Seat, Full> {
    let is_proxy = is_trusted(peer.to_canonical(), trusted);
    let of_an_address = if is_proxy { usize::MAX } else { limits.max_connections_per_address };
    seats.take(peer, Most { of_all: limits.max_connections, of_an_address })
}

/// A mask is small and wanted at once: no waiting for more to send. And who takes nothing of what was sent is cut off by
/// the kernel, whatever it was.
fn prepare(stream: &TcpStream, limits: &LimitSettings) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY is not to be had");
    }
    let patience_millis = u32::try_from(limits.send_timeout_millis).unwrap_or(u32::MAX);
    if let Err(error) = sockopt::set_tcp_user_timeout(stream, patience_millis.saturating_mul(2)) {
        tracing::debug!(%error, "TCP_USER_TIMEOUT is not to be had");
    }
}

async fn run(
    stream: TcpStream,
    tls: Option<Arc<Tls>>,
    versions: Versions,
    connection: Arc<Connection>,
    router: Router,
    service: Arc<Service>,
) {
    let patience = Duration::from_millis(service.configuration().limits.request_timeout_millis);
    let Some(tls) = tls else {
        let version = match versions {
            Versions::Http1 => Version::Http1,
            Versions::Http1And2 => match timeout(patience, Version::of_first_bytes(&stream)).await {
                Ok(Ok(version)) => version,
                Ok(Err(_)) | Err(_) => return,
            },
        };
        return answer(stream, version, connection, router, &service, patience).await;
    };
    match timeout(patience, tls.accept(stream, versions)).await {
        Ok(Ok(stream)) => {
            let is_2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let version = if is_2 { Version::Http2 } else { Version::Http1 };
            answer(stream, version, connection, router, &service, patience).await;
        }
        Ok(Err(error)) => tracing::debug!(peer = %connection.peer, %error, "TLS came to nothing"),
        Err(_elapsed) => tracing::debug!(peer = %connection.peer, "TLS takes too long"),
    }
}

/// Answers the requests that come by `stream`, until it is closed or becomes a WebSocket. The time that a client has for the
/// head of one begins when it could send it.
async fn answer(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    version: Version,
    connection: Arc<Connection>,
    router: Router,
    service: &Service,
    patience: Duration,
) {
    let peer = connection.peer;
    let router = TowerToHyperService::new(router);
    let handler = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Arc::clone(&connection));
        router.call(request)
    });
    // Both end a connection in the same way, and have no type in common.
    macro_rules! serve_until_stopped {
        ($serving:expr) => {{
            let mut serving = pin!($serving);
            tokio::select! {
                biased;
                ended = &mut serving => ended,
                () = service.stopping() => {
                    serving.as_mut().graceful_shutdown();
                    serving.await
                }
            }
        }};
    }
    let ended = match version {
        Version::Http1 => {
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(patience).max_buf_size(LARGEST_HEAD_LEN_BYTES);
            serve_until_stopped!(builder.serve_connection(TokioIo::new(stream), handler).with_upgrades())
        }
        Version::Http2 => {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.timer(TokioTimer::new()).max_header_list_size(LARGEST_HEAD_LEN_BYTES as u32);
            builder.max_concurrent_streams(MOST_STREAMS).keep_alive_interval(patience);
            serve_until_stopped!(builder.serve_connection(TokioIo::new(stream), handler))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "Connection ended");
    }
}

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Http1,
    Http2,
}

impl Version {
    /// What a client begins to speak that knows what it may. The first letters tell: no method of HTTP/1 begins so.
    async fn of_first_bytes(stream: &TcpStream) -> std::io::Result<Self> {
        const FIRST: &[u8] = b"PRI";
        let mut bytes = [0; FIRST.len()];
        loop {
            let found = stream.peek(&mut bytes).await?;
            if found == 0 || !FIRST.starts_with(&bytes[..found]) {
                return Ok(Self::Http1);
            }
            if found == FIRST.len() {
                return Ok(Self::Http2);
            }
            // Nothing says when there is more to look at.
            sleep(LOOK_AGAIN_AFTER).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded: &str) -> String {
        let peer: IpAddr = peer.parse().expect("an address");
        let seat = Arc::new(Seats::default()).take(peer, Most { of_all: 1, of_an_address: 1 }).expect("room");
        let connection = Connection { peer, _seat: seat };
        let mut headers = HeaderMap::new();
        headers.insert(FORWARDED_FOR, forwarded.parse().expect("a header"));
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().expect("a network"));
        connection.client(&headers, &trusted).to_string()
    }

    #[test]
    fn only_what_trusted_proxies_say_of_an_address_counts() {
        assert_eq!(client("192.0.2.1", "198.51.100.7"), "192.0.2.1");
        assert_eq!(client("10.0.0.1", "198.51.100.7"), "198.51.100.7");
        assert_eq!(client("::ffff:10.0.0.1", "198.51.100.7:4711"), "198.51.100.7");
        assert_eq!(client("10.0.0.1", "203.0.113.9, 198.51.100.7, 10.2.3.4"), "198.51.100.7");
        assert_eq!(client("fd00::1", "[2001:db8::7]:80"), "2001:db8::7");
        assert_eq!(client("10.0.0.1", "203.0.113.9, nonsense, 10.2.3.4"), "10.2.3.4");
    }
}

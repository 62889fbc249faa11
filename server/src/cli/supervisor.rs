//! The service manager, where one has started the server: its sockets, and what it wants to know.

use std::net::TcpListener;

use listenfd::ListenFd;
use sd_notify::NotifyState;

use super::Failure;

/// The socket that was opened for the server before it was started; connections that came meanwhile wait there.
pub(super) fn socket() -> Result<Option<TcpListener>, Failure> {
    let unusable = |error| Failure::does_not_hold(format!("the service manager's socket can't be used: {error}"));
    let listener = ListenFd::from_env().take_tcp_listener(0).map_err(unusable)?;
    if let Some(listener) = &listener {
        listener.set_nonblocking(true).map_err(unusable)?;
    }
    Ok(listener)
}

/// Clients are served.
pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Still alive. Who wants to hear that is told by each beat.
pub(super) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// The end has begun.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(states: &[NotifyState<'_>]) {
    // Nobody listens where there is no service manager.
    if let Err(error) = sd_notify::notify(false, states) {
        tracing::debug!(%error, "The service manager can't be told");
    }
}

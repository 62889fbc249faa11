//! How a session takes over a new configuration: the client is told what changed for it, and what is in flight ends
//! under the old one.

use std::sync::{Arc, PoisonError, atomic::Ordering};

use super::{
    ServerMessage, Session,
    messages::Limits,
    receive::{change_mode, say_modes},
};
use crate::{model::Mode, reload::Configuration};

/// Takes `new` over. `wanted` is the mode that the client waits for.
pub(super) async fn adopt(session: &Session, new: Arc<Configuration>, wanted: &mut Option<Arc<Mode>>) {
    let old = session.replace_configuration(Arc::clone(&new));
    let limits = Limits::from(new.capture);
    if limits != Limits::from(old.capture) {
        if new.capture.max_in_flight < old.capture.max_in_flight {
            session.forgive(old.capture.max_in_flight);
        }
        session.say(ServerMessage::Limits { generation: new.generation, limits }.to_json()).await;
    }
    if new.modes.are_the_same_as(&old.modes) {
        return;
    }
    say_modes(session).await;
    follow_mode(session, &new).await;
    if let Some(mode) = wanted.take() {
        match new.modes.get(&mode.name) {
            Ok(mode) => *wanted = change_mode(session, Arc::clone(mode)).await,
            Err(_gone) => say_gone(session, &mode, &mode).await,
        }
    }
}

/// The session's mode may have another model now, or may be gone.
async fn follow_mode(session: &Session, new: &Configuration) {
    let current = session.mode();
    match new.modes.get(&current.name) {
        Ok(mode) => session.set_mode(Arc::clone(mode)),
        Err(_gone) => {
            let default = new.modes.default_mode();
            session.set_mode(Arc::clone(default));
            say_gone(session, &current, default).await;
        }
    }
}

/// Says that the mode `gone` is not there any more, and what became of `instead`.
async fn say_gone(session: &Session, gone: &Mode, instead: &Mode) {
    let is_answering = instead.name != gone.name;
    let state = if is_answering { instead.state().name() } else { "unavailable" };
    let message = match is_answering {
        true => format!("the mode {:?} is gone from the profile, {:?} answers now", &*gone.name, &*instead.name),
        false => format!("the mode {:?} is gone from the profile", &*gone.name),
    };
    session.say(ServerMessage::Mode { mode: &instead.name, index: instead.index, state, message }.to_json()).await;
}

impl Session {
    fn replace_configuration(&self, new: Arc<Configuration>) -> Arc<Configuration> {
        std::mem::replace(&mut *self.configuration.lock().unwrap_or_else(PoisonError::into_inner), new)
    }

    /// Until the client has read of its new limits it keeps to the old ones: what it may have sent by then is let in.
    fn forgive(&self, old_max_in_flight: u32) {
        let (received, answered, dropped) = self.counts();
        let in_flight = u32::try_from(received - answered - dropped).unwrap_or(u32::MAX);
        self.forgiven.fetch_max(old_max_in_flight.saturating_sub(in_flight), Ordering::AcqRel);
    }
}

//! How a session takes over a new configuration: the client is told what changed for it, and what is in flight ends
//! under the old one.

use std::sync::{Arc, PoisonError, atomic::Ordering};

use super::{
    ServerMessage, Session,
    messages::Limits,
    receive::{change_mode, say_modes},
};
use crate::{
    model::{Mode, ModeState},
    reload::Configuration,
};

/// Takes `new` over. `wanted` is the mode that the client waits for.
pub(super) async fn adopt(session: &Session, new: Arc<Configuration>, wanted: &mut Option<Arc<Mode>>) {
    let old = session.replace_configuration(Arc::clone(&new));
    let limits = Limits::from(new.capture);
    if limits != Limits::from(old.capture) || new.profile != old.profile {
        if new.capture.max_in_flight < old.capture.max_in_flight {
            session.forgive(old.capture.max_in_flight);
        }
        session.say(ServerMessage::Limits { generation: new.generation, profile: &new.profile, limits }).await;
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

/// While the session's mode is unavailable its fallback answers, if it has one that can; and when it is back, the session
/// returns to it.
pub(super) async fn fall_back(session: &Session) {
    let configuration = session.configuration();
    let modes = &configuration.modes;
    let current = session.mode();
    let is_unavailable = |mode: &Mode| matches!(mode.state(), ModeState::Unavailable(_));
    let home = session.home().clone();
    let own = home.as_ref().unwrap_or(&current);
    let Ok(own) = modes.get(&own.name).cloned() else { return *session.home() = None };
    if home.is_some() && own.state().can_serve() {
        *session.home() = None;
        return move_to(session, &own, format!("the mode {:?} is back", &*own.name)).await;
    }
    if !is_unavailable(&own) || (home.is_some() && !is_unavailable(&current)) {
        return;
    }
    if let Some(fallback) = modes.fallback_of(&own).filter(|fallback| !Arc::ptr_eq(fallback, &current)) {
        let (name, reason) = (&*own.name, own.state());
        let message = format!(
            "the mode {name:?} is unavailable, {:?} answers until it is back: {}",
            &*fallback.name,
            reason.message()
        );
        move_to(session, fallback, message).await;
        *session.home() = Some(own);
    }
}

/// A client of the legacy protocol, which has no list of modes, is told when its own is another than it knows.
pub(super) async fn tell_mode(session: &Session) {
    if let Some(news) = session.legacy.as_ref().and_then(|legacy| legacy.news_of_the_mode(session)) {
        session.note(news).await;
    }
}

/// Takes `mode`, which is ready, over, and says why.
async fn move_to(session: &Session, mode: &Arc<Mode>, message: String) {
    session.set_mode(Arc::clone(mode));
    session.say(ServerMessage::Mode { mode: &mode.name, index: mode.index, state: "ready", message }).await;
}

/// Says that the mode `gone` is not there any more, and what became of `instead`.
async fn say_gone(session: &Session, gone: &Mode, instead: &Mode) {
    let is_answering = instead.name != gone.name;
    let state = if is_answering { instead.state().name() } else { "unavailable" };
    let message = match is_answering {
        true => format!("the mode {:?} is gone from the profile, {:?} answers now", &*gone.name, &*instead.name),
        false => format!("the mode {:?} is gone from the profile", &*gone.name),
    };
    session.say(ServerMessage::Mode { mode: &instead.name, index: instead.index, state, message }).await;
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

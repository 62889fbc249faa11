//! Which worker processes there are: whoever looks after the server wants to know what they hold.

use std::sync::{Arc, Mutex, PoisonError};

/// The processes of one build.
#[derive(Clone, Debug, Default)]
pub struct Running(Arc<Mutex<Vec<u32>>>);

impl Running {
    /// Their ids.
    pub(in crate::plugin_host) fn all(&self) -> Vec<u32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One more, until what comes back is dropped.
    pub(super) fn add(&self, id: u32) -> Listed {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(id);
        Listed { of: self.clone(), id }
    }
}

/// Keeps a process among those that run.
#[derive(Debug)]
pub(super) struct Listed {
    of: Running,
    id: u32,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.of.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|id| *id != self.id);
    }
}

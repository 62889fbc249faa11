//! Whether the threads that talk to clients still do.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tokio::runtime::Handle;

/// How often they are asked.
const INTERVAL: Duration = Duration::from_secs(1);

/// Who says nothing for so long is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(5);

/// When they last said something.
pub struct Pulse(Mutex<Instant>);

impl Pulse {
    /// Feels the pulse of `runtime` from now on, on a thread of its own; `each` is called whenever it is there.
    pub fn feel(runtime: Handle, mut each: impl FnMut() + Send + 'static) -> std::io::Result<Arc<Self>> {
        let pulse = Arc::new(Self(Mutex::new(Instant::now())));
        let felt = Arc::downgrade(&pulse);
        thread::Builder::new().name("pulse".into()).spawn(move || {
            let mut was_stuck = false;
            while let Some(pulse) = felt.upgrade() {
                let is_stuck = pulse.is_stuck();
                if is_stuck && !was_stuck {
                    tracing::error!("The threads that talk to clients do nothing any more");
                }
                was_stuck = is_stuck;
                if !is_stuck {
                    each();
                }
                runtime.spawn(async move { pulse.beat() });
                thread::sleep(INTERVAL);
            }
        })?;
        Ok(pulse)
    }

    /// Whether nothing came for too long.
    pub fn is_stuck(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).elapsed() > STUCK_AFTER
    }

    fn beat(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

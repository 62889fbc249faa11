//! The host table: what a plugin may call.
//!
//! Invariant: a callback trusts no argument. A stale or made-up token, an unknown stage or times that run
//! backwards are ignored; nothing here blocks, allocates (logging aside) or panics.

use std::{
    ffi::c_void,
    sync::{
        LazyLock, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use segue_abi as abi;

use super::worker::SharedMemory;

/// How many instances one library may have.
const SLOTS: usize = 1024;

/// Nanoseconds since the server started, the clock of [`abi::Host::now_nanos`].
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The table of one library, with a slot for each of its instances.
pub(super) struct HostTable {
    pub(super) table: abi::Host,
    plugin: String,
    slots: Box<[CallSlot]>,
    calls: AtomicUsize,
}

// SAFETY: the table's context points to the `HostTable` itself, which is never freed and changes by atomics only.
unsafe impl Sync for HostTable {}

/// The call that an instance is running.
#[derive(Default)]
struct CallSlot {
    taken: AtomicBool,
    token: AtomicU64,
    /// The token of the call that nobody waits for any more.
    cancelled: AtomicU64,
    stage_nanos: [AtomicU64; abi::STAGES],
}

impl HostTable {
    /// A table for a library that stays open for good.
    pub(super) fn leak(plugin: &str) -> &'static Self {
        let host = Box::into_raw(Box::new(Self {
            table: abi::Host {
                struct_size: size_of::<abi::Host>() as u32,
                abi_minor: abi::ABI_MINOR.into(),
                context: std::ptr::null_mut(),
                now_nanos,
                log,
                stage,
                cancelled,
            },
            plugin: plugin.to_owned(),
            slots: (0..SLOTS).map(|_| CallSlot::default()).collect(),
            calls: AtomicUsize::new(0),
        }));
        // SAFETY: the box was made a moment ago, is never freed, and nobody else knows of it yet. From here on it is
        // only read, through this pointer and through the reference that comes from it.
        unsafe {
            (*host).table.context = host.cast();
            &*host
        }
    }

    /// A slot for a new instance; `None` when all are taken.
    pub(super) fn take_slot(&self) -> Option<usize> {
        (0..SLOTS).find(|&slot| !self.slots[slot].taken.swap(true, Ordering::AcqRel))
    }

    /// Gives a slot back.
    pub(super) fn free_slot(&self, slot: usize) {
        self.slots[slot].token.store(0, Ordering::Release);
        self.slots[slot].taken.store(false, Ordering::Release);
    }

    /// Starts a call in `slot`, and names it.
    pub(super) fn begin(&self, slot: usize) -> u64 {
        let call = &self.slots[slot];
        let sequence = self.calls.fetch_add(1, Ordering::Relaxed) as u64 + 1;
        let token = sequence * SLOTS as u64 + slot as u64;
        for nanos in &call.stage_nanos {
            nanos.store(0, Ordering::Relaxed);
        }
        call.token.store(token, Ordering::Release);
        token
    }

    /// Ends the call in `slot`; its stages' times in nanoseconds.
    pub(super) fn end(&self, slot: usize) -> [u64; abi::STAGES] {
        let call = &self.slots[slot];
        call.token.store(0, Ordering::Release);
        std::array::from_fn(|stage| call.stage_nanos[stage].load(Ordering::Acquire))
    }

    /// Tells the backend that nobody waits for the call `token`. Without effect once that call is over.
    pub(super) fn cancel(&self, token: u64) {
        self.slots[(token % SLOTS as u64) as usize].cancelled.store(token, Ordering::Release);
    }

    fn running(&self, token: u64) -> Option<&CallSlot> {
        let call = &self.slots[(token % SLOTS as u64) as usize];
        (token != 0 && call.token.load(Ordering::Acquire) == token).then_some(call)
    }
}

/// The table behind a callback's context.
fn table<'a>(context: *mut c_void) -> &'a HostTable {
    // SAFETY: `leak` made the context point to a `HostTable` that is never freed, and the ABI has the plugin hand
    // it back unchanged.
    unsafe { &*context.cast::<HostTable>() }
}

extern "C" fn now_nanos(_: *mut c_void) -> u64 {
    START.elapsed().as_nanos() as u64
}

extern "C" fn stage(context: *mut c_void, token: u64, stage: u32, start_nanos: u64, end_nanos: u64) {
    let Some(call) = table(context).running(token) else { return };
    let (Some(nanos), Some(took)) = (call.stage_nanos.get(stage as usize), end_nanos.checked_sub(start_nanos)) else {
        return;
    };
    nanos.fetch_add(took, Ordering::AcqRel);
}

extern "C" fn cancelled(context: *mut c_void, token: u64) -> u32 {
    // A call that is not running any more counts as cancelled.
    let is_cancelled_here =
        table(context).running(token).is_none_or(|call| call.cancelled.load(Ordering::Acquire) == token);
    let server = SERVER.get();
    (is_cancelled_here || server.is_some_and(|memory| memory.control().is_cancelled())).into()
}

/// In a worker: where the server says that nobody waits any more.
static SERVER: OnceLock<&'static SharedMemory> = OnceLock::new();

/// Has every call of this process end when the server at the other side of `memory` says so.
pub(super) fn watch_cancellation(memory: &'static SharedMemory) {
    let _ = SERVER.set(memory);
}

extern "C" fn log(context: *mut c_void, level: u32, target: abi::Text, message: abi::Text) {
    let plugin = &table(context).plugin;
    let (part, message) = (show(&target), show(&message));
    match level {
        abi::LOG_ERROR => tracing::error!(target: "plugin", plugin, part, "{message}"),
        abi::LOG_WARN => tracing::warn!(target: "plugin", plugin, part, "{message}"),
        abi::LOG_INFO => tracing::info!(target: "plugin", plugin, part, "{message}"),
        abi::LOG_DEBUG => tracing::debug!(target: "plugin", plugin, part, "{message}"),
        _ => tracing::trace!(target: "plugin", plugin, part, "{message}"),
    }
}

/// A text of the plugin's.
pub(super) fn show(text: &abi::Text) -> String {
    if text.data.is_null() || text.len_bytes == 0 {
        return String::new();
    }
    // SAFETY: the ABI has a text point to `len_bytes` bytes, for the call that carries it or until `destroy`.
    String::from_utf8_lossy(unsafe { std::slice::from_raw_parts(text.data, text.len_bytes) }).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_of_a_call_that_is_over_is_ignored() {
        let host = HostTable::leak("test");
        let slot = host.take_slot().unwrap();
        let old = host.begin(slot);
        host.end(slot);
        let new = host.begin(slot);
        stage(host.table.context, old, abi::STAGE_FORWARD, 0, 5_000);
        stage(host.table.context, new, abi::STAGE_FORWARD, 0, 7_000);
        stage(host.table.context, new, abi::STAGE_FORWARD, 9_000, 8_000);
        stage(host.table.context, new, 99, 0, 1_000);
        assert_eq!(host.end(slot), [0, 7_000, 0]);
        assert_eq!(cancelled(host.table.context, new), 1);
    }

    #[test]
    fn only_the_call_that_is_named_is_cancelled() {
        let host = HostTable::leak("test");
        let slot = host.take_slot().unwrap();
        let first = host.begin(slot);
        assert_eq!(cancelled(host.table.context, first), 0);
        host.cancel(first);
        assert_eq!(cancelled(host.table.context, first), 1);
        let second = host.begin(slot);
        host.cancel(first);
        assert_eq!(cancelled(host.table.context, second), 0);
    }

    #[test]
    fn slots_run_out_and_come_back() {
        let host = HostTable::leak("test");
        let slots: Vec<_> = std::iter::from_fn(|| host.take_slot()).collect();
        assert_eq!(slots.len(), SLOTS);
        host.free_slot(slots[7]);
        assert_eq!(host.take_slot(), Some(slots[7]));
    }
}

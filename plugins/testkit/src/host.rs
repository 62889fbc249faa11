//! A host table that remembers what the plugin reported of the calls that a check follows.

use std::{
    collections::BTreeMap,
    ffi::c_void,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use segue_abi as abi;

/// A stage as the plugin reported it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReportedStage {
    pub(crate) stage: u32,
    pub(crate) start_nanos: u64,
    pub(crate) end_nanos: u64,
}

/// What is known of a call.
#[derive(Debug, Default)]
pub(crate) struct CallRecord {
    pub(crate) stages: Vec<ReportedStage>,
    is_cancelled: bool,
}

static START: LazyLock<Instant> = LazyLock::new(Instant::now);
/// By token; of other calls nothing is kept, or ten thousand frames would look like a leak.
static FOLLOWED: Mutex<BTreeMap<u64, CallRecord>> = Mutex::new(BTreeMap::new());

/// The table; static, because plugins may keep it for as long as they are loaded.
pub(crate) static HOST: SharedHost = SharedHost(abi::Host {
    struct_size: size_of::<abi::Host>() as u32,
    abi_minor: abi::ABI_MINOR as u32,
    context: std::ptr::null_mut(),
    now_nanos,
    log,
    stage,
    cancelled,
});

/// Makes the table shareable between threads.
pub(crate) struct SharedHost(pub(crate) abi::Host);

// SAFETY: the table holds function pointers and a null context; nobody writes to it.
unsafe impl Sync for SharedHost {}

fn followed() -> MutexGuard<'static, BTreeMap<u64, CallRecord>> {
    FOLLOWED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on what the plugin reports of the call `token` is kept.
pub(crate) fn follow(token: u64) {
    followed().insert(token, CallRecord::default());
}

/// From now on the call `token`, which is followed, counts as cancelled.
pub(crate) fn cancel(token: u64) {
    if let Some(call) = followed().get_mut(&token) {
        call.is_cancelled = true;
    }
}

/// What is known of the call `token`, which is no longer followed.
pub(crate) fn unfollow(token: u64) -> CallRecord {
    followed().remove(&token).unwrap_or_default()
}

pub(crate) extern "C" fn now_nanos(_: *mut c_void) -> u64 {
    START.elapsed().as_nanos() as u64
}

extern "C" fn log(_: *mut c_void, level: u32, target: abi::Text, message: abi::Text) {
    let level = match level {
        abi::LOG_ERROR => "error",
        abi::LOG_WARN => "warning",
        // Some say what they do in every frame.
        _ => return,
    };
    eprintln!("{level}, {}: {}", show(&target), show(&message));
}

extern "C" fn stage(_: *mut c_void, token: u64, stage: u32, start_nanos: u64, end_nanos: u64) {
    if let Some(call) = followed().get_mut(&token) {
        call.stages.push(ReportedStage { stage, start_nanos, end_nanos });
    }
}

extern "C" fn cancelled(_: *mut c_void, token: u64) -> u32 {
    u32::from(followed().get(&token).is_some_and(|call| call.is_cancelled))
}

/// A text of the plugin's.
pub(crate) fn show(text: &abi::Text) -> String {
    if text.data.is_null() {
        return String::new();
    }
    // SAFETY: the ABI has a text point to `len_bytes` bytes for the call that carries it.
    let bytes = unsafe { std::slice::from_raw_parts(text.data, text.len_bytes) };
    String::from_utf8_lossy(bytes).into_owned()
}

//! A host table that remembers what the plugin reported.

use std::{
    ffi::c_void,
    sync::{
        LazyLock, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use segue_abi as abi;

/// A stage as the plugin reported it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReportedStage {
    pub(crate) token: u64,
    pub(crate) stage: u32,
    pub(crate) start_nanos: u64,
    pub(crate) end_nanos: u64,
}

static START: LazyLock<Instant> = LazyLock::new(Instant::now);
static STAGES: Mutex<Vec<ReportedStage>> = Mutex::new(Vec::new());
static CANCELLED_TOKEN: AtomicU64 = AtomicU64::new(u64::MAX);

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

/// From now on the call `token` counts as cancelled.
pub(crate) fn cancel(token: u64) {
    CANCELLED_TOKEN.store(token, Ordering::SeqCst);
}

/// The stages reported for `token`, which are then forgotten.
pub(crate) fn take_stages(token: u64) -> Vec<ReportedStage> {
    let mut stages = STAGES.lock().unwrap_or_else(PoisonError::into_inner);
    stages.extract_if(.., |stage| stage.token == token).collect()
}

pub(crate) extern "C" fn now_nanos(_: *mut c_void) -> u64 {
    START.elapsed().as_nanos() as u64
}

extern "C" fn log(_: *mut c_void, level: u32, target: abi::Text, message: abi::Text) {
    eprintln!("[plugin, level {level}] {}: {}", show(&target), show(&message));
}

extern "C" fn stage(_: *mut c_void, token: u64, stage: u32, start_nanos: u64, end_nanos: u64) {
    let mut stages = STAGES.lock().unwrap_or_else(PoisonError::into_inner);
    stages.push(ReportedStage { token, stage, start_nanos, end_nanos });
}

extern "C" fn cancelled(_: *mut c_void, token: u64) -> u32 {
    u32::from(CANCELLED_TOKEN.load(Ordering::SeqCst) == token)
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

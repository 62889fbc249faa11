//! The plugin's line to its host: log records and panics are forwarded there.
//!
//! Statics are per shared library, so every plugin has a logger and a panic hook of its own.

use std::{
    cell::RefCell,
    panic::PanicHookInfo,
    sync::{
        Once,
        atomic::{AtomicPtr, Ordering},
    },
};

use segue_abi as abi;

static HOST: AtomicPtr<abi::Host> = AtomicPtr::new(std::ptr::null_mut());

thread_local! {
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Makes `host` the place where logs and panics go.
pub(crate) fn connect(host: &'static abi::Host) {
    static HOOKS: Once = Once::new();
    HOST.store(std::ptr::from_ref(host).cast_mut(), Ordering::Release);
    HOOKS.call_once(|| {
        // A logger that the backend installed before us stays.
        if log::set_logger(&ForwardingLog).is_ok() {
            log::set_max_level(log::LevelFilter::Debug);
        }
        std::panic::set_hook(Box::new(note_panic));
    });
}

/// The panic that this thread caught last.
pub(crate) fn take_last_panic() -> String {
    LAST_PANIC.with_borrow_mut(Option::take).unwrap_or_else(|| "a panic without a message".into())
}

fn note_panic(info: &PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("a panic without a message");
    let text = match info.location() {
        Some(place) => format!("{message}, at {}:{}", place.file(), place.line()),
        None => message.to_owned(),
    };
    forward(abi::LOG_ERROR, "panic", &text);
    LAST_PANIC.with_borrow_mut(|last| *last = Some(text));
}

fn forward(level: u32, target: &str, message: &str) {
    // SAFETY: `connect` stored a reference that is good for as long as this library is open.
    let host = unsafe { HOST.load(Ordering::Acquire).as_ref() };
    if let Some(host) = host {
        (host.log)(host.context, level, abi::Text::borrow(target), abi::Text::borrow(message));
    }
}

struct ForwardingLog;

impl log::Log for ForwardingLog {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let level = match record.level() {
            log::Level::Error => abi::LOG_ERROR,
            log::Level::Warn => abi::LOG_WARN,
            log::Level::Info => abi::LOG_INFO,
            log::Level::Debug => abi::LOG_DEBUG,
            log::Level::Trace => abi::LOG_TRACE,
        };
        forward(level, record.target(), &record.args().to_string());
    }

    fn flush(&self) {}
}

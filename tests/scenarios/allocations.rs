//! Counts what the server allocates for a frame: nothing, once the first hundred have come.
//!
//! The server runs in this process, so that its allocations can be counted, all of them: of the socket, the session, the
//! pipeline and the telemetry. Its workers are this program again, in processes of their own.
#![allow(unsafe_code, reason = "an allocator is unsafe by nature; this one hands everything on")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    backtrace::Backtrace,
    cell::Cell,
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::ExitCode,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread::{sleep, spawn},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use segue::cli::Arguments;
use segue_tests::{Client, Lab, built, jpeg};

const NAME: &str = "frames_are_served_without_allocating";

const WARM_UP: u32 = 100;
const FRAMES: u32 = 500;
/// What is not done for a frame, such as the clock's or the watcher's, may allocate now and then.
const MOST: u64 = FRAMES as u64 / 20;

static COUNTED: AtomicU64 = AtomicU64::new(0);
/// With `SEGUE_SHOW_ALLOCATIONS` each of them is told, with how it came about.
static IS_SHOWN: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Threads of the client are not counted, nor what is done to tell of an allocation.
    static IS_EXEMPT: Cell<bool> = const { Cell::new(false) };
}

struct Counting;

fn count() {
    if IS_EXEMPT.try_with(Cell::get).unwrap_or(true) {
        return;
    }
    COUNTED.fetch_add(1, Ordering::Relaxed);
    if IS_SHOWN.load(Ordering::Relaxed) {
        IS_EXEMPT.set(true);
        eprintln!("{}", Backtrace::force_capture());
        IS_EXEMPT.set(false);
    }
}

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, len_bytes: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is handed on.
        unsafe { System.realloc(at, layout, len_bytes) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is handed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A test harness would allocate beside the server, and could not be a worker: this is one of a single test.
fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().collect();
    if arguments.get(1).is_some_and(|role| role == "worker") {
        return Arguments::parse().run();
    }
    if arguments.iter().any(|argument| argument == "--list") {
        if !arguments.iter().any(|argument| argument == "--ignored") {
            println!("{NAME}: test");
        }
        return ExitCode::SUCCESS;
    }
    match frames_are_served_without_allocating() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:?}");
            ExitCode::FAILURE
        }
    }
}

fn frames_are_served_without_allocating() -> Result<()> {
    IS_EXEMPT.set(true);
    let lab = Lab::install(&built("libnull.so")?, "null", "")?;
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let mut arguments = vec!["segue".to_owned(), "serve".into(), "--listen".into(), address.to_string()];
    arguments.extend(lab.places());
    // It serves until this process ends, and its workers end with it.
    spawn(|| Arguments::parse_from(arguments).run());
    while TcpStream::connect(address).is_err() {
        sleep(Duration::from_millis(10));
    }
    let client = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let counted = client.block_on(count_frames(&address.to_string()))?;
    println!("{counted} allocations in {FRAMES} frames");
    ensure!(counted <= MOST, "{counted} allocations in {FRAMES} frames; SEGUE_SHOW_ALLOCATIONS=1 shows where");
    Ok(())
}

async fn count_frames(address: &str) -> Result<u64> {
    let mut client = Client::connect(address).await?;
    let jpeg = jpeg(640, 360, |x, y| [(x ^ y) as u8, (x / 3) as u8, (y / 2) as u8])?;
    let mut before = 0;
    for number in 0..WARM_UP + FRAMES {
        if number == WARM_UP {
            before = COUNTED.load(Ordering::Relaxed);
            IS_SHOWN.store(std::env::var_os("SEGUE_SHOW_ALLOCATIONS").is_some(), Ordering::Relaxed);
        }
        client.frame(number, &jpeg).await?;
        let result = client.result().await.with_context(|| format!("frame {number}"))?;
        ensure!(result.frame_id == number && result.share(1) > 0.1, "the mask of frame {number}");
    }
    IS_SHOWN.store(false, Ordering::Relaxed);
    Ok(COUNTED.load(Ordering::Relaxed) - before)
}

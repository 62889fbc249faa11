//! A pool of threads for sections of a few microseconds, a hundred of them in a forward pass.
//!
//! The calling thread works too and never waits for a worker to wake: chunks are claimed one by one, and a
//! section ends when the claimed ones have. Workers watch for the next section for [`WATCH`], then park.
//! Invariant: a worker touches a section's memory only between claiming a chunk and reporting it done, and
//! [`Pool::run`] returns only when every claimed chunk is done.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use crate::buffer::Buffer;
use crate::parts::Parts;

/// How long an idle worker watches for work before it parks; a forward pass never leaves it longer.
const WATCH: Duration = Duration::from_micros(40);

/// Chunks left are the low bits of a ticket, the section's number the others.
const CHUNK_BITS: u32 = 24;
const CHUNK_MASK: u64 = (1 << CHUNK_BITS) - 1;

/// Multiply-accumulates (or as much other work) below which a second thread costs more than it saves.
const WORK_PER_CHUNK: usize = 32 * 1024;
/// Chunks a thread gets of a large section: more even out what else the machine runs, fewer cost less.
const CHUNKS_PER_THREAD: usize = 3;

type Task<'a> = &'a (dyn Fn(usize, &mut [f32]) + Sync);

/// Threads that split loops over image rows. A pool of size 1 has no threads but the caller's.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<Worker>,
    scratch: Vec<Buffer>,
    section: u64,
}

#[derive(Debug)]
struct Worker {
    thread: Thread,
    parked: Arc<AtomicBool>,
    handle: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    ticket: AtomicU64,
    job: AtomicPtr<Job>,
    stop: AtomicBool,
}

/// What a section's threads share; lives on the stack of [`Pool::run`].
struct Job {
    task: Task<'static>,
    scratch: *mut Buffer,
    done: AtomicUsize,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Pool {
    /// A pool in which `threads` threads work, the caller's among them (so `threads - 1` are spawned).
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn new(threads: usize) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let mut pool = Self { shared, workers: Vec::new(), scratch: Vec::new(), section: 0 };
        for index in 1..threads.max(1) {
            let parked = Arc::new(AtomicBool::new(false));
            let (shared, flag) = (Arc::clone(&pool.shared), Arc::clone(&parked));
            let handle =
                thread::Builder::new().name(format!("segue-nn-{index}")).spawn(move || work(&shared, &flag, index))?;
            pool.workers.push(Worker { thread: handle.thread().clone(), parked, handle: Some(handle) });
        }
        pool.scratch.resize_with(pool.threads(), Buffer::default);
        Ok(pool)
    }

    /// How many threads work in a section, the caller's among them.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `task(chunk, scratch)` once for each chunk below `chunks`, on all threads.
    ///
    /// `scratch` holds at least `scratch_len` f32 of any value; it grows on first use and then stays.
    ///
    /// # Panics
    /// When a task panics, with its panic, after all other threads have left the section.
    pub fn run(&mut self, chunks: usize, scratch_len: usize, task: Task<'_>) {
        assert!(chunks as u64 <= CHUNK_MASK, "{chunks} chunks are more than a section can have");
        for scratch in &mut self.scratch {
            scratch.grow(scratch_len);
        }
        if chunks <= 1 || self.workers.is_empty() {
            (0..chunks).for_each(|chunk| task(chunk, &mut self.scratch[0]));
        } else {
            self.run_shared(chunks, task);
        }
    }

    fn run_shared(&mut self, chunks: usize, task: Task<'_>) {
        // SAFETY: only the lifetime changes. Workers call the task only between claiming a chunk and counting
        // it done, and this function returns only once all chunks are done.
        let task = unsafe { std::mem::transmute::<Task<'_>, Task<'static>>(task) };
        let scratch = self.scratch.as_mut_ptr();
        let mut job = Job { task, scratch, done: AtomicUsize::new(0), panic: Mutex::new(None) };
        self.section += 1;
        self.shared.job.store(&raw mut job, Ordering::Relaxed);
        self.shared.ticket.store((self.section << CHUNK_BITS) | chunks as u64, Ordering::SeqCst);
        for worker in &self.workers {
            if worker.parked.load(Ordering::SeqCst) {
                worker.thread.unpark();
            }
        }
        self.shared.take_part(0);
        let mut spins = 0u32;
        while job.done.load(Ordering::Acquire) < chunks {
            relax(&mut spins);
        }
        let panic = job.panic.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    /// Splits `output` into `rows` equal rows and calls `task(first_row, some_rows, scratch)` on parts of it.
    ///
    /// `work_per_row` (in multiply-accumulates) decides into how many parts.
    ///
    /// # Panics
    /// When `output` is no multiple of `rows`, or a task panics.
    pub fn rows<T: Send>(
        &mut self,
        output: &mut [T],
        rows: usize,
        work_per_row: usize,
        scratch_len: usize,
        task: impl Fn(usize, &mut [T], &mut [f32]) + Sync,
    ) {
        self.rows_in(self.chunks(rows, work_per_row), output, rows, scratch_len, task);
    }

    /// The same in so many parts.
    ///
    /// # Panics
    /// When `output` is no multiple of `rows`, or a task panics.
    pub(crate) fn rows_in<T: Send>(
        &mut self,
        chunks: usize,
        output: &mut [T],
        rows: usize,
        scratch_len: usize,
        task: impl Fn(usize, &mut [T], &mut [f32]) + Sync,
    ) {
        assert_eq!(output.len() % rows.max(1), 0, "the output is not whole rows");
        let row_len = output.len() / rows.max(1);
        let parts = Parts::new(output);
        self.run(chunks, scratch_len, &|chunk, scratch| {
            let (first, end) = (rows * chunk / chunks, rows * (chunk + 1) / chunks);
            // SAFETY: chunks are run once each, and their row ranges do not overlap.
            let part = unsafe { parts.slice(first * row_len, end * row_len) };
            task(first, part, scratch);
        });
    }

    /// Into how many chunks to split `rows` rows of so much work each.
    pub(crate) fn chunks(&self, rows: usize, work_per_row: usize) -> usize {
        let most = match self.threads() {
            1 => 1,
            threads => threads * CHUNKS_PER_THREAD,
        };
        (rows * work_per_row / WORK_PER_CHUNK).min(most).min(rows).max(1)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for worker in &mut self.workers {
            worker.thread.unpark();
            if let Some(handle) = worker.handle.take() {
                // A worker catches its task's panics, so there is none to pass on.
                let _ = handle.join();
            }
        }
    }
}

impl Shared {
    /// Claims and runs chunks of the present section until none is left.
    fn take_part(&self, thread: usize) {
        let mut ticket = self.ticket.load(Ordering::Acquire);
        while ticket & CHUNK_MASK != 0 {
            let job = self.job.load(Ordering::Relaxed);
            match self.ticket.compare_exchange_weak(ticket, ticket - 1, Ordering::AcqRel, Ordering::Acquire) {
                Err(now) => ticket = now,
                Ok(_) => {
                    // SAFETY: the ticket did not change between reading `job` and claiming, and a section's
                    // ticket never returns: `job` is the section's, which lives until this chunk is done.
                    unsafe { run_chunk(job, (ticket & CHUNK_MASK) as usize - 1, thread) };
                    ticket = self.ticket.load(Ordering::Acquire);
                }
            }
        }
    }
}

/// # Safety
/// `chunk` of the job was claimed by the caller, who is the pool's thread number `thread`.
unsafe fn run_chunk(job: *const Job, chunk: usize, thread: usize) {
    // SAFETY: the job lives until `done` counts this chunk, below.
    let job = unsafe { &*job };
    // SAFETY: a pool has one scratch per thread, and this thread is the only one with its number.
    let scratch = unsafe { &mut *job.scratch.add(thread) };
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (job.task)(chunk, scratch))) {
        *job.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
    }
    job.done.fetch_add(1, Ordering::Release);
}

/// A worker's life: watch, take part, park.
fn work(shared: &Shared, parked: &AtomicBool, thread: usize) {
    while !shared.stop.load(Ordering::Acquire) {
        shared.take_part(thread);
        if watch(shared) {
            continue;
        }
        parked.store(true, Ordering::SeqCst);
        // Looked at once more after the flag is up: whoever publishes later sees the flag and unparks.
        if shared.ticket.load(Ordering::SeqCst) & CHUNK_MASK == 0 && !shared.stop.load(Ordering::SeqCst) {
            thread::park();
        }
        parked.store(false, Ordering::SeqCst);
    }
}

/// Waits up to [`WATCH`] for chunks; says whether there are any.
fn watch(shared: &Shared) -> bool {
    let began = Instant::now();
    loop {
        for _ in 0..64 {
            if shared.ticket.load(Ordering::Acquire) & CHUNK_MASK != 0 {
                return true;
            }
            std::hint::spin_loop();
        }
        if shared.stop.load(Ordering::Acquire) || began.elapsed() > WATCH {
            return false;
        }
    }
}

/// Waits a moment for other threads: at first on the spot, then by giving the core away.
fn relax(spins: &mut u32) {
    *spins += 1;
    if *spins < 2_000 {
        std::hint::spin_loop();
    } else {
        thread::yield_now();
    }
}

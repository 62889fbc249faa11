//! The thread pool: each chunk once, panics passed on, threads gone with it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;

use segue_nn::Pool;

#[test]
fn every_chunk_runs_exactly_once_in_thousands_of_short_sections() {
    for threads in [1, 2, 4] {
        let mut pool = Pool::new(threads).expect("threads can be had");
        let counts: Vec<AtomicUsize> = (0..37).map(|_| AtomicUsize::new(0)).collect();
        for _ in 0..2000 {
            pool.run(counts.len(), 8, &|chunk, scratch| {
                scratch[..8].fill(chunk as f32);
                counts[chunk].fetch_add(1, Ordering::Relaxed);
                assert!(scratch[..8].iter().all(|&value| value == chunk as f32), "scratch is shared");
            });
        }
        assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 2000));
    }
}

#[test]
fn all_threads_of_a_pool_work_at_once() {
    let mut pool = Pool::new(3).expect("threads can be had");
    assert_eq!(pool.threads(), 3);
    let (barrier, names) = (Barrier::new(3), Mutex::new(Vec::new()));
    pool.run(3, 0, &|_, _| {
        names.lock().expect("no thread panicked").push(thread::current().id());
        // Passes only if three threads are here together.
        barrier.wait();
    });
    let mut names = names.into_inner().expect("no thread panicked");
    names.sort_by_key(|id| format!("{id:?}"));
    names.dedup();
    assert_eq!(names.len(), 3);
}

#[test]
fn a_pool_of_one_runs_on_the_calling_thread() {
    let mut pool = Pool::new(1).expect("no thread is needed");
    let caller = thread::current().id();
    pool.run(5, 0, &|_, _| assert_eq!(thread::current().id(), caller));
}

#[test]
fn a_panic_reaches_the_caller_and_the_pool_works_on() {
    let mut pool = Pool::new(2).expect("threads can be had");
    for round in 0..20 {
        let section = catch_unwind(AssertUnwindSafe(|| {
            pool.run(8, 0, &|chunk, _| assert_ne!(chunk, round % 8, "this chunk fails"));
        }));
        assert!(section.is_err());
        let done = AtomicUsize::new(0);
        pool.run(8, 0, &|_, _| {
            done.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(done.into_inner(), 8);
    }
}

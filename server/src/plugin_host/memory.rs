//! What the system's allocator keeps of memory that is free again.

/// Bounds the allocator's arenas to one a core. By itself it has eight, and each keeps what its threads gave back. To
/// be called before there are threads.
pub fn bound_arenas() {
    #[cfg(target_env = "gnu")]
    {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        // SAFETY: it sets a number, and may be called at any time. Failing to set it changes nothing.
        unsafe { libc::mallopt(libc::M_ARENA_MAX, i32::try_from(cores).unwrap_or(i32::MAX)) };
    }
}

/// Gives the system back what a model left behind: the allocator keeps it for a next one that may never come.
pub fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it may be called at any time, from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

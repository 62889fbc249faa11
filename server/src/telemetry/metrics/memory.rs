//! How much processes hold.

use std::fs;

/// Memory of the process `id` (or of `self`) that is in RAM, in bytes; `None` when it has ended, or where there is no `/proc`.
pub(super) fn resident_bytes(id: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

/// How many files and sockets this process has open; `None` where there is no `/proc`.
pub(super) fn open_descriptors() -> Option<i64> {
    // One of them is the look at them.
    Some(fs::read_dir("/proc/self/fd").ok()?.count() as i64 - 1)
}

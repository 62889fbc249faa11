//! Progress on stderr, when that is a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar for `count` steps; none beside JSON.
pub(super) fn bar(count: usize, is_hidden: bool) -> ProgressBar {
    if is_hidden {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(count as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:32} {pos} of {len}, {eta} left") {
        bar.set_style(style);
    }
    bar
}

/// A count of steps whose end nobody knows; none beside JSON.
pub(super) fn spinner(is_hidden: bool) -> ProgressBar {
    if is_hidden {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {pos} frames, {per_sec}") {
        bar.set_style(style);
    }
    bar
}

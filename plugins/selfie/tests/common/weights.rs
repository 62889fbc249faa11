//! Where the networks' files are.

use std::path::PathBuf;

/// A network's file in the model cache; `None`, said loudly, if it is not there and need not be.
pub(crate) fn path(file: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("SEGUE_CACHE").map(PathBuf::from).or_else(default_cache);
    let path = cache.unwrap_or_default().join("models/selfie").join(file);
    if path.is_file() {
        return Some(path);
    }
    let required = std::env::var_os("SEGUE_REQUIRE_WEIGHTS").is_some();
    assert!(!required, "SEGUE_REQUIRE_WEIGHTS is set, and there is no {}", path.display());
    eprintln!("SKIPPED: there is no {}; run `segue models pull selfie`", path.display());
    None
}

fn default_cache() -> Option<PathBuf> {
    let user = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let user = user.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    Some(user?.join("segue"))
}

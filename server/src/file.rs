//! Reading files that somebody else wrote: a pipe would hang the reader, a device would never end.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// The whole content of the regular file at `path`, of at most `max_len_bytes`.
pub fn read(path: &Path, max_len_bytes: u64) -> io::Result<Vec<u8>> {
    // Asked before it is opened: opening a pipe waits for somebody to write to it.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    let mut content = Vec::new();
    File::open(path)?.take(max_len_bytes + 1).read_to_end(&mut content)?;
    if content.len() as u64 > max_len_bytes {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {max_len_bytes} bytes")));
    }
    Ok(content)
}

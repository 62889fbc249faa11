//! Reading files that somebody else wrote: a pipe would hang the reader, a device would never end.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use image::RgbImage;
use sha2::{Digest, Sha256};

/// The whole content of the regular file at `path`, of at most `max_len_bytes`.
pub fn read(path: &Path, max_len_bytes: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    open(path)?.take(max_len_bytes + 1).read_to_end(&mut content)?;
    if content.len() as u64 > max_len_bytes {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {max_len_bytes} bytes")));
    }
    Ok(content)
}

/// The pixels of a picture: JPEG, PNG or WebP.
pub fn rgb(content: &[u8]) -> Result<RgbImage, String> {
    if !content.starts_with(&[0xFF, 0xD8]) {
        return Ok(image::load_from_memory(content).map_err(|error| error.to_string())?.into_rgb8());
    }
    let picture = turbojpeg::decompress(content, turbojpeg::PixelFormat::RGB).map_err(|error| error.to_string())?;
    let (width_px, height_px) = (picture.width as u32, picture.height as u32);
    RgbImage::from_raw(width_px, height_px, picture.pixels).ok_or_else(|| "it has not all its pixels".to_owned())
}

/// Whether `name` names a file without saying where.
pub fn is_plain_name(name: &str) -> bool {
    Path::new(name).file_name().is_some_and(|plain| plain == name)
}

/// Opens a regular file.
pub fn open(path: &Path) -> io::Result<File> {
    // Asked before it is opened: opening a pipe waits for somebody to write to it.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    File::open(path)
}

/// An error when everybody on this machine may write the file at `path`, or put another one in its place: what is run
/// or believed must not lie there.
pub fn refuse_writable_by_all(path: &Path) -> io::Result<()> {
    // Where a link leads to counts as much as where it lies.
    let target = fs::canonicalize(path)?;
    let folders = [path, &target].map(|path| path.parent().filter(|folder| !folder.as_os_str().is_empty()));
    for path in folders.map(|folder| folder.unwrap_or(Path::new("."))).into_iter().chain([path]) {
        if fs::metadata(path)?.mode() & 0o002 != 0 {
            let what = format!("everybody may write to {0}; chmod o-w {0}", path.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
        }
    }
    Ok(())
}

/// The SHA-256 of the regular file at `path`, in hex. It may be larger than memory.
pub fn sha256(path: &Path) -> io::Result<String> {
    let (mut file, mut hasher, mut part) = (open(path)?, Sha256::new(), vec![0; 1 << 18]);
    loop {
        match file.read(&mut part) {
            Ok(0) => return Ok(hex::encode(hasher.finalize())),
            Ok(len) => hasher.update(&part[..len]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// What the file system says of a file: as long as that stays the same, so does its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    file: (u64, u64),
    len_bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Of two writes within one tick of the file system's clock, the second leaves no trace.
const TICK: Duration = Duration::from_millis(50);

impl Stamp {
    /// The stamp of the file at `path`; `None` when there is none, or when it was written so lately that its next write
    /// could have the same.
    pub fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        let age = SystemTime::now().duration_since(changed_at(&metadata)?).ok()?;
        (age > TICK).then(|| Self {
            file: (metadata.dev(), metadata.ino()),
            len_bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

fn changed_at(metadata: &Metadata) -> Option<SystemTime> {
    let seconds = u64::try_from(metadata.ctime()).ok()?;
    let nanos = u32::try_from(metadata.ctime_nsec()).ok()?;
    UNIX_EPOCH.checked_add(Duration::new(seconds, nanos))
}

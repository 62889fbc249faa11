//! Frames of a clip: a video, which ffmpeg decodes, or a folder of pictures.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use super::Failure;
use crate::file;

const JPEG_START: [u8; 2] = [0xFF, 0xD8];
const JPEG_END: [u8; 2] = [0xFF, 0xD9];

/// Encoded pictures, one after the other.
pub(super) enum Clip {
    /// Files of a folder.
    Folder { files: std::vec::IntoIter<PathBuf>, most_len_bytes: u64 },
    /// What ffmpeg writes.
    Video { path: PathBuf, ffmpeg: Child, output: ChildStdout, pending: Vec<u8> },
}

impl Clip {
    /// Opens the clip at `path`; no frame of a folder is longer than `most_len_bytes`.
    pub(super) fn open(path: &Path, most_len_bytes: u64) -> Result<Self, Failure> {
        let unreadable = |error: std::io::Error| Failure::wrong_usage(format!("{}: {error}", path.display()));
        if fs::metadata(path).map_err(unreadable)?.is_dir() {
            let entries = fs::read_dir(path).map_err(unreadable)?;
            let mut files: Vec<_> =
                entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file()).collect();
            files.sort();
            return Ok(Self::Folder { files: files.into_iter(), most_len_bytes });
        }
        let mut ffmpeg = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-i"])
            .arg(path)
            .args(["-f", "image2pipe", "-c:v", "mjpeg", "-q:v", "3", "-pix_fmt", "yuvj420p", "-"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(|error| Failure::wrong_usage(format!("ffmpeg, which decodes videos, can't be run: {error}")))?;
        let output = ffmpeg.stdout.take().ok_or_else(|| Failure::does_not_hold("ffmpeg has no output"))?;
        Ok(Self::Video { path: path.to_owned(), ffmpeg, output, pending: Vec::new() })
    }

    /// The next picture.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        match self {
            Self::Folder { files, most_len_bytes } => {
                let read = |path: PathBuf| {
                    let named = |error| Failure::does_not_hold(format!("{}: {error}", path.display()));
                    file::read(&path, *most_len_bytes).map_err(named)
                };
                files.next().map(read).transpose()
            }
            Self::Video { path, ffmpeg, output, pending } => loop {
                if let Some(len) = first_jpeg(pending) {
                    let rest = pending.split_off(len);
                    return Ok(Some(std::mem::replace(pending, rest)));
                }
                let mut part = [0; 64 << 10];
                match output.read(&mut part).map_err(Failure::does_not_hold)? {
                    0 => {
                        let status = ffmpeg.wait().map_err(Failure::does_not_hold)?;
                        let failed =
                            || Failure::does_not_hold(format!("{}: ffmpeg ended with {status}", path.display()));
                        return if status.success() { Ok(None) } else { Err(failed()) };
                    }
                    len => pending.extend_from_slice(&part[..len]),
                }
            },
        }
    }
}

impl Drop for Clip {
    fn drop(&mut self) {
        if let Self::Video { ffmpeg, .. } = self {
            // One that has ended is only reaped.
            let _ = ffmpeg.kill();
            let _ = ffmpeg.wait();
        }
    }
}

/// The length of the JPEG that `bytes` start with, if it is whole. ffmpeg's have no thumbnails, and an end marker is
/// nowhere else in one: within its data FF is followed by 00.
fn first_jpeg(bytes: &[u8]) -> Option<usize> {
    let start = bytes.windows(2).position(|pair| pair == JPEG_START)?;
    let end = bytes[start..].windows(2).position(|pair| pair == JPEG_END)?;
    Some(start + end + 2)
}

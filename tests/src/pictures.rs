//! Pictures to send: made up, or real ones from the optional test data.

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result, ensure};
use turbojpeg::{Image, PixelFormat, Subsamp};

/// A JPEG of a smooth gradient.
pub fn gradient_jpeg(width: u16, height: u16) -> Result<Vec<u8>> {
    jpeg(width, height, |x, y| [(x % 256) as u8, (y % 256) as u8, ((x + y) % 256) as u8])
}

/// A JPEG of what `pixel` says for each place.
pub fn jpeg(width: u16, height: u16, pixel: impl Fn(u16, u16) -> [u8; 3]) -> Result<Vec<u8>> {
    let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let pixels: Vec<u8> = places.flat_map(|(x, y)| pixel(x, y)).collect();
    let (width, height) = (width.into(), height.into());
    let image = Image { pixels: &pixels[..], width, pitch: 3 * width, height, format: PixelFormat::RGB };
    Ok(turbojpeg::compress(image, 60, Subsamp::Sub2x2)?.to_vec())
}

/// The folder of real media, `SEGUE_TEST_DATA`. Says loudly what is skipped without it.
pub fn test_data(skipped: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("SEGUE_TEST_DATA").map(PathBuf::from).filter(|folder| folder.is_dir());
    if folder.is_none() {
        eprintln!("SKIPPED: {skipped}: SEGUE_TEST_DATA names no folder of media");
    }
    folder
}

/// Every `step`th frame of a clip of the test data as JPEG, 640 pixels wide, at most `count`.
pub fn clip_frames(clip: &str, step: u32, count: u32) -> Result<Option<Vec<Vec<u8>>>> {
    let Some(folder) = test_data(&format!("frames of {clip}")) else { return Ok(None) };
    let out = tempfile::tempdir()?;
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(folder.join("media/webcam").join(clip))
        .args(["-vf", &format!("select=not(mod(n\\,{step})),scale=640:-2"), "-fps_mode", "vfr"])
        .args(["-frames:v", &count.to_string(), "-q:v", "3"])
        .arg(out.path().join("%03d.jpg"))
        .status()
        .context("ffmpeg is needed to cut clips")?;
    ensure!(status.success(), "ffmpeg ended with {status}");
    let mut paths = std::fs::read_dir(out.path())?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(Some(paths.iter().map(std::fs::read).collect::<std::io::Result<_>>()?))
}

//! What the scenarios share: finding the weights, and making the reference's inputs.

use std::path::PathBuf;
use std::process::Command;

use sha2::{Digest, Sha256};

mod weights;

/// The general network's file, and the landscape one's.
pub(crate) const FILES: [&str; 2] = ["selfie_segmentation.tflite", "selfie_segmentation_landscape.tflite"];
/// The clips' size.
const FRAME_WIDTH: usize = 640;
const FRAME_HEIGHT: usize = 480;

/// A network's file from the model cache; `None`, said loudly, if it is not there and need not be.
pub(crate) fn weights(file: &str) -> Option<Vec<u8>> {
    Some(std::fs::read(weights::path(file)?).expect("the file was there a moment ago"))
}

/// The bytes of a formula of `reference/make_reference.py`, as a network's input.
pub(crate) fn synthetic(formula: &str, width: usize, height: usize) -> Vec<f32> {
    let pixel = match formula {
        "gradient" => gradient,
        "noise" => noise,
        "figure" => figure,
        other => panic!("reference.json names the formula {other}, which is not written here"),
    };
    let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    places.flat_map(|(x, y)| pixel(x, y, width, height)).map(unit).collect()
}

fn unit(byte: u8) -> f32 {
    f32::from(byte) / 255.0
}

fn gradient(x: usize, y: usize, width: usize, height: usize) -> [u8; 3] {
    [x * 255 / (width - 1), y * 255 / (height - 1), (x + y) * 255 / (width + height - 2)].map(|c| c as u8)
}

fn noise(x: usize, y: usize, _width: usize, _height: usize) -> [u8; 3] {
    [0, 1, 2].map(|channel: u32| {
        let place = (x as u32).wrapping_mul(374_761_393).wrapping_add((y as u32).wrapping_mul(668_265_263));
        let value = place.wrapping_add(channel.wrapping_mul(2_246_822_519));
        let value = (value ^ (value >> 13)).wrapping_mul(1_274_126_177);
        (value >> 16) as u8
    })
}

fn figure(x: usize, y: usize, width: usize, height: usize) -> [u8; 3] {
    let (u, v) = ((x * 1000 / width) as i64, (y * 1000 / height) as i64);
    if (u - 500).pow(2) * 4 + (v - 380).pow(2) * 2 < 110_000 {
        [205, 160, 135]
    } else if (u - 500).pow(2) + (v - 1000).pow(2) < 130_000 {
        [40, 45, 80]
    } else {
        [(90 + u / 20) as u8, (110 + v / 25) as u8, 140]
    }
}

/// A clip's frame as a network's input; `None`, said loudly, if the very same frame cannot be had.
pub(crate) fn clip_frame(clip: &str, index: u64, sha256: &str, width: usize, height: usize) -> Option<Vec<f32>> {
    let Some(data) = std::env::var_os("SEGUE_TEST_DATA") else {
        eprintln!("SKIPPED: {clip}: set SEGUE_TEST_DATA to the folder that holds media/webcam");
        return None;
    };
    let path = PathBuf::from(data).join("media").join(clip);
    let pixels = match decode(&path, index) {
        Ok(pixels) => pixels,
        Err(reason) => {
            eprintln!("SKIPPED: {}: {reason}", path.display());
            return None;
        }
    };
    if hex::encode(Sha256::digest(&pixels)) != sha256 {
        eprintln!("SKIPPED: {clip}: this ffmpeg decodes frame {index} to other bytes than the reference's");
        return None;
    }
    let places =
        (0..height).flat_map(|y| (0..width).map(move |x| (x * FRAME_WIDTH / width, y * FRAME_HEIGHT / height)));
    Some(places.flat_map(|(x, y)| &pixels[(y * FRAME_WIDTH + x) * 3..][..3]).map(|&byte| unit(byte)).collect())
}

fn decode(path: &std::path::Path, index: u64) -> Result<Vec<u8>, String> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-i"]).arg(path);
    command.args(["-vf", &format!("select=eq(n\\,{index})"), "-frames:v", "1"]);
    command.args(["-sws_flags", "bitexact+accurate_rnd", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]);
    let output = command.output().map_err(|error| format!("ffmpeg did not start: {error}"))?;
    if output.stdout.len() != FRAME_WIDTH * FRAME_HEIGHT * 3 {
        return Err(format!("ffmpeg wrote {} bytes: {}", output.stdout.len(), String::from_utf8_lossy(&output.stderr)));
    }
    Ok(output.stdout)
}

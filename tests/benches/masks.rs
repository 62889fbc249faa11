//! What a mask costs on its way: finding its runs, and deflating them by several libraries at several levels.
//!
//! `cargo xtask bench masks` runs it, on ground truth of `SEGUE_TEST_DATA` at 640x360 where that is there. What wins, as
//! the server does it, is soonest on the other side of a link of 100 Mbit/s.

use std::{fs, path::Path, process::ExitCode, time::Instant};

use anyhow::{Context, Result, ensure};
use flate2::{Compress, Compression, FlushCompress};
use libdeflater::{CompressionLvl, Compressor};
use segue::pipeline::MaskEncoder;
use segue_tests::test_data;
use serde_json::json;

const SIZE_PX: (usize, usize) = (640, 360);
const ROUNDS: usize = 20;
const LINK_BYTES_A_MICRO: f64 = 12.5;

fn main() -> ExitCode {
    match run(std::env::args().any(|argument| argument == "--json")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("masks: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(is_json: bool) -> Result<()> {
    let masks = masks()?;
    let plain: Vec<_> = masks.iter().map(|mask| runs_one_by_one(mask)).collect();
    let mut ways = Vec::new();
    for level in [1, 2, 4, 6] {
        let mut deflate = Compress::new(Compression::new(level), false);
        ways.push(measure(&format!("zlib-rs, level {level}"), &plain, |input, out| {
            deflate.reset();
            out.reserve(input.len() + 64);
            deflate.compress_vec(input, out, FlushCompress::Finish).map(drop).map_err(Into::into)
        })?);
    }
    for level in [1, 2, 4, 6, 9] {
        let level_of = CompressionLvl::new(level).map_err(|_unknown| anyhow::anyhow!("no level {level}"))?;
        let mut deflate = Compressor::new(level_of);
        ways.push(measure(&format!("libdeflate, level {level}"), &plain, |input, out| {
            out.resize(deflate.deflate_compress_bound(input.len()), 0);
            let len_bytes = deflate.deflate_compress(input, out)?;
            out.truncate(len_bytes);
            Ok(())
        })?);
    }
    let mut encoder = MaskEncoder::default();
    let server = measure("the server, runs and all", &masks, |mask, out| Ok(encoder.encode_mask(mask, out)?))?;
    let one_by_one = measure("runs alone, one pixel at a time", &masks, |mask, out| {
        out.extend(runs_one_by_one(mask));
        Ok(())
    })?;
    let best = ways.iter().min_by(|one, other| one.cost().total_cmp(&other.cost())).context("none was measured")?;
    if is_json {
        let all = ways.iter().chain([&server, &one_by_one]);
        let figures: Vec<_> =
            all.map(|way| json!({"name": way.name, "bytes": way.bytes, "micros": way.micros})).collect();
        println!("{}", json!({"masks": masks.len(), "best": best.name, "ways": figures}));
    } else {
        println!("{} masks of 640x360, means", masks.len());
        println!("{:<34}{:>8} {:>14} {:>9} {:>14}", "", "bytes", "microseconds", "product", "and 100 Mbit/s");
        for way in ways.iter().chain([&server, &one_by_one]) {
            let product = way.bytes * way.micros / 1e3;
            println!("{:<34}{:8.0} {:14.1} {product:9.0} {:14.1}", way.name, way.bytes, way.micros, way.cost());
        }
    }
    ensure!(best.name == "libdeflate, level 1", "{} beats what the server does", best.name);
    Ok(())
}

/// Class ids, all of one size: ground truth, or a few blobs.
fn masks() -> Result<Vec<Vec<u8>>> {
    let (width, height) = SIZE_PX;
    let Some(folder) = test_data("ground truth of photos") else {
        let blob = |number: usize, at: usize| {
            let (x, y) = ((at % width) as f32, (at / width) as f32);
            let rough = 9.0 * (x / 5.0).sin() + 7.0 * (y / 3.0).cos();
            u8::from((x - 320.0).hypot(y - 200.0) + rough < 40.0 + 10.0 * number as f32) * (number % 21) as u8
        };
        return Ok((0..20).map(|number| (0..width * height).map(|at| blob(number, at)).collect()).collect());
    };
    let mut paths: Vec<_> =
        fs::read_dir(folder.join("media/voc/masks"))?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    paths.sort();
    paths.iter().map(|path| ground_truth(path)).collect()
}

fn ground_truth(path: &Path) -> Result<Vec<u8>> {
    let decoder = png::Decoder::new(std::io::BufReader::new(fs::File::open(path)?));
    let mut reader = decoder.read_info()?;
    let mut ids = vec![0; reader.output_buffer_size().context("too large")?];
    let info = reader.next_frame(&mut ids)?;
    ensure!(ids.len() == (info.width * info.height) as usize, "{}: not one byte a pixel", path.display());
    let (width, height) = SIZE_PX;
    let at = |x: usize, y: usize| {
        ids[(y * info.height as usize / height) * info.width as usize + x * info.width as usize / width]
    };
    // 255 marks what nobody is sure of.
    Ok((0..width * height)
        .map(|place| at(place % width, place / width))
        .map(|id| if id == 255 { 0 } else { id })
        .collect())
}

/// (length as LEB128, id) for each run, found in the plainest way.
fn runs_one_by_one(labels: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for run in labels.chunk_by(|one, other| one == other) {
        let mut len = run.len();
        while len >= 0x80 {
            out.push(len as u8 | 0x80);
            len >>= 7;
        }
        out.extend([len as u8, run[0]]);
    }
    out
}

struct Way {
    name: String,
    bytes: f64,
    micros: f64,
}

impl Way {
    /// Microseconds until all of it is on the other side.
    fn cost(&self) -> f64 {
        self.micros + self.bytes / LINK_BYTES_A_MICRO
    }
}

/// Bytes and microseconds of an input, the means over all of them; of each the best of all rounds.
fn measure(name: &str, inputs: &[Vec<u8>], mut run: impl FnMut(&[u8], &mut Vec<u8>) -> Result<()>) -> Result<Way> {
    let (mut out, mut bytes, mut micros) = (Vec::with_capacity(1 << 20), 0, vec![f64::INFINITY; inputs.len()]);
    for round in 0..ROUNDS {
        for (input, micros) in inputs.iter().zip(&mut micros) {
            out.clear();
            let start = Instant::now();
            run(input, &mut out)?;
            *micros = micros.min(1e6 * start.elapsed().as_secs_f64());
            bytes += if round == 0 { out.len() } else { 0 };
        }
    }
    let count = inputs.len() as f64;
    Ok(Way { name: name.into(), bytes: bytes as f64 / count, micros: micros.iter().sum::<f64>() / count })
}

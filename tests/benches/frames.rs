//! What the frame path costs beside its floor, and how eight clients share it: everything but a model.
//!
//! `cargo xtask bench frames` builds what it needs. A server with a backend that computes nothing, under the load of
//! `segue bench`; and, by turns with it, the floor: decoding the same pictures by the faster of two decoders, one copy of
//! the pixels, and encoding the mask.

use std::{fs, process::ExitCode, time::Instant};

use anyhow::{Context, Result, ensure};
use segue::pipeline::{JpegEncoder, MaskEncoder};
use segue_tests::{Client, Lab, Server, built, clip_frames, jpeg, segue as program};
use serde_json::{Value, json};
use zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};
use zune_jpeg::JpegDecoder;

const SIZE_PX: (usize, usize) = (640, 360);
/// As profiles ask browsers for it.
const QUALITY: u8 = 50;
const CLIENTS: u32 = 8;
const ROUNDS: usize = 5;
const SECONDS: u32 = 3;
/// Frames a second of a client, as the page sends them.
const CALM_FPS: f64 = 30.0;
/// Of what eight clients can do at most. Their frames meet by chance, and three can't share two cores: this has no mark.
const BUSY_SHARE: f64 = 0.5;

const MOST_OVER_FLOOR: f64 = 1.3;
const LEAST_OF_CORES: f64 = 0.9;
const MOST_P99_OVER_P50: f64 = 2.0;
/// The slowest client's share of what the mean one gets.
const LEAST_OF_MEAN: f64 = 0.9;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(std::env::args().any(|argument| argument == "--json")).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("frames: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(is_json: bool) -> Result<()> {
    let sources = sources()?;
    let folder = tempfile::tempdir()?;
    for (number, source) in sources.iter().enumerate() {
        fs::write(folder.path().join(format!("{number:03}.jpg")), source)?;
    }
    let pictures = sources.iter().map(|source| as_sent(source)).collect::<Result<Vec<_>>>()?;
    let lab = Lab::install(&built("libnull.so")?, "null", "")?;
    let (alone, many) = (serve(&lab, 1)?, serve(&lab, 2)?);
    let labels = mask_of(&alone, &pictures[0]).await?;
    let load = |server: &Server, clients: u32, fps: f64| -> Result<Load> {
        let before = Cpu::now(server)?;
        let output = program(&["bench", "--json", "--url", &format!("http://{}", server.address())])
            .args(["--clients", &clients.to_string(), "--fps", &fps.to_string(), "--seconds", &SECONDS.to_string()])
            .arg("--source")
            .arg(folder.path())
            .output()?;
        // What its verdict is does not matter here.
        let figures = serde_json::from_slice(&output.stdout)
            .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
        Ok(Load { figures, cpu_seconds: Cpu::now(server)?.since(&before) })
    };

    let mut floor = Floor::new(labels)?;
    let (mut alones, mut manys) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        floor.measure(&pictures)?;
        alones.push(load(&alone, 1, 0.0)?);
        manys.push(load(&many, CLIENTS, 0.0)?);
    }
    let most_fps = median(manys.iter().map(|load| load.number("/fps")));
    let (mut calms, mut busies) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        calms.push(load(&many, CLIENTS, CALM_FPS)?);
        busies.push(load(&many, CLIENTS, BUSY_SHARE * most_fps / f64::from(CLIENTS))?);
    }
    report(&floor, &alones, &manys, &calms, &busies, is_json)
}

/// Pictures of a real clip, or of what looks a little like one.
fn sources() -> Result<Vec<Vec<u8>>> {
    if let Some(frames) = clip_frames("one-by-one-person-detection.mp4", 60, 20)? {
        return Ok(frames);
    }
    let (width, height) = SIZE_PX;
    let wave = |x: u16, y: u16| (f32::from(x) / 9.0).sin() + (f32::from(y) / 7.0).cos() + f32::from(x * y % 61) / 61.0;
    Ok(vec![jpeg(width as u16, height as u16, |x, y| {
        [(60.0 * wave(x, y) + 100.0) as u8, (x / 3) as u8, (y / 2) as u8]
    })?])
}

/// The picture `source` as a page, and `segue bench`, would send it.
fn as_sent(source: &[u8]) -> Result<Vec<u8>> {
    let picture = turbojpeg::decompress(source, turbojpeg::PixelFormat::RGB)?;
    let mut out = Vec::new();
    JpegEncoder::default().encode(&picture.pixels, picture.width as u32, QUALITY, &mut out)?;
    Ok(out)
}

fn serve(lab: &Lab, max_in_flight: u32) -> Result<Server> {
    let in_flight = format!("capture.max_in_flight={max_in_flight}");
    lab.serve_with(&["--set", &in_flight, "--set", "modes.fast.instances=0"])
}

/// The null backend's mask, as a client gets it.
async fn mask_of(server: &Server, picture: &[u8]) -> Result<Vec<u8>> {
    let mut client = Client::connect(server.address()).await?;
    client.frame(1, picture).await?;
    Ok(client.result().await?.labels)
}

/// One run of `segue bench`.
struct Load {
    figures: Value,
    /// Of the server, its workers and the clients.
    cpu_seconds: f64,
}

impl Load {
    fn number(&self, pointer: &str) -> f64 {
        self.figures.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN)
    }

    fn cpu_micros_a_frame(&self) -> f64 {
        1e6 * self.cpu_seconds / self.number("/frames/answered")
    }
}

/// Processor time that a server with its workers, and programs that this one ran, have taken.
struct Cpu(f64);

impl Cpu {
    fn now(server: &Server) -> Result<Self> {
        let mut ticks = 0;
        for entry in fs::read_dir("/proc")? {
            // A process may have ended since it was listed.
            let Ok(stat) = fs::read_to_string(entry?.path().join("stat")) else { continue };
            let Some((head, tail)) = stat.rsplit_once(')') else { continue };
            let id: Option<u32> = head.split(' ').next().and_then(|id| id.parse().ok());
            let fields: Vec<i64> = tail.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
            let is_worker = fields[0] == i64::from(server.id());
            ticks += match id {
                Some(id) if id == server.id() || is_worker => fields[10] + fields[11],
                Some(id) if id == std::process::id() => fields[12] + fields[13],
                _ => 0,
            };
        }
        // A tick is a hundredth of a second wherever Linux runs.
        Ok(Self(ticks as f64 / 100.0))
    }

    fn since(&self, before: &Self) -> f64 {
        self.0 - before.0
    }
}

/// What can't be done without, in microseconds.
struct Floor {
    labels: Vec<u8>,
    encoder: MaskEncoder,
    turbo: turbojpeg::Decompressor,
    rgb: Vec<u8>,
    copy: Vec<u8>,
    message: Vec<u8>,
    zune_micros: Vec<f64>,
    turbo_micros: Vec<f64>,
    copy_micros: Vec<f64>,
    encode_micros: Vec<f64>,
}

impl Floor {
    fn new(labels: Vec<u8>) -> Result<Self> {
        let (width, height) = SIZE_PX;
        Ok(Self {
            labels,
            encoder: MaskEncoder::default(),
            turbo: turbojpeg::Decompressor::new()?,
            rgb: vec![0; 3 * width * height],
            copy: vec![0; 3 * width * height],
            message: Vec::new(),
            zune_micros: Vec::new(),
            turbo_micros: Vec::new(),
            copy_micros: Vec::new(),
            encode_micros: Vec::new(),
        })
    }

    fn measure(&mut self, pictures: &[Vec<u8>]) -> Result<()> {
        let (width, height) = SIZE_PX;
        for picture in pictures.iter().cycle().take(10 * pictures.len().max(10)) {
            let start = Instant::now();
            let options = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::RGB);
            JpegDecoder::new_with_options(ZCursor::new(&picture[..]), options).decode_into(&mut self.rgb)?;
            self.zune_micros.push(micros(start));
            let start = Instant::now();
            let image = turbojpeg::Image {
                pixels: &mut self.rgb[..],
                width,
                pitch: 3 * width,
                height,
                format: turbojpeg::PixelFormat::RGB,
            };
            self.turbo.decompress(picture, image)?;
            self.turbo_micros.push(micros(start));
            let start = Instant::now();
            self.copy.copy_from_slice(&self.rgb);
            self.copy_micros.push(micros(start));
            let start = Instant::now();
            self.message.clear();
            self.encoder.encode_mask(&self.labels, &mut self.message)?;
            self.encode_micros.push(micros(start));
        }
        Ok(())
    }
}

fn micros(start: Instant) -> f64 {
    1e6 * start.elapsed().as_secs_f64()
}

fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn report(
    floor: &Floor,
    alones: &[Load],
    manys: &[Load],
    calms: &[Load],
    busies: &[Load],
    is_json: bool,
) -> Result<()> {
    let of = |loads: &[Load], pointer: &str| median(loads.iter().map(|load| load.number(pointer)));
    let at_median = |values: &Vec<f64>| median(values.iter().copied());
    let (zune, turbo) = (at_median(&floor.zune_micros), at_median(&floor.turbo_micros));
    let (copy, encode) = (at_median(&floor.copy_micros), at_median(&floor.encode_micros));
    let lowest = zune.min(turbo) + copy + encode;
    let total = of(alones, "/server_micros/total/p50");
    let over_floor = total / lowest;

    let cores = std::thread::available_parallelism()?.get() as f64;
    let cpu_micros = median(alones.iter().map(Load::cpu_micros_a_frame));
    let fps = of(manys, "/fps");
    let of_cores = fps * cpu_micros / 1e6 / cores;
    let latency = |loads| ["p50", "p99"].map(|share| of(loads, &format!("/latency_millis/{share}")));
    let ([p50, p99], [busy_p50, busy_p99]) = (latency(calms), latency(busies));
    let least = |loads| of(loads, "/fps_of_a_client/min") / of(loads, "/fps_of_a_client/mean");
    let least = least(manys).min(least(calms)).min(least(busies));
    if is_json {
        let figures = json!({
            "floor_micros": {"zune_jpeg": zune, "libjpeg_turbo": turbo, "copy": copy, "encode": encode, "sum": lowest},
            "server_total_micros": total, "over_floor": over_floor, "cores": cores,
            "cpu_micros_a_frame": cpu_micros, "fps": fps, "of_cores": of_cores,
            "calm_millis": {"p50": p50, "p99": p99}, "p99_over_p50": p99 / p50, "least_of_mean": least,
            "busy_millis": {"p50": busy_p50, "p99": busy_p99},
            "alone": alones[0].figures, "many": manys[0].figures, "calm": calms[0].figures,
        });
        println!("{figures}");
    } else {
        let (width, height) = SIZE_PX;
        let stage = |stage: &str| of(alones, &format!("/server_micros/{stage}/p50"));
        println!("one client, {width}x{height}, a backend that computes nothing; medians in microseconds");
        println!(
            "floor   {lowest:6.0}   decode {:.0} (libjpeg-turbo {turbo:.0}, zune-jpeg {zune:.0}), copy {copy:.0}, encode {encode:.0}",
            zune.min(turbo)
        );
        println!(
            "server  {total:6.0}   queue {:.0}, decode {:.0}, encode {:.0}; the rest is the call; ratio {over_floor:.2} (at most {MOST_OVER_FLOOR})",
            stage("queue"),
            stage("decode"),
            stage("encode")
        );
        println!(
            "{CLIENTS} clients, as many frames as can be: {fps:.0} a second; a frame takes {cpu_micros:.0} of processor time, its client's too; \
             {of_cores:.2} of {cores} cores (at least {LEAST_OF_CORES})"
        );
        println!(
            "{CLIENTS} clients at {CALM_FPS} a second each: p50 {p50:.2} ms, p99 {p99:.2} ms, ratio {:.2} (at most {MOST_P99_OVER_P50})",
            p99 / p50
        );
        println!(
            "{CLIENTS} clients at {BUSY_SHARE} of what they can: p50 {busy_p50:.2} ms, p99 {busy_p99:.2} ms, ratio {:.2}",
            busy_p99 / busy_p50
        );
        println!("the slowest client gets {least:.2} of the mean (at least {LEAST_OF_MEAN})");
    }
    let mut missed = Vec::new();
    let mut expect = |holds: bool, what: &'static str| {
        if !holds {
            missed.push(what);
        }
    };
    expect(over_floor <= MOST_OVER_FLOOR, "the server's total over its floor");
    expect(of_cores >= LEAST_OF_CORES, "the share of cores");
    expect(p99 <= MOST_P99_OVER_P50 * p50, "p99 over p50");
    expect(least >= LEAST_OF_MEAN, "the slowest client's share");
    ensure!(missed.is_empty(), "missed: {}", missed.join(", "));
    Ok(())
}

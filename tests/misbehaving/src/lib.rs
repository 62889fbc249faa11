//! A backend that misbehaves as the width of the frame tells it to; the scenarios look at what it costs.
#![allow(unsafe_code, reason = "a segmentation fault is one of the things that it is for")]

use std::{collections::BTreeMap, hint::black_box, path::Path, thread::sleep, time::Duration};

use segue_plugin::{Backend, Call, Class, Error, Frame, Info, Mask, Model, Result, Stage, export_backend};

/// Frames of this width make it panic.
const PANICS_AT_WIDTH: u32 = 101;
/// Frames of this width make it fail with a reason.
const FAILS_AT_WIDTH: u32 = 102;
/// Frames of this width make it name a class that it has not.
const LIES_AT_WIDTH: u32 = 103;
/// Frames of this width wait at the gate.
const WAITS_AT_WIDTH: u32 = 104;
/// Frames of this width make it write where nothing is.
const FAULTS_AT_WIDTH: u32 = 105;
/// Frames of this width make it call itself without end.
const RECURS_AT_WIDTH: u32 = 106;
/// Frames of this width make it never return.
const HANGS_AT_WIDTH: u32 = 107;
/// Frames of this width make it ask for more memory than it may have.
const GROWS_AT_WIDTH: u32 = 108;
/// Frames of this width make it leave.
const EXITS_AT_WIDTH: u32 = 109;
/// Frames of this width make it open a connection, and write a file.
const REACHES_OUT_AT_WIDTH: u32 = 110;
/// Frames of this width make it abort.
const ABORTS_AT_WIDTH: u32 = 111;
/// Frames of this width take a while.
const DAWDLES_AT_WIDTH: u32 = 112;

/// Frames of this width make it fail with what it would tell others of the frame's trace.
const TELLS_THE_TRACE_AT_WIDTH: u32 = 113;

/// `gate` names the file for which frames wait, `load_gate` the one for which loading does; `dawdle_millis` is how long
/// a while is, and `stall_millis` how long it takes for every twentieth frame, whatever its width.
type Settings = BTreeMap<String, String>;

struct Misbehaving {
    segmented: u64,
    settings: Settings,
}

/// Waits until the file that the setting `name` names is there, unless nobody waits for this to end.
fn wait_at(settings: &Settings, name: &str, is_cancelled: impl Fn() -> bool) {
    let Some(gate) = settings.get(name) else { return };
    log::warn!("Waits at the {name}");
    while !Path::new(gate).exists() && !is_cancelled() {
        sleep(Duration::from_millis(1));
    }
}

impl Misbehaving {
    /// The setting `name`, a number of milliseconds; none is 0.
    fn millis(&self, name: &str) -> u64 {
        self.settings.get(name).and_then(|millis| millis.parse().ok()).unwrap_or(0)
    }
}

impl Backend for Misbehaving {
    fn load(model: &Model<'_>) -> Result<Self> {
        let settings = model.settings()?;
        wait_at(&settings, "load_gate", || false);
        if let Some(path) = model.weights {
            let said = std::fs::read_to_string(path).map_err(|error| Error::new(error.to_string()))?;
            match said.trim() {
                "refuse" => return Err(Error::new("these weights are not to its taste")),
                "abort" => std::process::abort(),
                weights => log::warn!("Weights: {weights}"),
            }
        }
        log::warn!("Loaded {}, expect the worst", model.name);
        Ok(Self { segmented: 0, settings })
    }

    fn info(&self) -> Info {
        let classes = vec![Class::new("nothing", [0, 0, 0]), Class::new("something", [255, 0, 0])];
        Info { input_size_px: None, classes, has_confidence: false, memory_bytes: 0 }
    }

    fn segment(&mut self, frame: &Frame<'_>, mask: &mut Mask<'_>, call: &Call<'_>) -> Result<()> {
        self.segmented += 1;
        let stall_millis = if self.segmented.is_multiple_of(20) { self.millis("stall_millis") } else { 0 };
        call.stage(Stage::Forward, || match frame.width_px() {
            PANICS_AT_WIDTH => panic!("frame {} is too much", self.segmented),
            FAILS_AT_WIDTH => Err(Error::new("frames of this width are not to its taste")),
            REACHES_OUT_AT_WIDTH => reach_out(),
            TELLS_THE_TRACE_AT_WIDTH => Err(Error::new(format!("traceparent: {:?}", call.traceparent()))),
            width => {
                sleep(Duration::from_millis(stall_millis));
                match width {
                    WAITS_AT_WIDTH => wait_at(&self.settings, "gate", || call.cancelled()),
                    DAWDLES_AT_WIDTH => sleep(Duration::from_millis(self.millis("dawdle_millis"))),
                    ABORTS_AT_WIDTH => std::process::abort(),
                    // SAFETY: there is none; that is the point.
                    FAULTS_AT_WIDTH => unsafe { std::ptr::dangling_mut::<u64>().write_volatile(1) },
                    RECURS_AT_WIDTH => drop(black_box(recur(1))),
                    HANGS_AT_WIDTH => loop {
                        std::thread::yield_now();
                    },
                    GROWS_AT_WIDTH => drop(black_box(vec![1_u8; 10 << 30])),
                    EXITS_AT_WIDTH => std::process::exit(3),
                    _ => {}
                }
                mask.labels.fill(if width == LIES_AT_WIDTH { 200 } else { 1 });
                Ok(())
            }
        })
    }
}

fn recur(depth: u64) -> u64 {
    let room = black_box([depth; 512]);
    if depth == 0 { 0 } else { recur(black_box(depth + 1)) + room[511] }
}

unsafe extern "C" {
    fn kill(process: i32, signal: i32) -> i32;
    fn getppid() -> i32;
}

/// Says what it was kept from.
fn reach_out() -> Result<()> {
    let connected = std::net::TcpStream::connect("127.0.0.1:9");
    let written = std::fs::write("/tmp/segue-was-here", "misbehaving");
    let read = std::fs::read("/proc/self/status").map(|status| status.len() > 100);
    let started = std::process::Command::new("true").status();
    // SAFETY: both take numbers only. The one ends the server, the other its group, unless they are refused.
    let signalled = unsafe { (kill(getppid(), 9), kill(0, 15)) };
    Err(Error::new(format!(
        "network: {connected:?}; write: {written:?}; read: {read:?}; start: {started:?}; signal: {signalled:?}"
    )))
}

export_backend!(Misbehaving, "misbehaving");

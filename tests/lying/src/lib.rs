//! A backend that breaks the promise that its setting `lie` names, and keeps all others.
#![allow(unsafe_code, reason = "some lies are told to the C ABI, and some crash")]

use std::{
    ffi::c_void,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    thread::sleep,
    time::Duration,
};

use segue_plugin::{Backend, Call, Class, Error, Frame, Info, Mask, Model, Result, abi, export::descriptor};
use serde::Deserialize;

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Lie {
    None,
    ClassOutOfRange,
    WritesBeyondTheMask,
    LeavesAPixel,
    ReadsTheGap,
    DiffersFromCallToCall,
    DiffersFromInstanceToInstance,
    Leaks,
    HangsWhenCancelled,
    DawdlesWhenCancelled,
    ForgetsWhenCancelled,
    SameLabelTwice,
    EmptyLabel,
    OtherInfoEachTime,
    NoPalette,
    CrashesAtOnePixel,
    HangsAtAWidth,
    LeavesAtAWidth,
    PanicsAtAWidth,
    AbortsOnAShortFrame,
    AcceptsAShortFrame,
    FailsWithoutReason,
    SharesAStatic,
    OverstatesConcurrency,
    TakesAnySettings,
    CrashesWhenDestroyed,
}

/// Frames of this width are the ones that some lies are about.
const WIDTH_PX: u32 = 17;

/// One process tells one lie.
static LIE: OnceLock<Lie> = OnceLock::new();

/// What [`Lie::SharesAStatic`] shares.
static SHARED: Mutex<Vec<u8>> = Mutex::new(Vec::new());

fn tells(lie: Lie) -> bool {
    LIE.get() == Some(&lie)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default = "no_lie")]
    lie: Lie,
}

fn no_lie() -> Lie {
    Lie::None
}

struct Lying {
    number: u8,
    calls: u8,
    scratch: Mutex<Vec<u8>>,
    was_cancelled: bool,
}

impl Backend for Lying {
    fn load(model: &Model<'_>) -> Result<Self> {
        static LOADED: AtomicU8 = AtomicU8::new(0);
        match model.settings::<Settings>() {
            Ok(settings) => drop(LIE.set(settings.lie)),
            Err(_unread) if tells(Lie::TakesAnySettings) => {}
            Err(error) => return Err(error),
        }
        let number = LOADED.fetch_add(1, Ordering::Relaxed);
        Ok(Self { number, calls: 0, scratch: Mutex::default(), was_cancelled: false })
    }

    fn info(&self) -> Info {
        let second = match LIE.get() {
            Some(Lie::SameLabelTwice) => "dark",
            Some(Lie::EmptyLabel) => " ",
            _ => "bright",
        };
        let classes = vec![Class::new("dark", [0, 0, 0]), Class::new(second, [255, 200, 0])];
        Info { input_size_px: None, classes, has_confidence: false, memory_bytes: 0 }
    }

    fn segment(&mut self, frame: &Frame<'_>, mask: &mut Mask<'_>, call: &Call<'_>) -> Result<()> {
        self.calls = self.calls.wrapping_add(1);
        let lie = *LIE.get().unwrap_or(&Lie::None);
        if frame.width_px() == WIDTH_PX {
            lie_about_a_width(lie);
        }
        if call.cancelled() {
            match lie {
                Lie::HangsWhenCancelled => hang(),
                Lie::DawdlesWhenCancelled => sleep(Duration::from_millis(2500)),
                _ => {}
            }
            self.was_cancelled = true;
            return Err(Error::Cancelled);
        }
        brightness(frame, mask);
        self.lie_about_the_mask(lie, frame, mask);
        Ok(())
    }
}

impl Lying {
    fn lie_about_the_mask(&self, lie: Lie, frame: &Frame<'_>, mask: &mut Mask<'_>) {
        let len = mask.labels.len();
        match lie {
            Lie::ClassOutOfRange => mask.labels[len - 1] = 200,
            Lie::LeavesAPixel => mask.labels[len - 1] = 0xFF,
            // SAFETY: there is none; that is the point.
            Lie::WritesBeyondTheMask => unsafe { mask.labels.as_mut_ptr().add(len).write_volatile(1) },
            Lie::ReadsTheGap => {
                mask.labels[0] = frame.bytes().iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte)) & 1
            }
            Lie::DiffersFromCallToCall => mask.labels[0] = self.calls & 1,
            Lie::DiffersFromInstanceToInstance => mask.labels[0] = self.number & 1,
            Lie::ForgetsWhenCancelled if self.was_cancelled => mask.labels.fill(0),
            Lie::Leaks => drop(Vec::leak(vec![1_u8; 64 << 10])),
            // SAFETY: there is none; that is the point.
            Lie::CrashesAtOnePixel if len == 1 => unsafe { std::ptr::dangling_mut::<u64>().write_volatile(1) },
            Lie::SharesAStatic => take_turns(&SHARED, mask),
            Lie::OverstatesConcurrency => take_turns(&self.scratch, mask),
            _ => {}
        }
    }
}

impl Drop for Lying {
    fn drop(&mut self) {
        if tells(Lie::CrashesWhenDestroyed) {
            eprintln!("not without a fight");
            std::process::abort();
        }
    }
}

fn lie_about_a_width(lie: Lie) {
    match lie {
        Lie::HangsAtAWidth => hang(),
        Lie::LeavesAtAWidth => std::process::exit(0),
        Lie::PanicsAtAWidth => panic!("{WIDTH_PX} is too much"),
        _ => {}
    }
}

fn hang() {
    loop {
        sleep(Duration::from_secs(1));
    }
}

/// What an honest backend does: the nearest pixel's brightness.
fn brightness(frame: &Frame<'_>, mask: &mut Mask<'_>) {
    let nearest = |at: u32, from: u32, to: u32| (u64::from(at) * u64::from(to) / u64::from(from)) as u32;
    for y in 0..mask.height_px {
        let row = frame.row(nearest(y, mask.height_px, frame.height_px()));
        for x in 0..mask.width_px {
            let red = row[3 * nearest(x, mask.width_px, frame.width_px()) as usize];
            mask.labels[(y * mask.width_px + x) as usize] = u8::from(red > 127);
        }
    }
}

/// Leaves the mask where another call may leave its own, and takes back what lies there then.
fn take_turns(place: &Mutex<Vec<u8>>, mask: &mut Mask<'_>) {
    let lock = || place.lock().unwrap_or_else(PoisonError::into_inner);
    *lock() = mask.labels.to_vec();
    sleep(Duration::from_millis(3));
    let found = lock();
    if found.len() == mask.labels.len() {
        mask.labels.copy_from_slice(&found);
    }
}

const HONEST: abi::Plugin =
    descriptor::<Lying>("lying", env!("CARGO_PKG_VERSION"), "for tests", cfg!(panic = "unwind"));

/// The descriptor that the Segue server reads.
#[allow(non_upper_case_globals, reason = "the ABI fixes the exported symbol's name")]
#[unsafe(no_mangle)]
pub static segue_plugin_v1: abi::Plugin = abi::Plugin { info: Some(info), infer: Some(infer), ..HONEST };

unsafe extern "C" fn info(instance: *mut c_void, out: *mut abi::BackendInfo, error: *mut abi::TextBuffer) -> i32 {
    static ASKED: AtomicU8 = AtomicU8::new(0);
    let Some(honest) = HONEST.info else { return abi::STATUS_FAILED };
    // SAFETY: the arguments are those of the ABI, handed on.
    let status = unsafe { honest(instance, out, error) };
    // SAFETY: the ABI lends `out` to this call.
    let out = unsafe { &mut *out };
    match LIE.get() {
        Some(Lie::OverstatesConcurrency) => out.max_concurrency = 4,
        Some(Lie::NoPalette) => out.palette = std::ptr::null(),
        Some(Lie::OtherInfoEachTime) => out.has_confidence = u32::from(ASKED.fetch_add(1, Ordering::Relaxed) == 0),
        _ => {}
    }
    status
}

unsafe extern "C" fn infer(
    instance: *mut c_void,
    frame: *const abi::Frame,
    output: *mut abi::Output,
    error: *mut abi::TextBuffer,
) -> i32 {
    let Some(honest) = HONEST.infer else { return abi::STATUS_FAILED };
    // SAFETY: the ABI lends all three to this call.
    let (seen, output_seen, error_seen) = unsafe { (&*frame, &mut *output, &mut *error) };
    let is_short = seen.len_bytes < (3 * seen.width_px * seen.height_px) as usize;
    if is_short && tells(Lie::AbortsOnAShortFrame) {
        eprintln!("a short frame is the end");
        std::process::abort();
    }
    if is_short && tells(Lie::AcceptsAShortFrame) {
        output_seen.written = 1;
        return abi::STATUS_OK;
    }
    // SAFETY: the arguments are those of the ABI, handed on.
    let status = unsafe { honest(instance, frame, output, error) };
    if tells(Lie::FailsWithoutReason) {
        error_seen.len_bytes = 0;
    }
    status
}

//! AMX: tiles of 16 rows of 64 bytes.
//!
//! Rust has no stable names for its instructions yet, so they are written as assembly. No value lives in a tile
//! between two blocks of it; only the tiles' sizes do, from [`Tiles::of`] until it is dropped.

use std::arch::asm;
use std::arch::x86_64::__cpuid_count;
use std::mem::MaybeUninit;
use std::sync::OnceLock;

use super::bf16::{COLUMNS, Product, ROWS, Steps, Sums};

/// Whether this CPU has AMX for bf16, and the system lets this process use it.
pub(super) fn is_available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        const BF16: u32 = 1 << 22;
        const TILES: u32 = 1 << 24;
        let features = __cpuid_count(7, 0).edx;
        features & BF16 != 0 && features & TILES != 0 && is_permitted()
    })
}

/// Asks Linux for the tiles' room in each thread's state, which it gives to who asks alone.
#[cfg(target_os = "linux")]
fn is_permitted() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_int = 0x1023;
    const TILE_DATA: libc::c_int = 18;
    // SAFETY: the call takes two numbers, and changes nothing but what this process may use.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn is_permitted() -> bool {
    false
}

/// The sizes of this thread's tiles, as `ldtilecfg` reads them.
#[repr(C, align(64))]
struct Sizes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// Tiles in use: 0 to 3 for sums, 4 and 5 for inputs, 6 and 7 for weights.
pub(super) struct Tiles(());

impl Tiles {
    /// Tiles for inputs of so many rows, at most 16.
    #[inline(always)]
    pub(super) fn of(rows: usize) -> Self {
        const TILES: usize = 8;
        let mut sizes = Sizes { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
        sizes.row_bytes[..TILES].fill(64);
        sizes.rows[..6].fill(rows as u8);
        sizes.rows[6..TILES].fill(ROWS as u8);
        // SAFETY: `Products::Amx` exists only where `is_available` said so.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const sizes, options(nostack, readonly, preserves_flags)) };
        Self(())
    }
}

impl Drop for Tiles {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: as in `of`.
        unsafe { asm!("tilerelease", options(nostack, nomem, preserves_flags)) };
    }
}

/// Computes `sums`.
///
/// # Safety
/// The rows' inputs and the panel reach as far as the steps say, [`Tiles`] of the product's rows are in use, and there
/// is a step, each with a count above 0.
#[inline(always)]
pub(super) unsafe fn multiply(product: &Product<'_>, sums: &mut MaybeUninit<Sums>) {
    const SUMS_STEP: usize = COLUMNS * size_of::<f32>();
    const { assert!(size_of::<Steps>() == 24 && SUMS_STEP == 128) };
    // SAFETY: the caller's promise. A panel's rows come in pairs of 128 bytes, 16 of which meet 32 input values.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "2:",
            "mov {upper}, [{step}]",
            "lea {lower}, [{second} + {upper}]",
            "add {upper}, {first}",
            "mov {weights}, [{step} + 8]",
            "add {weights}, {panel}",
            "mov {left}, [{step} + 16]",
            "3:",
            "tileloadd tmm4, [{upper} + {input_step}]",
            "tileloadd tmm6, [{weights} + {panel_step}]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{weights} + {panel_step} + 64]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tileloadd tmm5, [{lower} + {input_step}]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {upper}, 64",
            "add {lower}, 64",
            "add {weights}, 2048",
            "dec {left}",
            "jnz 3b",
            "add {step}, 24",
            "dec {steps}",
            "jnz 2b",
            "tilestored [{sums} + {panel_step}], tmm0",
            "tilestored [{sums} + {panel_step} + 64], tmm1",
            "tilestored [{sums} + {panel_step} + 2048], tmm2",
            "tilestored [{sums} + {panel_step} + 2112], tmm3",
            first = in(reg) product.inputs[0],
            second = in(reg) product.inputs[1],
            input_step = in(reg) product.input_step * size_of::<half::bf16>(),
            panel = in(reg) product.panel,
            panel_step = in(reg) SUMS_STEP,
            step = inout(reg) product.steps.as_ptr() => _,
            steps = inout(reg) product.steps.len() => _,
            sums = in(reg) sums.as_mut_ptr(),
            upper = out(reg) _,
            lower = out(reg) _,
            weights = out(reg) _,
            left = out(reg) _,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}

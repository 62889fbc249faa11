//! One vector type per instruction set, and the choice between them at run time.
//!
//! A kernel is written once, over [`Vector`], and [`Level::run`] compiles it per instruction set: the generic
//! body is inlined into a `#[target_feature]` function, so a plain x86-64 build still runs AVX-512.
//! Invariant: a [`Level`] exists only when this CPU has its instructions, and a [`Vector`] value exists only
//! below [`Level::run`]; that is what makes the arithmetic methods sound.

#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::fmt;

use crate::gemm::{Late, Rows};

pub(crate) use portable::Portable;

/// An instruction set that this CPU was found to have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Level(Set);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Set {
    Portable,
    #[cfg(target_arch = "aarch64")]
    Neon,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    /// Every level this CPU can run, the slowest first.
    pub fn available() -> Vec<Self> {
        let mut levels = vec![Self::portable()];
        #[cfg(target_arch = "aarch64")]
        levels.push(Self(Set::Neon));
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            levels.push(Self(Set::Avx2));
            if is_x86_feature_detected!("avx512f") {
                levels.push(Self(Set::Avx512));
            }
        }
        levels
    }

    /// The fastest level this CPU can run.
    pub fn best() -> Self {
        Self::available().pop().unwrap_or(Self::portable())
    }

    /// Plain Rust that runs everywhere: what the other levels are tested against.
    pub const fn portable() -> Self {
        Self(Set::Portable)
    }

    /// The level's name as reports print it.
    pub const fn name(self) -> &'static str {
        match self.0 {
            Set::Portable => "portable",
            #[cfg(target_arch = "aarch64")]
            Set::Neon => "neon",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => "avx512",
        }
    }

    /// How many f32 one vector holds; packed weights are laid out by it.
    pub(crate) const fn lanes(self) -> usize {
        match self.0 {
            Set::Portable => Portable::LANES,
            #[cfg(target_arch = "aarch64")]
            Set::Neon => neon::Neon::LANES,
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => x86::Avx2::LANES,
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => x86::Avx512::LANES,
        }
    }

    /// Runs `kernel` compiled for this level.
    #[inline]
    pub(crate) fn run(self, kernel: impl Kernel) {
        match self.0 {
            Set::Portable => kernel.run::<Portable>(),
            #[cfg(target_arch = "aarch64")]
            Set::Neon => kernel.run::<neon::Neon>(),
            // SAFETY: a `Level` of this set was made by `available`, which found the features.
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => unsafe { x86::run_avx2(kernel) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => unsafe { x86::run_avx512(kernel) },
        }
    }
}

impl fmt::Debug for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A piece of work written once for every vector width.
///
/// `run` and all it calls with `V` must be `#[inline(always)]`, or the instructions will not be used.
pub(crate) trait Kernel {
    fn run<V: Vector>(self);
}

/// A vector of f32. Pointers need no alignment.
pub(crate) trait Vector: Copy {
    /// How many f32 it holds.
    const LANES: usize;

    fn splat(value: f32) -> Self;

    /// # Safety
    /// `LANES` f32 can be read at `from`.
    unsafe fn load(from: *const f32) -> Self;

    /// Loads the first `count` lanes and zeroes the others.
    ///
    /// # Safety
    /// `count` is below `LANES`, and so many f32 can be read at `from`.
    unsafe fn load_first(from: *const f32, count: usize) -> Self;

    /// Loads `LANES` bytes as numbers from 0 to 255.
    ///
    /// # Safety
    /// `LANES` bytes can be read at `from`.
    unsafe fn load_bytes(from: *const u8) -> Self;

    /// Loads one f32 for each of `LANES` places counted from `from`.
    ///
    /// # Safety
    /// `LANES` places can be read at `places`, and an f32 at each of them.
    unsafe fn gather(from: *const f32, places: *const i32) -> Self;

    /// # Safety
    /// `LANES` f32 can be written at `to`.
    unsafe fn store(self, to: *mut f32);

    /// Stores the first `count` lanes.
    ///
    /// # Safety
    /// `count` is below `LANES`, and so many f32 can be written at `to`.
    unsafe fn store_first(self, to: *mut f32, count: usize);

    /// Stores each lane, which must be within 0 to 255, rounded to the nearest byte (halves to even).
    ///
    /// # Safety
    /// `LANES` bytes can be written at `to`.
    unsafe fn store_bytes(self, to: *mut u8);

    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn div(self, other: Self) -> Self;
    fn max(self, other: Self) -> Self;
    fn min(self, other: Self) -> Self;
    /// `self * factor + addend`.
    fn mul_add(self, factor: Self, addend: Self) -> Self;
    /// 1 in the lanes where `self >= threshold`, 0 in the others.
    fn at_least(self, threshold: Self) -> Self;
    /// The sum of all lanes.
    fn sum(self) -> f32;
    /// The largest lane.
    fn largest(self) -> f32;
    /// The first lane that is `value` or above.
    fn first_at_least(self, value: f32) -> Option<usize>;
    /// Computes rows of a matrix product in tiles of as many rows as the registers hold, two vectors wide.
    ///
    /// # Safety
    /// As `Rows::blocks` says.
    unsafe fn blocks(rows: &mut Rows<'_>, late: Option<Late<'_>>);
    /// Two to the power of the integer in the low bits of a float that [`ROUNDER`] was added to.
    fn power_of_rounded(self) -> Self;
}

/// Adding this to a float of small magnitude rounds it to an integer, held in the low mantissa bits.
pub(crate) const ROUNDER: f32 = 12_582_912.0;

/// Loads a whole vector, or its first `count` lanes when there are fewer than a vector.
///
/// # Safety
/// `min(count, LANES)` f32 can be read at `from`.
#[inline(always)]
pub(crate) unsafe fn load_up_to<V: Vector>(from: *const f32, count: usize) -> V {
    if count >= V::LANES {
        // SAFETY: the caller's promise.
        unsafe { V::load(from) }
    } else {
        // SAFETY: the caller's promise.
        unsafe { V::load_first(from, count) }
    }
}

/// Stores a whole vector, or its first `count` lanes when there are fewer than a vector.
///
/// # Safety
/// `min(count, LANES)` f32 can be written at `to`.
#[inline(always)]
pub(crate) unsafe fn store_up_to<V: Vector>(value: V, to: *mut f32, count: usize) {
    if count >= V::LANES {
        // SAFETY: the caller's promise.
        unsafe { value.store(to) };
    } else {
        // SAFETY: the caller's promise.
        unsafe { value.store_first(to, count) };
    }
}

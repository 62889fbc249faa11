//! Profiles: the texts that an operator writes. `profile/check.rs` says how an input is read, and what must hold.

#![no_main]

#[path = "../profile/check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|input: &[u8]| check::check(input));

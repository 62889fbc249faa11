//! Texts of clients that speak the protocol of the system before this one.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| segue::session::read_all_of_legacy(text));

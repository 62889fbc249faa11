//! Profiles: the texts that an operator writes. `profile/check.rs` says how an input is read, and what must hold.

#![no_main]

#[path = "../profile/check.rs"]
mod check;
#[path = "../profile/mutate.rs"]
mod mutate;

use libfuzzer_sys::{Corpus, fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|input: &[u8]| -> Corpus {
    check::check(input);
    Corpus::Keep
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut chance = mutate::Chance(seed.into());
    if chance.below(2) == 0 {
        return fuzzer_mutate(data, size, max_size);
    }
    let mut input = data[..size].to_vec();
    mutate::mutate(&mut input, &mut chance);
    let size = input.len().min(max_size);
    data[..size].copy_from_slice(&input[..size]);
    size
});

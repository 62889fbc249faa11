//! Networks in TFLite files: what is read is also run once, on a picture without light.

#![no_main]

use libfuzzer_sys::fuzz_target;
use selfie::network::Network;

fuzz_target!(|file: &[u8]| {
    if let Err(error) = Network::load(file, 1) {
        assert!(!error.to_string().is_empty());
    }
});

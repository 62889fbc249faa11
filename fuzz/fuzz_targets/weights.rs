//! Files of parameters: safetensors, and PyTorch's checkpoints of both formats.

#![no_main]

use std::{fs, path::PathBuf, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use segue_nn::weights::Weights;

/// In memory.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| format!("/dev/shm/segue-fuzz-{}.weights", std::process::id()).into());

/// A tensor of more bytes is not read: that it can be is known from its shape.
const LARGEST_LEN_BYTES: usize = 1 << 24;

fuzz_target!(|file: &[u8]| {
    fs::write(&*FILE, file).expect("a file");
    let Ok(weights) = Weights::open(&FILE) else { return };
    if weights.len_bytes() > LARGEST_LEN_BYTES {
        return;
    }
    for name in weights.names() {
        let shape = weights.shape(name).expect("each name has a shape");
        if let Ok(values) = weights.root().tensor(name, shape) {
            assert_eq!(values.len(), shape.iter().product::<usize>());
            assert!(values.iter().all(|value| value.is_finite()));
        }
    }
});

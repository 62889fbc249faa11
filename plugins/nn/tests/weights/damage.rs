//! Damaged files: each is refused, or read as what its bytes say; none brings a panic.

use segue_nn::weights::{Weights, WeightsError};
use serde_json::json;

use crate::{pth, safetensors};

fn files() -> [(&'static str, Vec<u8>); 3] {
    let header = json!({
        "__metadata__": {"format": "pt"},
        "conv.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "conv.bias": {"dtype": "F16", "shape": [2], "data_offsets": [24, 28]},
        "count": {"dtype": "I64", "shape": [], "data_offsets": [28, 36]},
    });
    [
        ("safetensors", safetensors::file(&header, &[0; 36])),
        ("zip", pth::checkpoint("zip.pth")),
        ("legacy", pth::checkpoint("legacy.pth")),
    ]
}

/// Reads every tensor that the file names; each must have its shape's number of values.
fn read_all(weights: &Weights) -> Result<(), WeightsError> {
    for name in weights.names() {
        let shape = weights.shape(name).expect("it is named");
        let values = weights.root().tensor(name, shape);
        if let Ok(values) = &values {
            assert_eq!(values.len(), shape.iter().product::<usize>(), "{name}");
        }
    }
    weights.finish(|_| true)
}

/// Writes each version to one file and reads it.
fn read_each(kind: &str, versions: impl Iterator<Item = (String, Vec<u8>)>, must_fail: bool) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("weights");
    for (what, bytes) in versions {
        // Some file systems write a file that was truncated and filled anew to the disk at once.
        let _none_yet = std::fs::remove_file(&path);
        std::fs::write(&path, &bytes).expect("it can be written");
        let read = Weights::open(&path).and_then(|weights| read_all(&weights));
        assert!(!must_fail || read.is_err(), "{kind}: {what} was read");
    }
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    for (kind, bytes) in files() {
        let cut = (0..bytes.len()).map(|len| (format!("cut to {len}"), bytes[..len].to_vec()));
        read_each(kind, cut, true);
    }
}

#[test]
fn a_file_with_any_byte_changed_is_refused_or_read() {
    for (kind, bytes) in files() {
        let changed = (0..bytes.len()).map(|at| {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            (format!("byte {at} changed"), changed)
        });
        read_each(kind, changed, false);
    }
}

#[test]
fn a_file_with_many_bytes_changed_is_refused_or_read() {
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for (kind, bytes) in files() {
        let changed = (0..1000).map(|i| {
            let mut changed = bytes.clone();
            for _ in 0..=random(8) {
                let (from, at) = (random(changed.len()), random(changed.len()));
                let len = random(1 + (changed.len() - from.max(at)).min(16));
                match random(3) {
                    0 => changed[at] = random(256) as u8,
                    1 => changed.copy_within(from..from + len, at),
                    _ => changed[at..at + len].fill(0xff),
                }
            }
            (format!("version {i}"), changed)
        });
        read_each(kind, changed.collect::<Vec<_>>().into_iter(), false);
    }
}

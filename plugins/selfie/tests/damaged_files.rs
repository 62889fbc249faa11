//! No file, however damaged, makes loading panic or take memory it should not; errors say what is wrong.

#[expect(dead_code, reason = "the inputs of the reference are not needed here")]
mod common;

use selfie::network::{DamageError, Error, FileError, GraphError, Network};

fn load(bytes: &[u8]) -> Result<(), Error> {
    Network::load(bytes, 1).map(drop)
}

/// Replaces `from`, which must occur, by `to`.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|window| window == from).expect("the pattern occurs");
    let mut bytes = bytes.to_vec();
    bytes[at..at + to.len()].copy_from_slice(to);
    bytes
}

/// A vector of integers as a FlatBuffer stores it.
fn vector(integers: &[i32]) -> Vec<u8> {
    [integers.len() as i32].iter().chain(integers).flat_map(|i| i.to_le_bytes()).collect()
}

#[test]
fn a_file_of_something_else_is_refused() {
    for bytes in [&b""[..], b"TFL3", b"\x08\0\0\0TFL3", &[0; 64], &[0xff; 64], b"<html>not found</html>"] {
        let error = load(bytes).expect_err("no network is in there");
        assert!(matches!(error, Error::Graph(GraphError::File(_))), "{error}");
    }
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    for file in common::FILES {
        let Some(bytes) = common::weights(file) else {
            return;
        };
        for part in 0..64 {
            let error = load(&bytes[..bytes.len() * part / 64]).expect_err("a part of the file is not a network");
            assert!(matches!(error, Error::Graph(GraphError::File(FileError::Damaged(_)))), "{part}/64: {error}");
        }
    }
}

#[test]
fn flipped_bytes_never_panic() {
    for file in common::FILES {
        let Some(bytes) = common::weights(file) else {
            return;
        };
        let mut state = 1u32;
        let mut refused = 0;
        for _ in 0..400 {
            let mut damaged = bytes.clone();
            for _ in 0..8 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                // The structure lies at the file's ends, weights between; most flips should meet structure.
                let place = (state >> 8) as usize % (48 * 1024);
                let len = damaged.len();
                damaged[if place.is_multiple_of(2) { place } else { len - 1 - place }] ^= (state >> 24) as u8 | 1;
            }
            refused += usize::from(load(&damaged).is_err());
        }
        assert!(refused > 100, "only {refused} of 400 damaged files were refused");
    }
}

#[test]
fn a_weight_that_is_not_a_number_is_named() {
    let Some(bytes) = common::weights(common::FILES[0]) else {
        return;
    };
    let mut named = 0;
    for place in 1..32 {
        let mut damaged = bytes.clone();
        let at = (bytes.len() * place / 32) & !15;
        damaged[at..at + 4].copy_from_slice(&[0xff; 4]);
        named += usize::from(matches!(load(&damaged), Err(Error::Graph(GraphError::NotFinite { .. }))));
    }
    assert!(named > 16, "{named} of 31 places were found to hold no number");
}

#[test]
fn an_absurd_size_is_refused_before_memory_is_taken() {
    let Some(bytes) = common::weights(common::FILES[0]) else {
        return;
    };
    for absurd in [[1, i32::MAX, 256, 3], [1, 65536, 65536, 3], [1, -1, 256, 3], [1, 0, 256, 3]] {
        let error = load(&replaced(&bytes, &vector(&[1, 256, 256, 3]), &vector(&absurd))).expect_err("it is absurd");
        assert!(matches!(error, Error::Graph(GraphError::File(FileError::TensorSize { .. }))), "{error}");
    }
    let longer = replaced(&bytes, &vector(&[1, 256, 256, 3]), &i32::MAX.to_le_bytes());
    let error = load(&longer).expect_err("the shape is longer than the file");
    let damaged = matches!(error, Error::Graph(GraphError::File(FileError::Damaged(DamageError::OutOfBounds { .. }))));
    assert!(damaged, "{error}");
}

#[test]
fn an_operator_without_a_kernel_is_named() {
    let Some(bytes) = common::weights(common::FILES[0]) else {
        return;
    };
    let damaged = replaced(&bytes, b"Convolution2DTransposeBias", b"Convolution2DTransposeXXXX");
    let error = load(&damaged).expect_err("the operator is unknown");
    assert!(error.to_string().contains("Convolution2DTransposeXXXX"), "{error}");
}

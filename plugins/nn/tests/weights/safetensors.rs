//! The safetensors format.

use std::path::PathBuf;

use half::{bf16, f16};
use segue_nn::weights::Weights;
use serde_json::{Value, json};

use crate::{open, refusal, refusal_to_open};

/// A file of this header and these values.
pub(crate) fn file(header: &Value, values: &[u8]) -> Vec<u8> {
    let header = header.to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), values].concat()
}

/// A file of one tensor.
fn one(dtype: &str, shape: &[usize], values: &[u8]) -> Vec<u8> {
    file(&json!({"w": {"dtype": dtype, "shape": shape, "data_offsets": [0, values.len()]}}), values)
}

fn read(dtype: &str, values: &[u8], count: usize) -> Vec<f32> {
    let (_folder, weights) = open(&one(dtype, &[count], values));
    weights.expect("it opens").root().tensor("w", &[count]).expect("it is read")
}

#[test]
fn floating_point_numbers_of_each_type_are_read_as_f32() {
    let values = [1.0_f32, -2.5, 0.0, 65504.0];
    let bytes = |bytes: fn(f32) -> Vec<u8>| values.into_iter().flat_map(bytes).collect::<Vec<u8>>();
    assert_eq!(read("F32", &bytes(|value| value.to_le_bytes().into()), 4), values);
    assert_eq!(read("F64", &bytes(|value| f64::from(value).to_le_bytes().into()), 4), values);
    assert_eq!(read("F16", &bytes(|value| f16::from_f32(value).to_le_bytes().into()), 4), values);
    assert_eq!(read("BF16", &bytes(|value| bf16::from_f32(value).to_le_bytes().into()), 4), [1.0, -2.5, 0.0, 65536.0]);
}

#[test]
fn a_value_too_large_for_f32_is_not_finite() {
    let told =
        refusal(&one("F64", &[1], &1e300_f64.to_le_bytes()), |weights| weights.root().tensor("w", &[1]).map(drop));
    assert!(told.contains("tensor \"w\" holds inf at index 0"), "{told}");
}

#[test]
fn integers_are_named_but_neither_read_nor_missed() {
    let bytes = one("I64", &[2], &[0; 16]);
    let (_folder, weights) = open(&bytes);
    let weights = weights.unwrap();
    assert_eq!(weights.shape("w"), Some(&[2][..]));
    weights.finish(|_| false).unwrap();
    assert_eq!(
        refusal(&bytes, |weights| weights.root().tensor("w", &[2]).map(drop)),
        "weights.bin: tensor \"w\" is of type I64, and parameters are read from F32, F16, BF16 and F64"
    );
}

#[test]
fn other_types_are_refused_when_they_are_read_and_missed_when_not() {
    let bytes = one("F8_E4M3", &[2], &[0; 2]);
    let told = refusal(&bytes, |weights| weights.root().tensor("w", &[2]).map(drop));
    assert!(told.contains("is of type F8_E4M3"), "{told}");
    let told = refusal(&bytes, |weights| weights.finish(|_| false));
    assert!(told.contains("1 tensors are not used, w;"), "{told}");
    let told = refusal(&one("F3", &[2], &[0; 2]), |weights| weights.root().tensor("w", &[2]).map(drop));
    assert!(told.contains("is of type unknown"), "{told}");
}

#[test]
fn metadata_is_no_tensor() {
    let header = json!({
        "__metadata__": {"format": "pt", "shape": "none"},
        "a": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]},
        "empty": {"dtype": "F32", "shape": [0, 3], "data_offsets": [4, 4]},
    });
    let (_folder, weights) = open(&file(&header, &7.0_f32.to_le_bytes()));
    let weights = weights.unwrap();
    assert_eq!(weights.names().collect::<Vec<_>>(), ["a", "empty"]);
    assert_eq!(weights.root().tensor("a", &[]).unwrap(), [7.0]);
    assert_eq!(weights.root().tensor("empty", &[0, 3]).unwrap(), [0.0; 0]);
}

#[test]
fn a_truncated_file_is_told_with_what_is_cut_off() {
    let bytes = one("F32", &[2], &[0; 8]);
    assert_eq!(
        refusal_to_open(&bytes[..bytes.len() - 1]),
        "weights.bin: is truncated: tensor \"w\" ends at byte 70, and the file has 69; fetch it again"
    );
    assert_eq!(
        refusal_to_open(&bytes[..20]),
        "weights.bin: is truncated: the header ends at byte 62, and the file has 20; fetch it again"
    );
}

#[test]
fn an_absurd_header_is_refused_before_it_is_read() {
    let mut bytes = one("F32", &[1], &[0; 4]);
    bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert_eq!(
        refusal_to_open(&bytes),
        "weights.bin: its header has more bytes than the 100000000 that are read (18446744073709551615); it is damaged, \
         or no network"
    );
}

#[test]
fn a_header_that_contradicts_itself_is_refused() {
    let told = |bytes: &[u8], expected: &str| {
        assert_eq!(refusal_to_open(bytes), format!("weights.bin: is damaged: {expected}; fetch it again"));
    };
    told(&one("F32", &[3], &[0; 8]), "tensor \"w\" is of type F32 and shape [3], but has 8 bytes");
    let huge = one("F32", &[1 << 40, 1 << 40], &[0; 8]);
    told(&huge, "tensor \"w\" is of type F32 and shape [1099511627776, 1099511627776], but has 8 bytes");
    let longer = [one("F32", &[2], &[0; 8]), vec![0]].concat();
    told(&longer, "it has 71 bytes, and its header describes 70");
    let backwards = file(&json!({"w": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}), &[0; 4]);
    told(&backwards, "tensor \"w\" ends before it begins");
    let twice =
        br#"{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#;
    let twice = [&(twice.len() as u64).to_le_bytes()[..], twice, &[0]].concat();
    told(&twice, "its header can't be read: a tensor is listed twice at line 1 column 105");
    let text = refusal_to_open(&file(&json!({"w": "text"}), &[]));
    assert!(text.starts_with("weights.bin: is damaged: its header can't be read: "), "{text}");
}

#[test]
fn offsets_whose_sum_overflows_are_refused() {
    let part = u64::MAX / 8;
    let tensor = |i: u64| json!({"dtype": "U8", "shape": [part], "data_offsets": [i * part, (i + 1) * part]});
    let header: serde_json::Map<String, Value> = (0..8).map(|i| (format!("t{i}"), tensor(i))).collect();
    let told = refusal_to_open(&file(&header.into(), &[]));
    assert!(told.contains("is truncated: tensor \"t0\" ends at byte"), "{told}");
}

#[test]
fn the_published_mobilenet_opens() {
    let Some(data) = std::env::var_os("SEGUE_TEST_DATA") else {
        eprintln!("SKIPPED: DeepLabv3's weights: set SEGUE_TEST_DATA to the folder that holds weights/");
        return;
    };
    let path = "weights/deeplabv3-mobilenet-v2-voc/deeplabv3_mnv2_voc.f16.safetensors";
    let weights = Weights::open(&PathBuf::from(data).join(path)).unwrap();
    for name in weights.names() {
        let shape = weights.shape(name).unwrap();
        println!("{name} {shape:?}");
        weights.root().tensor(name, shape).unwrap();
    }
    weights.finish(|_| false).unwrap();
}

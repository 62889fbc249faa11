//! Files of torch.save: those that torch wrote (`checkpoints.py`), and pickles that it would not write.

use std::path::{Path, PathBuf};

use segue_nn::weights::Weights;

use crate::{refusal, refusal_to_open};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/weights/checkpoints").join(name)
}

pub(crate) fn checkpoint(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).expect("it is committed")
}

fn count_up(count: usize) -> Vec<f32> {
    (0..count).map(|value| value as f32).collect()
}

#[test]
fn both_formats_are_read_with_strided_and_shared_tensors() {
    for name in ["zip.pth", "legacy.pth"] {
        let weights = Weights::open(&path(name)).unwrap();
        let root = weights.root();
        assert_eq!(root.at("conv").tensor("bias", &[2]).unwrap(), count_up(2), "{name}");
        assert_eq!(root.tensor("nhwc", &[2, 3, 2, 2]).unwrap(), count_up(24), "{name}");
        assert_eq!(root.tensor("transposed", &[3, 2]).unwrap(), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0], "{name}");
        assert_eq!(root.tensor("tail", &[2]).unwrap(), [4.0, 5.0], "{name}");
        assert_eq!(root.tensor("odd", &[3]).unwrap(), [1.0, 3.0, 5.0], "{name}");
        for kind in ["half", "brain", "double"] {
            assert_eq!(root.tensor(kind, &[3]).unwrap(), count_up(3), "{name}, {kind}");
        }
        assert_eq!(root.tensor("scalar", &[]).unwrap(), [7.0], "{name}");
        assert_eq!(root.tensor("empty", &[0, 3]).unwrap(), [0.0; 0], "{name}");
        assert_eq!(root.at("bn").shape("num_batches_tracked"), Some(&[][..]), "{name}");
        weights.finish(|_| false).unwrap();
    }
}

#[test]
fn parameters_are_found_below_state_dict_and_model() {
    for name in ["state_dict.pth", "model_legacy.pth"] {
        let weights = Weights::open(&path(name)).unwrap();
        assert_eq!(weights.names().collect::<Vec<_>>(), ["weight"], "{name}");
        assert_eq!(weights.root().tensor("weight", &[2, 2]).unwrap(), count_up(4), "{name}");
    }
}

#[test]
fn what_holds_no_parameters_is_told_with_what_it_holds() {
    let told = |name, found: &str| {
        let expected = format!("weights.bin: holds no parameters by name, but {found}; save the model's state_dict()");
        assert_eq!(refusal_to_open(&checkpoint(name)), expected);
    };
    told("other.pth", "a dict of other things (epoch, net)");
    told("list.pth", "another Python object");
}

#[test]
fn a_tensor_that_repeats_its_values_is_refused_by_name() {
    assert_eq!(
        refusal_to_open(&checkpoint("repeated.pth")),
        "weights.bin: tensor \"weight\" can't be read: it has more values than its storage, repeating some; \
         save it with .contiguous()"
    );
}

#[test]
fn a_truncated_archive_is_told_as_such() {
    let bytes = checkpoint("zip.pth");
    let told = refusal_to_open(&bytes[..bytes.len() / 2]);
    assert!(told.starts_with("weights.bin: is truncated: the archive's directory ends at byte"), "{told}");
    let bytes = checkpoint("legacy.pth");
    let told = refusal_to_open(&bytes[..bytes.len() - 1]);
    assert!(told.starts_with("weights.bin: is truncated: storage "), "{told}");
}

/// A legacy file whose object is `pickle`, with these storages.
fn legacy(pickle: &[u8], keys: &[u8], storages: &[u8]) -> Vec<u8> {
    let magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
    let version = b"\x80\x02M\xe9\x03.";
    let machine = b"\x80\x02}(X\x0d\0\0\0little_endian\x88u.";
    [magic, &version[..], machine, pickle, keys, storages].concat()
}

const NO_KEYS: &[u8] = b"\x80\x02].";
const ONE_KEY: &[u8] = b"\x80\x02]U\x010a.";
/// One storage of two values, each of up to eight bytes.
const TWO_VALUES: &[u8] = &[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// The pickle of a dict that names `w` a tensor of `storage`, with what follows it: offset, shape and strides.
fn tensor(storage: &[u8], place: &[u8]) -> Vec<u8> {
    let storage = [b"((U\x07storagec", storage, b"\nU\x010U\x03cpuK\x02NtQ"].concat();
    [b"\x80\x02}U\x01wctorch._utils\n_rebuild_tensor_v2\n", &storage[..], place, b"tRs."].concat()
}

/// A file of one storage of two values.
fn two_values(storage: &[u8], place: &[u8]) -> Vec<u8> {
    legacy(&tensor(storage, place), ONE_KEY, TWO_VALUES)
}

#[test]
fn a_storage_of_another_type_is_told() {
    let read = |weights: &Weights| weights.root().tensor("w", &[2]).map(drop);
    let place = b"K\0K\x02\x85K\x01\x85";
    let told = refusal(&two_values(b"torch\nComplexFloatStorage", place), read);
    assert!(told.contains("tensor \"w\" is of type complex64"), "{told}");
    let told = refusal(&two_values(b"torch\nNewStorage", place), read);
    assert_eq!(told, "weights.bin: is damaged: storage \"0\" is of no known type; fetch it again");
}

#[test]
fn a_tensor_beyond_its_storage_is_refused() {
    let float = b"torch\nFloatStorage";
    let (_folder, good) = crate::open(&two_values(float, b"K\0K\x02\x85K\x01\x85"));
    assert_eq!(good.unwrap().root().tensor("w", &[2]).unwrap(), [0.0, 0.0]);
    for place in [
        &b"K\x01K\x02\x85K\x01\x85"[..],                         // one too far
        b"K\0K\x02\x85K\x02\x85",                                // a stride too far
        b"K\0K\x02\x85\x8a\x07\xff\xff\xff\xff\xff\xff\x7f\x85", // a stride beyond any file
    ] {
        let told = refusal_to_open(&two_values(float, place));
        assert!(told.contains("tensor \"w\" can't be read: it reaches beyond its storage"), "{told}");
    }
    let huge = b"K\0(\x8a\x07\xff\xff\xff\xff\xff\xff\x7f\x8a\x07\xff\xff\xff\xff\xff\xff\x7ft(K\0K\0t";
    let told = refusal_to_open(&two_values(float, huge));
    assert!(told.contains("it reaches beyond its storage"), "{told}");
    let negative = b"K\0J\xff\xff\xff\xff\x85K\x01\x85";
    let told = refusal_to_open(&two_values(float, negative));
    assert!(told.contains("its shape or a stride is no whole number"), "{told}");
}

#[test]
fn a_pickle_that_would_run_something_runs_nothing() {
    let run = b"\x80\x02cos\nsystem\nX\x0b\0\0\0touch owned\x85R.";
    let told = refusal_to_open(&legacy(run, NO_KEYS, &[]));
    assert!(told.contains("holds no parameters by name, but another Python object"), "{told}");
}

#[test]
fn an_ordered_dict_of_python_2_is_read() {
    let pickle = tensor(b"torch\nFloatStorage", b"K\0K\x02\x85K\x01\x85");
    // The same tensor, in a list of pairs that OrderedDict is called with.
    let rebuilt = &pickle[b"\x80\x02}U\x01w".len()..pickle.len() - b"s.".len()];
    let dict = [b"\x80\x02ccollections\nOrderedDict\n]](U\x01w", rebuilt, b"ea\x85R."].concat();
    let (_folder, weights) = crate::open(&legacy(&dict, ONE_KEY, TWO_VALUES));
    assert_eq!(weights.unwrap().root().tensor("w", &[2]).unwrap(), [0.0, 0.0]);
}

#[test]
fn a_pickle_that_contradicts_itself_is_refused() {
    for (pickle, expected) in [
        (&b"\x80\x02\xff."[..], "the pickle's opcode 0xff at byte"),
        (b"\x80\x02.", "needs values that are not there"),
        (b"\x80\x02t.", "needs values that are not there"),
        (b"\x80\x02K\x01(0t.", "needs values that are not there"),
        (b"\x80\x02h\x05.", "needs values that are not there"),
        (b"\x80\x02X\xff\xff\xff\xffab", "is truncated: the pickle ends at byte"),
        (b"\x80\x02cno end", "does not end"),
    ] {
        let told = refusal_to_open(&legacy(pickle, &[], &[]));
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn a_pickle_longer_than_any_network_s_is_refused() {
    let told = refusal_to_open(&legacy(&vec![b']'; 5 << 20], NO_KEYS, &[]));
    assert!(told.contains("its header has more bytes than the 4194304 that are read"), "{told}");
}

#[test]
fn tuples_nested_a_million_deep_are_dropped_without_a_stack_overflow() {
    let nested = [b"\x80\x02)".as_slice(), &vec![0x85; 1 << 20], b"."].concat();
    let told = refusal_to_open(&legacy(&nested, NO_KEYS, &[]));
    assert!(told.contains("another Python object"), "{told}");
}

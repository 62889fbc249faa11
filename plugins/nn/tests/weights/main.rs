//! Files of parameters: what is read from them, and what is said of those that are wrong.

mod damage;
mod pth;
mod safetensors;

use std::collections::BTreeMap;
use std::path::Path;

use segue_nn::weights::{Weights, WeightsError};
use tempfile::TempDir;

/// Opens a file of these bytes; the folder is kept until the test ends.
fn open(bytes: &[u8]) -> (TempDir, Result<Weights, WeightsError>) {
    let folder = TempDir::new().expect("a folder can be made");
    let path = folder.path().join("weights.bin");
    std::fs::write(&path, bytes).expect("it can be written");
    let opened = Weights::open(&path);
    (folder, opened)
}

/// What is said when a file of these bytes is opened and `read`, without its folder.
fn refusal(bytes: &[u8], read: impl Fn(&Weights) -> Result<(), WeightsError>) -> String {
    let (folder, opened) = open(bytes);
    let error = opened.and_then(|weights| read(&weights)).expect_err("it is refused");
    error.to_string().replace(&format!("{}/", folder.path().display()), "")
}

fn refusal_to_open(bytes: &[u8]) -> String {
    refusal(bytes, |_| Ok(()))
}

fn tensors(tensors: &[(&str, &[usize], &[f32])]) -> Weights {
    let entry =
        |(name, shape, values): &(&str, &[usize], &[f32])| (name.to_string(), (shape.to_vec(), values.to_vec()));
    Weights::from_map("generated", tensors.iter().map(entry).collect::<BTreeMap<_, _>>())
}

#[test]
fn a_scope_names_tensors_by_their_place() {
    let weights = tensors(&[("backbone.3.conv.weight", &[2, 1], &[1.0, 2.0]), ("top", &[], &[3.0])]);
    let conv = weights.root().at("backbone").at(3).at("conv");
    assert_eq!(conv.path(), "backbone.3.conv");
    assert!(conv.contains("weight") && !conv.contains("bias"));
    assert_eq!(conv.shape("weight"), Some(&[2, 1][..]));
    assert_eq!(conv.tensor("weight", &[2, 1]).unwrap(), [1.0, 2.0]);
    assert_eq!(conv.optional("bias", &[2]).unwrap(), None);
    assert_eq!(weights.root().optional("top", &[]).unwrap(), Some(vec![3.0]));
    assert_eq!(weights.names().collect::<Vec<_>>(), ["backbone.3.conv.weight", "top"]);
    weights.finish(|_| false).unwrap();
}

#[test]
fn a_missing_tensor_is_told_with_the_most_similar_name() {
    let weights = tensors(&[("module.backbone.conv.weight", &[1], &[1.0]), ("head", &[1], &[1.0])]);
    let missing = |name| weights.root().tensor(name, &[1]).unwrap_err().to_string();
    assert_eq!(
        missing("backbone.conv.weight"),
        "generated: there is no tensor \"backbone.conv.weight\" (the most similar is \"module.backbone.conv.weight\"); \
         is this the file of another network?"
    );
    assert_eq!(missing("xyz"), "generated: there is no tensor \"xyz\"; is this the file of another network?");
}

#[test]
fn a_wrong_shape_is_told_with_both_shapes_also_for_an_optional_tensor() {
    let weights = tensors(&[("w", &[2, 3], &[0.0; 6])]);
    let expected = "generated: tensor \"w\" has shape [2, 3], and the network needs [3, 2]; \
                    is this the file of another network?";
    assert_eq!(weights.root().tensor("w", &[3, 2]).unwrap_err().to_string(), expected);
    assert_eq!(weights.root().optional("w", &[3, 2]).unwrap_err().to_string(), expected);
}

#[test]
fn a_value_that_is_not_finite_is_told_with_its_index() {
    let weights = tensors(&[("w", &[3], &[0.0, 1.0, f32::NAN]), ("v", &[1], &[f32::NEG_INFINITY])]);
    assert_eq!(
        weights.root().tensor("w", &[3]).unwrap_err().to_string(),
        "generated: tensor \"w\" holds NaN at index 2, and every parameter must be finite; it is damaged, or its \
         training failed"
    );
    assert!(weights.root().tensor("v", &[1]).unwrap_err().to_string().contains("holds -inf at index 0"));
}

#[test]
fn tensors_that_nobody_took_are_counted_and_the_first_are_named() {
    let names: Vec<String> = (0..7).map(|i| format!("layer{i}")).collect();
    let entries: Vec<(&str, &[usize], &[f32])> = names.iter().map(|name| (&name[..], &[1][..], &[1.0][..])).collect();
    let weights = tensors(&entries);
    weights.root().tensor("layer0", &[1]).unwrap();
    assert_eq!(
        weights.finish(|name| name == "layer6").unwrap_err().to_string(),
        "generated: 5 tensors are not used, layer1, layer2, layer3, layer4, layer5; is this the file of another network?"
    );
    let more = weights.finish(|_| false).unwrap_err().to_string();
    assert!(more.contains("6 tensors are not used") && more.contains("layer5 and others;"), "{more}");
    weights.finish(|name| name.starts_with("layer")).unwrap();
}

#[test]
#[should_panic(expected = "other than its shape's values")]
fn generated_weights_must_have_as_many_values_as_their_shape_says() {
    tensors(&[("w", &[2], &[1.0])]);
}

#[test]
fn a_file_that_is_not_there_is_told_with_its_path() {
    let error = Weights::open(Path::new("nowhere/weights.pth")).unwrap_err().to_string();
    assert_eq!(error, "nowhere/weights.pth: can't be opened: No such file or directory (os error 2)");
}

#[test]
fn a_file_of_another_format_is_told_with_what_it_may_be() {
    let told = |bytes: &[u8], hint: &str| {
        let expected = format!("weights.bin: is neither a safetensors file nor one that torch.save wrote: {hint}");
        assert_eq!(refusal_to_open(bytes), expected);
    };
    told(b"", "it is empty; fetch it again");
    told(b"12345", "it has fewer than 9 bytes; fetch it again");
    told(b"version https://git-lfs.github.com/spec/v1\n", "it is a pointer of Git LFS; fetch the file it stands for");
    told(b"\n<!doctype html><title>404</title>", "it is a web page; fetch the file itself");
    told(b"\x80\x04\x95\x10\0\0\0\0\0\0\0}.", "it is a Python pickle; save the model's state_dict() with torch.save");
    told(b"\x1c\0\0\0TFL3\0\0\0\0", "it is TFLite; convert it to safetensors");
    told(b"\x08\x07\x12\x07pytorch", "it may be ONNX; convert it to safetensors");
    told(&[0xff; 100], "its first bytes are of no known format; convert it to safetensors");
}

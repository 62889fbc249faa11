//! Each size computes what transformers' implementation computes, for weights that a formula makes.

use anyhow::{Result, ensure};
use segformer::{SegFormerNetwork, Settings};
use segue_nn::{Cpu, weights::Weights};
use segue_parity::{Case, check_logits, check_network, parameters};

fn check(size: &str) -> Result<()> {
    let settings: Settings = serde_json::from_str(&format!(r#"{{"size": "{size}"}}"#))?;
    let names = Case::names(&format!("segformer-{size}-"))?;
    ensure!(!names.is_empty(), "there are no cases of {size}");
    names.iter().try_for_each(|name| check_logits::<SegFormerNetwork<Cpu>>(name, &settings))
}

#[test]
fn b0() -> Result<()> {
    check("b0")
}

#[test]
fn b1() -> Result<()> {
    check("b1")
}

#[test]
fn b2() -> Result<()> {
    check("b2")
}

#[test]
fn b3() -> Result<()> {
    check("b3")
}

#[test]
fn b4() -> Result<()> {
    check("b4")
}

#[test]
fn b5() -> Result<()> {
    check("b5")
}

/// The names of transformers 5 for a name that published files have.
fn renamed(name: &str) -> String {
    const PARTS: [(&str, &str); 12] = [
        ("attention.self.query", "attention.q_proj"),
        ("attention.self.key", "attention.k_proj"),
        ("attention.self.value", "attention.v_proj"),
        ("attention.self.sr", "attention.sequence_reduction.sequence_reduction"),
        ("attention.self.layer_norm", "attention.sequence_reduction.layer_norm"),
        ("attention.output.dense", "attention.o_proj"),
        ("mlp.dense1", "mlp.fc1"),
        ("mlp.dense2", "mlp.fc2"),
        ("layer_norm_1", "layernorm_before"),
        ("layer_norm_2", "layernorm_after"),
        ("decode_head.linear_c", "decode_head.linear_projections"),
        ("encoder.block.", "encoder.blocks."),
    ];
    let mut name = PARTS.iter().fold(name.to_owned(), |name, (old, new)| name.replace(old, new));
    for (old, new) in [("patch_embeddings", "patch_embeddings"), ("blocks", "blocks"), ("layer_norm", "layer_norm")] {
        if let Some(rest) = name.strip_prefix(&format!("segformer.encoder.{old}.")) {
            let (stage, rest) = rest.split_once('.').unwrap_or((rest, ""));
            name = format!("segformer.stages.{stage}.{new}.{rest}");
        }
    }
    name
}

#[test]
fn the_names_of_transformers_5_are_read_too() -> Result<()> {
    let case = Case::read("segformer-b0-128x160")?;
    let published = parameters(&case.keys, case.gain)?;
    let later = published.into_iter().map(|(name, tensor)| (renamed(&name), tensor)).collect();
    let listed = parameters("segformer-b0.renamed.txt", case.gain)?;
    let weights = Weights::from_map("renamed", later);
    for (name, (shape, _)) in &listed {
        ensure!(weights.shape(name) == Some(shape), "{name} is not among the renamed");
    }
    check_network::<SegFormerNetwork<Cpu>>(&case, &weights, &Settings::default())
}

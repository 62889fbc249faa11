//! Each size computes what transformers' implementation computes, for weights that a formula makes.

mod common;

use anyhow::{Result, ensure};
use common::{check, check_size};
use mask2former::{Mask2FormerNetwork, Settings};
use segue_nn::Cpu;
use segue_nn::network::Network;
use segue_nn::weights::Weights;
use segue_parity::{Case, Parameters, parameters};

#[test]
fn tiny() -> Result<()> {
    check_size(Cpu::new(2)?, "tiny")
}

#[test]
fn small() -> Result<()> {
    check_size(Cpu::new(2)?, "small")
}

#[test]
fn base() -> Result<()> {
    check_size(Cpu::new(2)?, "base")
}

#[test]
fn large() -> Result<()> {
    check_size(Cpu::new(2)?, "large")
}

/// The names of transformers 5 for a name that published files have.
fn renamed(name: &str) -> String {
    const ENCODER: &str = "model.pixel_level_module.encoder.";
    const PARTS: [(&str, &str); 7] = [
        ("attention.self.query", "attention.q_proj"),
        ("attention.self.key", "attention.k_proj"),
        ("attention.self.value", "attention.v_proj"),
        ("attention.self.relative", "attention.relative_position_bias.relative"),
        ("attention.output.dense", "attention.o_proj"),
        ("intermediate.dense", "mlp.fc1"),
        ("output.dense", "mlp.fc2"),
    ];
    match name.strip_prefix(ENCODER) {
        Some(rest) if !rest.starts_with("hidden_states_norms.") => {
            let rest = PARTS.iter().fold(rest.to_owned(), |name, (old, new)| name.replace(old, new));
            format!("{ENCODER}swin.{rest}")
        }
        _ => name.to_owned(),
    }
}

#[test]
fn the_names_of_transformers_5_are_read_too() -> Result<()> {
    let case = Case::read("mask2former-swin-tiny-128x160")?;
    let published = parameters(&case.keys, case.gain)?;
    let mut later: Parameters = published.into_iter().map(|(name, tensor)| (renamed(&name), tensor)).collect();
    for (name, tensor) in parameters("mask2former-swin-tiny.renamed.txt", case.gain)? {
        // What only the later list has is a norm that nobody reads.
        ensure!(later.contains_key(&name) || name.contains("encoder.swin.layernorm."), "{name} is not renamed to");
        later.entry(name).or_insert(tensor);
    }
    let mut engine = Cpu::new(2)?;
    let weights = Weights::from_map("renamed", later);
    let mut network = Mask2FormerNetwork::load(&engine, &weights, &Settings::default())?;
    drop(weights);
    check(&case, &mut engine, &mut network)
}

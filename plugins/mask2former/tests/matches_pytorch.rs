//! Each size computes what transformers' implementation computes, for weights that a formula makes.

use anyhow::{Result, ensure};
use mask2former::{Mask2FormerNetwork, Settings};
use segue_nn::network::Network;
use segue_nn::weights::Weights;
use segue_nn::{Cpu, Engine, Sampling, Scores};
use segue_parity::{Case, check_labels, input, parameters};

/// The network of these weights on a case's input.
fn check<E: Engine>(case: &Case, engine: &mut E, network: &mut Mask2FormerNetwork<E>) -> Result<()> {
    println!("{}", case.name);
    let image = input(engine, case)?;
    let prediction = network.predict(engine, image)?;
    let classes = engine.read(&prediction.classes)?;
    case.tensor("class_queries_logits")?.check_rows(engine.shape(&prediction.classes), &classes)?;
    let masks = engine.read(&prediction.masks)?;
    case.tensor("masks_queries_logits")?.check_image(engine.shape(&prediction.masks), &masks)?;
    let scores = network.score(engine, prediction)?;
    let resized = engine.resize(&scores, case.target.into(), Sampling::HalfPixelCentres)?;
    case.tensor("scores")?.check_image(engine.shape(&resized), &engine.read(&resized)?)?;
    check_labels(engine, case, &scores, Scores::Weights)
}

fn check_size(size: &str) -> Result<()> {
    check_size_on(size, || Ok(Cpu::new(2)?))
}

/// All cases of a size, one after the other.
fn check_size_on<E: Engine>(size: &str, engine: impl Fn() -> Result<E>) -> Result<()> {
    let settings: Settings = serde_json::from_str(&format!(r#"{{"size": "{size}"}}"#))?;
    let names = Case::names(&format!("mask2former-swin-{size}-"))?;
    ensure!(!names.is_empty(), "there are no cases of {size}");
    let mut loaded = None;
    for name in names {
        let case = Case::read(&name)?;
        let (engine, network) = match &mut loaded {
            Some(loaded) => loaded,
            none => {
                let weights = Weights::from_map(&case.keys, parameters(&case.keys, case.gain)?);
                let engine = engine()?;
                let network = Mask2FormerNetwork::load(&engine, &weights, &settings)?;
                none.insert((engine, network))
            }
        };
        check(&case, engine, network)?;
    }
    Ok(())
}

#[test]
fn tiny() -> Result<()> {
    check_size("tiny")
}

#[test]
fn small() -> Result<()> {
    check_size("small")
}

#[test]
fn base() -> Result<()> {
    check_size("base")
}

#[test]
fn large() -> Result<()> {
    check_size("large")
}

/// The same on the engine that runs on graphics cards, here on the processor.
#[test]
#[cfg(feature = "candle")]
fn all_sizes_on_candle() -> Result<()> {
    use segue_nn::CandleEngine;
    use segue_nn::candle_core::{DType, Device};

    let engine = || Ok(CandleEngine::new(Device::Cpu, DType::F32, 1)?);
    ["tiny", "small", "base", "large"].into_iter().try_for_each(|size| check_size_on(size, engine))
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
    let mut tensors = parameters(&case.keys, case.gain)?;
    tensors = tensors.into_iter().map(|(name, tensor)| (renamed(&name), tensor)).collect();
    for (name, tensor) in parameters("mask2former-swin-tiny.renamed.txt", case.gain)? {
        let unread = name.contains("encoder.swin.layernorm.");
        let known = tensors.entry(name.clone());
        ensure!(unread || matches!(known, std::collections::btree_map::Entry::Occupied(_)), "{name} is not renamed to");
        known.or_insert(tensor);
    }
    let mut engine = Cpu::new(2)?;
    let weights = Weights::from_map("renamed", tensors);
    let mut network = Mask2FormerNetwork::load(&engine, &weights, &Settings::default())?;
    drop(weights);
    check(&case, &mut engine, &mut network)
}

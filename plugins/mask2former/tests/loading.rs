//! What is wrong with a file is said by the parameter's name.

use anyhow::{Result, ensure};
use mask2former::{Mask2FormerNetwork, Settings};
use segue_nn::Cpu;
use segue_nn::network::{LoadError, Network};
use segue_nn::weights::Weights;
use segue_parity::{Parameters, parameters};

const KEYS: &str = "mask2former-swin-tiny.txt";

fn load(parameters: Parameters, settings: &str) -> Result<Result<Mask2FormerNetwork<Cpu>, LoadError>> {
    let weights = Weights::from_map("the file", parameters);
    Ok(Mask2FormerNetwork::load(&Cpu::new(1)?, &weights, &serde_json::from_str::<Settings>(settings)?))
}

/// The file is refused, with all of these words.
fn expect_refusal(parameters: Parameters, settings: &str, words: &[&str]) -> Result<()> {
    let Err(error) = load(parameters, settings)? else { anyhow::bail!("the file is taken") };
    let error = error.to_string();
    for word in words {
        ensure!(error.contains(word), "{error:?} does not say {word:?}");
    }
    Ok(())
}

#[test]
fn a_file_of_another_network_is_refused() -> Result<()> {
    let name = "model.pixel_level_module.encoder.embeddings.patch_embeddings.projection.weight";
    expect_refusal(parameters("segformer-b0.txt", 3.0)?, "{}", &["the file", name])
}

#[test]
fn a_missing_parameter_is_named() -> Result<()> {
    for name in [
        "model.pixel_level_module.encoder.encoder.layers.2.blocks.5.attention.self.relative_position_bias_table",
        "model.pixel_level_module.decoder.adapter_1.1.bias",
        "model.transformer_module.decoder.layers.8.cross_attn.in_proj_weight",
        "class_predictor.weight",
    ] {
        let mut parameters = parameters(KEYS, 3.0)?;
        ensure!(parameters.remove(name).is_some(), "{name} is not there anyway");
        expect_refusal(parameters, "{}", &["the file", name])?;
    }
    Ok(())
}

#[test]
fn a_parameter_of_another_shape_is_named() -> Result<()> {
    let name = "model.pixel_level_module.encoder.encoder.layers.0.blocks.0.attention.self.relative_position_bias_table";
    let mut parameters = parameters(KEYS, 3.0)?;
    parameters.insert(name.into(), (vec![170, 3], vec![0.0; 510]));
    expect_refusal(parameters, "{}", &["the file", name, "[170, 3]", "[169, 3]"])
}

#[test]
fn a_parameter_that_nothing_reads_is_named() -> Result<()> {
    let name = "model.pixel_level_module.encoder.encoder.layers.2.blocks.17.layernorm_before.bias";
    let mut parameters = parameters(KEYS, 3.0)?;
    parameters.insert(name.into(), (vec![384], vec![0.0; 384]));
    expect_refusal(parameters, "{}", &["the file", name])
}

#[test]
fn another_size_than_the_files_is_refused() -> Result<()> {
    expect_refusal(parameters(KEYS, 3.0)?, r#"{"size": "large"}"#, &["size = \"large\"", "write size = \"tiny\""])
}

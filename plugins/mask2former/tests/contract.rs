//! The backend keeps the contract that the server relies on, with a checkpoint that a formula makes.

use anyhow::Result;
use segue_parity::{Parameters, parameters, write_safetensors};
use segue_testkit::{ModelUnderTest, check};

/// Swin-Tiny that tells three classes apart: a hundred and fifty take most of a small frame's time.
fn few_classes() -> Result<Parameters> {
    const OUTPUTS: usize = 4;
    let mut parameters = parameters("mask2former-swin-tiny.txt", 3.0)?;
    for name in ["class_predictor.weight", "class_predictor.bias"] {
        if let Some((shape, values)) = parameters.get_mut(name) {
            values.truncate(values.len() / shape[0] * OUTPUTS);
            shape[0] = OUTPUTS;
        }
    }
    Ok(parameters)
}

#[test]
fn the_network_keeps_the_contract() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let weights = folder.path().join("checkpoint.safetensors");
    write_safetensors(&weights, &few_classes()?)?;
    let settings_json = "{\"input_size_px\": 64}".to_owned();
    let model = ModelUnderTest { weights: Some(weights), settings_json, max_threads: 2, ..ModelUnderTest::default() };
    check(&mask2former::segue_plugin_v1, &model).expect_all();
    Ok(())
}

//! The backend keeps the contract that the server relies on, with a checkpoint that a formula makes.

use anyhow::Result;
use segue_parity::{parameters, write_safetensors};
use segue_testkit::{ModelUnderTest, Options, check_with};

#[test]
fn the_network_keeps_the_contract() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let weights = folder.path().join("checkpoint.safetensors");
    write_safetensors(&weights, &parameters("mask2former-swin-tiny.txt", 3.0)?)?;
    let settings_json = r#"{"input_size_px": 64}"#.to_owned();
    let model = ModelUnderTest { weights: Some(weights), settings_json, max_threads: 2, ..ModelUnderTest::default() };
    // Scores of 384x384 are a fifth of a second's work, however small the frame.
    let options = Options { rounds: 1, instances: 1, growth_frames: 10, ..Options::quick() };
    check_with(&mask2former::segue_plugin_v1, &model, &options, &|_| {}).expect_all();
    Ok(())
}

//! The backend keeps the contract that the server relies on, with a checkpoint that a formula makes.

use anyhow::Result;
use segue_parity::{parameters, write_safetensors};
use segue_testkit::{ModelUnderTest, check};

#[test]
fn the_network_keeps_the_contract() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let weights = folder.path().join("checkpoint.safetensors");
    write_safetensors(&weights, &parameters("segformer-b0.txt", 3.0)?)?;
    let settings_json = "{\"input_size_px\": 96}".to_owned();
    for max_threads in [1, 2] {
        let (weights, settings_json) = (Some(weights.clone()), settings_json.clone());
        let model = ModelUnderTest { weights, settings_json, max_threads, ..ModelUnderTest::default() };
        check(&segformer::segue_plugin_v1, &model).expect_all();
    }
    Ok(())
}

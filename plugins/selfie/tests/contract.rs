//! The backend keeps the contract that the server relies on, with both networks.

#[path = "common/weights.rs"]
mod weights;

use segue_testkit::{ModelUnderTest, check};

#[test]
fn both_networks_keep_the_contract() {
    for file in ["selfie_segmentation.tflite", "selfie_segmentation_landscape.tflite"] {
        let Some(path) = weights::path(file) else { return };
        for max_threads in [1, 2] {
            let model = ModelUnderTest { weights: Some(path.clone()), max_threads, ..ModelUnderTest::default() };
            check(&selfie::segue_plugin_v1, &model).expect_all();
        }
    }
}

//! The backend keeps the contract that the server relies on.

use segue_testkit::{ModelUnderTest, check};

#[test]
fn it_keeps_the_contract() {
    check(&brightness::segue_plugin_v1, &ModelUnderTest::default()).expect_all();
}

#[test]
fn a_misspelt_setting_is_refused_by_name() {
    let model = ModelUnderTest { settings_json: r#"{"level": 9}"#.into(), ..ModelUnderTest::default() };
    let report = check(&brightness::segue_plugin_v1, &model);
    assert!(report.failures().any(|failure| failure.contains("level")), "{report}");
}

//! The backend keeps the contract that the server relies on.

use segue_testkit::{ModelUnderTest, check};

#[test]
fn it_keeps_the_contract() {
    check(&@LIBRARY@::segue_plugin_v1, &ModelUnderTest::default()).expect_all();
}

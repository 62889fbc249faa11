//! Each network computes what its reference implementation computes, for weights that a formula makes.

use anyhow::{Result, ensure};
use deeplab::{DeepLabNetwork, Settings};
use segue_nn::Cpu;
use segue_parity::{Case, check_logits};

fn check(cases: &str, settings: &str) -> Result<()> {
    let settings: Settings = serde_json::from_str(settings)?;
    let names = Case::names(cases)?;
    ensure!(!names.is_empty(), "there are no cases of {cases}");
    names.iter().try_for_each(|name| check_logits::<DeepLabNetwork<Cpu>>(name, &settings))
}

#[test]
fn mobilenet_v2_at_output_stride_8() -> Result<()> {
    check("deeplabv3_mobilenet_v2_os8", r#"{"architecture": "mobilenet-v2", "output_stride": 8}"#)
}

#[test]
fn mobilenet_v2_at_output_stride_16() -> Result<()> {
    check("deeplabv3_mobilenet_v2_os16", r#"{"architecture": "mobilenet-v2", "output_stride": 16}"#)
}

#[test]
fn mobilenet_v3_large() -> Result<()> {
    check("deeplabv3_mobilenet_v3_large", r#"{"architecture": "mobilenet-v3-large"}"#)
}

#[test]
fn resnet50() -> Result<()> {
    check("deeplabv3_resnet50", r#"{"architecture": "resnet50"}"#)
}

//! The same on the engine that runs on graphics cards, here on the processor.
#![cfg(feature = "candle")]

use anyhow::{Result, ensure};
use deeplab::{DeepLabNetwork, Settings};
use segue_nn::CandleEngine;
use segue_nn::candle_core::{DType, Device};
use segue_parity::{Case, check_logits_on};

const CASES: [(&str, &str); 4] = [
    ("deeplabv3_mobilenet_v2_os8", r#"{"architecture": "mobilenet-v2", "output_stride": 8}"#),
    ("deeplabv3_mobilenet_v2_os16", r#"{"architecture": "mobilenet-v2", "output_stride": 16}"#),
    ("deeplabv3_mobilenet_v3_large", r#"{"architecture": "mobilenet-v3-large"}"#),
    ("deeplabv3_resnet50", r#"{"architecture": "resnet50"}"#),
];

#[test]
fn each_network_computes_what_its_reference_does() -> Result<()> {
    for (cases, settings) in CASES {
        let settings: Settings = serde_json::from_str(settings)?;
        let names = Case::names(cases)?;
        ensure!(!names.is_empty(), "there are no cases of {cases}");
        for name in names {
            let engine = CandleEngine::new(Device::Cpu, DType::F32, 1)?;
            check_logits_on::<_, DeepLabNetwork<_>>(engine, &name, &settings)?;
        }
    }
    Ok(())
}

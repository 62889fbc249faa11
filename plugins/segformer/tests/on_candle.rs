//! The same on the engine that runs on graphics cards, here on the processor.
#![cfg(feature = "candle")]

use anyhow::{Result, ensure};
use segformer::{SegFormerNetwork, Settings};
use segue_nn::CandleEngine;
use segue_nn::candle_core::{DType, Device};
use segue_parity::{Case, check_logits_on};

#[test]
fn each_size_computes_what_its_reference_does() -> Result<()> {
    for size in ["b0", "b1", "b2", "b3", "b4", "b5"] {
        let settings: Settings = serde_json::from_str(&format!(r#"{{"size": "{size}"}}"#))?;
        let names = Case::names(&format!("segformer-{size}-"))?;
        ensure!(!names.is_empty(), "there are no cases of {size}");
        for name in names {
            let engine = CandleEngine::new(Device::Cpu, DType::F32, 1)?;
            check_logits_on::<_, SegFormerNetwork<_>>(engine, &name, &settings)?;
        }
    }
    Ok(())
}

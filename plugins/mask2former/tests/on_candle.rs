//! The same on the engine that runs on graphics cards, here on the processor.
#![cfg(feature = "candle")]

mod common;

use anyhow::Result;
use segue_nn::CandleEngine;
use segue_nn::candle_core::{DType, Device};

#[test]
fn each_size_computes_what_its_reference_does() -> Result<()> {
    let engine = || CandleEngine::new(Device::Cpu, DType::F32, 1);
    ["tiny", "small", "base", "large"].into_iter().try_for_each(|size| common::check_size(engine()?, size))
}

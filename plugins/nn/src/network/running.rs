//! A network on the engine that its settings ask for, and a frame's path through it.

use segue_plugin::{Call, Error, Frame, Mask, Result, Stage};

#[cfg(feature = "cuda")]
use super::Device;
use super::{Common, Family, InputRule, Network, Precision};
use crate::weights::Weights;
use crate::{
    Bf16, Cpu, Engine, EngineError, EngineResult, Level, MaskOutput, Placement, Preprocessor, RgbFrame, Sampling, Shape,
};
#[cfg(feature = "cuda")]
use crate::{CandleEngine, candle_core::DType};

/// A network where it runs.
pub(super) enum Running<F: Family> {
    Cpu(OnEngine<Cpu, F>),
    #[cfg(feature = "cuda")]
    Cuda(OnEngine<CandleEngine, F>),
}

/// A network with its engine.
pub(super) struct OnEngine<E: Engine, F: Family> {
    engine: E,
    network: F::Network<E>,
    preprocessor: Preprocessor,
    rule: InputRule,
    sampling: Sampling,
    /// What its parameters take as f32.
    weights_len_bytes: usize,
}

impl<F: Family> Running<F> {
    /// The network, and how many classes it tells apart.
    pub(super) fn load(
        common: Common,
        threads: usize,
        weights: &Weights,
        settings: &F::Settings,
        rule: InputRule,
    ) -> Result<(Self, usize)> {
        match common.device {
            #[cfg(feature = "cuda")]
            Device::Cuda => {
                let engine = CandleEngine::on_card(dtype(common.precision), threads).map_err(Error::new)?;
                let running = OnEngine::<_, F>::load(engine, weights, settings, rule)?;
                let classes = running.network.classes();
                Ok((Self::Cuda(running), classes))
            }
            // Without it, `check_device` has refused everything else.
            _ => {
                let engine = cpu(common.precision, threads).map_err(Error::new)?;
                let running = OnEngine::<_, F>::load(engine, weights, settings, rule)?;
                let classes = running.network.classes();
                Ok((Self::Cpu(running), classes))
            }
        }
    }

    pub(super) fn segment(&mut self, frame: &Frame<'_>, mask: &mut Mask<'_>, call: &Call<'_>) -> Result<()> {
        match self {
            Self::Cpu(running) => running.segment(frame, mask, call),
            #[cfg(feature = "cuda")]
            Self::Cuda(running) => running.segment(frame, mask, call),
        }
    }

    pub(super) fn warm_up(&mut self) -> Result<()> {
        let done = match self {
            Self::Cpu(running) => running.warm_up().map(|()| running.say_what_it_holds()),
            #[cfg(feature = "cuda")]
            Self::Cuda(running) => running.warm_up(),
        };
        done.map_err(Error::new)
    }
}

impl<F: Family> OnEngine<Cpu, F> {
    fn say_what_it_holds(&self) {
        const MEBIBYTE: usize = 1 << 20;
        let (weights, images) = (self.weights_len_bytes / MEBIBYTE, self.engine.images_len_bytes() / MEBIBYTE);
        log::debug!("Holds {weights} MiB of weights and {images} MiB of images");
    }
}

fn cpu(precision: Precision, threads: usize) -> std::io::Result<Cpu> {
    let cpu = Cpu::new(threads)?;
    if precision != Precision::Bf16 {
        return Ok(cpu);
    }
    match Bf16::best(cpu.level()) {
        Some(products) => {
            log::debug!("Computes in bf16 by {}", products.name());
            Ok(cpu.with_bf16(products))
        }
        None => {
            log::info!("precision = \"bf16\": this CPU has no instructions that make it faster, so it computes in f32");
            Ok(cpu)
        }
    }
}

#[cfg(feature = "cuda")]
const fn dtype(precision: Precision) -> DType {
    match precision {
        Precision::F32 => DType::F32,
        Precision::Bf16 => DType::BF16,
        Precision::F16 => DType::F16,
    }
}

impl<E: Engine, F: Family> OnEngine<E, F> {
    fn load(engine: E, weights: &Weights, settings: &F::Settings, rule: InputRule) -> Result<Self> {
        let network = F::Network::<E>::load(&engine, weights, settings).map_err(Error::new)?;
        let preprocessor = Preprocessor::new(Level::best(), rule.normalisation).with_beside(127);
        let sampling = F::sampling(settings);
        Ok(Self { engine, network, preprocessor, rule, sampling, weights_len_bytes: weights.len_bytes() })
    }

    fn segment(&mut self, frame: &Frame<'_>, mask: &mut Mask<'_>, call: &Call<'_>) -> Result<()> {
        let Self { engine, network, preprocessor, .. } = self;
        let pixels = RgbFrame {
            bytes: frame.bytes(),
            width: frame.width_px() as usize,
            height: frame.height_px() as usize,
            stride: frame.stride_bytes(),
        };
        let layout = self.rule.layout((pixels.width, pixels.height));
        let shape = Shape { height: layout.canvas.1, width: layout.canvas.0, channels: 3 };
        let fill = |pool: &mut _, values: &mut [f32]| preprocessor.run(pool, pixels, layout, values);
        let input = call.stage(Stage::Preprocess, || engine.input(shape, fill)).map_err(Error::new)?;
        if call.cancelled() {
            return Err(Error::Cancelled);
        }
        let forward = || {
            let scores = network.scores(engine, input)?;
            // The stage's time is the device's.
            engine.finish()?;
            Ok::<_, EngineError>(scores)
        };
        let scores = call.stage(Stage::Forward, forward).map_err(Error::new)?;
        if call.cancelled() {
            return Err(Error::Cancelled);
        }
        let placement = Placement { canvas: layout.canvas, picture: layout.picture, sampling: self.sampling };
        let mut output = MaskOutput {
            width: mask.width_px as usize,
            height: mask.height_px as usize,
            labels: mask.labels,
            confidence: mask.confidence.as_deref_mut(),
        };
        call.stage(Stage::Postprocess, || engine.labels(&scores, F::SCORES, placement, &mut output)).map_err(Error::new)
    }

    fn warm_up(&mut self) -> EngineResult<()> {
        let layout = self.rule.layout((640, 360));
        let shape = Shape { height: layout.canvas.1, width: layout.canvas.0, channels: 3 };
        // The first pass finds out how much memory the second one has at once.
        for _ in 0..2 {
            let input = self.engine.input(shape, |_, values| values.fill(0.0))?;
            self.network.scores(&mut self.engine, input)?;
            self.engine.finish()?;
        }
        Ok(())
    }
}

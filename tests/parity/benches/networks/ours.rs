//! Our side: a network on our kernels, or on candle's tensors.

use std::path::PathBuf;

use anyhow::{Context, Result};
use deeplab::DeepLabNetwork;
use mask2former::Mask2FormerNetwork;
use segformer::SegFormerNetwork;
use segue_nn::candle_core::{DType, Device};
use segue_nn::network::Network;
use segue_nn::weights::Weights;
use segue_nn::{Bf16, CandleEngine, Cpu, Engine, Level, Shape};

use crate::case::{Case, Family, Model};
use crate::{On, Precision};

/// The engine that computes in `precision`, if there is one.
fn engine(precision: Precision, threads: usize, level: Level) -> Result<Option<Cpu>> {
    match precision {
        Precision::F32 => Ok(Some(Cpu::on(level, threads)?)),
        Precision::Bf16 => match Bf16::best(level) {
            Some(products) => Ok(Some(Cpu::on(level, threads)?.with_bf16(products))),
            None => Ok(None),
        },
        Precision::F16 => Ok(None),
    }
}

/// A network on candle's tensors: on this machine's card, or on its CPU.
pub(crate) fn load_on_candle(case: &Case, precision: Precision, threads: usize, on: On) -> Result<Box<dyn Running>> {
    let dtype = match precision {
        Precision::F32 => DType::F32,
        Precision::Bf16 => DType::BF16,
        Precision::F16 => DType::F16,
    };
    let engine = match on {
        #[cfg(feature = "cuda")]
        On::Cuda => CandleEngine::on_card(dtype, threads)?,
        #[cfg(not(feature = "cuda"))]
        On::Cuda => anyhow::bail!("built without a card: `cargo bench ... --features cuda`"),
        On::Kernels | On::Candle => CandleEngine::new(Device::Cpu, dtype, threads)?,
    };
    let Model::Formula(family, architecture) = case.model else {
        anyhow::bail!("{} is for the kernels alone", case.name);
    };
    on_engine(engine, family, architecture, case)
}

/// A network with its input.
pub(crate) trait Running {
    /// One forward pass.
    fn pass(&mut self) -> Result<()>;

    /// What a pass gives: classes x height x width.
    fn scores(&mut self) -> Result<Vec<f32>>;

    fn classes(&self) -> usize;
}

/// The network of a case, or nothing where no engine computes in `precision`.
pub(crate) fn load(
    case: &Case,
    precision: Precision,
    threads: usize,
    level: Level,
) -> Result<Option<Box<dyn Running>>> {
    let (family, architecture) = match case.model {
        Model::Selfie(file) => return Ok(Some(Box::new(Selfie::load(file, case, threads, level)?))),
        Model::Formula(family, architecture) => (family, architecture),
    };
    let Some(engine) = engine(precision, threads, level)? else { return Ok(None) };
    on_engine(engine, family, architecture, case).map(Some)
}

fn on_engine<E: Engine + 'static>(
    engine: E,
    family: Family,
    architecture: &str,
    case: &Case,
) -> Result<Box<dyn Running>> {
    let weights = weights(architecture)?;
    match family {
        Family::DeepLab(settings) => {
            OnEngine::<E, DeepLabNetwork<E>>::load(engine, &weights, &serde_json::from_str(settings)?, case)
        }
        Family::SegFormer => OnEngine::<E, SegFormerNetwork<E>>::load(engine, &weights, &Default::default(), case),
        Family::Mask2Former => OnEngine::<E, Mask2FormerNetwork<E>>::load(engine, &weights, &Default::default(), case),
    }
}

/// The formula's, for an architecture of `architectures.py`.
fn weights(architecture: &str) -> Result<Weights> {
    let keys = architecture.split("_os").next().unwrap_or(architecture);
    let gain = if keys.contains("mobilenet") { 5.75 } else { 3.0 };
    let keys = format!("{keys}.txt");
    Ok(Weights::from_map(&keys, segue_parity::parameters(&keys, gain)?))
}

struct OnEngine<E, N> {
    engine: E,
    network: N,
    shape: Shape,
    pixels: Vec<f32>,
}

impl<E: Engine + 'static, N: Network<E>> OnEngine<E, N> {
    fn load(engine: E, weights: &Weights, settings: &N::Settings, case: &Case) -> Result<Box<dyn Running>> {
        let network = N::load(&engine, weights, settings)?;
        let [height, width] = case.size;
        let shape = Shape { height, width, channels: 3 };
        Ok(Box::new(Self { engine, network, shape, pixels: case.pixels() }))
    }

    fn forward(&mut self) -> Result<E::Image> {
        let input = self.engine.input(self.shape, |_, input| input.copy_from_slice(&self.pixels))?;
        let scores = self.network.scores(&mut self.engine, input)?;
        self.engine.finish()?;
        Ok(scores)
    }
}

impl<E: Engine + 'static, N: Network<E>> Running for OnEngine<E, N> {
    fn pass(&mut self) -> Result<()> {
        self.forward().map(drop)
    }

    fn scores(&mut self) -> Result<Vec<f32>> {
        let scores = self.forward()?;
        Ok(planes(&self.engine.read(&scores)?, self.engine.shape(&scores).channels))
    }

    fn classes(&self) -> usize {
        self.network.classes()
    }
}

/// Values pixel by pixel as one plane for each channel.
pub(crate) fn planes(pixels: &[f32], channels: usize) -> Vec<f32> {
    (0..channels).flat_map(|channel| pixels.iter().skip(channel).step_by(channels).copied()).collect()
}

struct Selfie {
    network: selfie::network::Network,
    pixels: Vec<f32>,
    plane: Vec<f32>,
}

impl Selfie {
    fn load(file: &str, case: &Case, threads: usize, level: Level) -> Result<Self> {
        let path = selfie_file(file);
        let bytes = std::fs::read(&path)
            .with_context(|| format!("can't read {}; run `segue models pull selfie`", path.display()))?;
        let network = selfie::network::Network::load_at(level, &bytes, threads)?;
        let [height, width] = case.size;
        Ok(Self { network, pixels: case.pixels(), plane: vec![0.0; height * width] })
    }
}

/// Where `segue models pull` puts a file of the selfie networks.
pub(crate) fn selfie_file(file: &str) -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    let user = || std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from);
    let cache = std::env::var_os("SEGUE_CACHE").map_or_else(|| user().join("segue"), PathBuf::from);
    cache.join("models/selfie").join(file)
}

impl Running for Selfie {
    fn pass(&mut self) -> Result<()> {
        self.network.forward(&self.pixels, &mut self.plane);
        Ok(())
    }

    fn scores(&mut self) -> Result<Vec<f32>> {
        self.pass()?;
        Ok(self.plane.clone())
    }

    fn classes(&self) -> usize {
        1
    }
}

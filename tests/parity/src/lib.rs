//! Holds networks to what PyTorch's own implementations compute, for weights that a formula makes: README.md beside
//! this crate says how.

mod case;
mod file;
mod formula;

pub use case::{Case, Tensor};
pub use file::write_safetensors;
pub use formula::{Parameters, parameters, pixels};

use anyhow::{Result, ensure};
use segue_nn::network::Network;
use segue_nn::weights::Weights;
use segue_nn::{Cpu, Engine, MaskOutput, Placement, Sampling, Scores, Shape};

/// Relative to the largest logit.
pub const MOST_ERROR: f64 = 1e-4;
/// Of all pixels.
pub const LEAST_AGREEMENT: f64 = 0.999;

/// Runs a network whose scores are logits on a case's input, and holds its logits and labels to the case's.
pub fn check_logits<N: Network<Cpu>>(case: &str, settings: &N::Settings) -> Result<()> {
    check_logits_on::<_, N>(Cpu::new(2)?, case, settings)
}

/// The same on any engine.
pub fn check_logits_on<E: Engine, N: Network<E>>(engine: E, case: &str, settings: &N::Settings) -> Result<()> {
    let case = Case::read(case)?;
    let weights = Weights::from_map(&case.keys, parameters(&case.keys, case.gain)?);
    run::<E, N>(engine, &case, &weights, settings)
}

/// The same with other weights than the case's key list names.
pub fn check_network<N: Network<Cpu>>(case: &Case, weights: &Weights, settings: &N::Settings) -> Result<()> {
    run::<_, N>(Cpu::new(2)?, case, weights, settings)
}

fn run<E: Engine, N: Network<E>>(mut engine: E, case: &Case, weights: &Weights, settings: &N::Settings) -> Result<()> {
    let mut network = N::load(&engine, weights, settings)?;
    let input = input(&mut engine, case)?;
    let scores = network.scores(&mut engine, input)?;
    let shape = engine.shape(&scores);
    case.tensor("logits")?.check_image(shape, &engine.read(&scores)?)?;
    check_labels(&mut engine, case, &scores, Scores::Logits)
}

/// The case's input on an engine.
pub fn input<E: Engine>(engine: &mut E, case: &Case) -> Result<E::Image> {
    let [height, width] = case.input;
    let values = pixels(height, width);
    Ok(engine.input(Shape { height, width, channels: 3 }, |_, input| input.copy_from_slice(&values))?)
}

/// Labels of the case's size, made of `scores`, are the case's.
pub fn check_labels<E: Engine>(engine: &mut E, case: &Case, scores: &E::Image, kind: Scores) -> Result<()> {
    let [height, width] = case.target;
    let mut labels = vec![0; width * height];
    let size = (width, height);
    let placement = Placement { canvas: size, picture: size, sampling: Sampling::HalfPixelCentres };
    let mut mask = MaskOutput { width, height, labels: &mut labels, confidence: None };
    engine.labels(scores, kind, placement, &mut mask)?;
    let expected = case.labels()?;
    let equal = labels.iter().zip(&expected).filter(|(ours, theirs)| ours == theirs).count();
    let agreement = equal as f64 / expected.len() as f64;
    println!("{}: {:.4} % of pixels have the reference's class", case.name, 100.0 * agreement);
    ensure!(agreement >= LEAST_AGREEMENT, "{}: only {agreement} of all pixels agree", case.name);
    Ok(())
}

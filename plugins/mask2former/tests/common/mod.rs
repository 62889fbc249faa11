//! Holds the network to a case on any engine.

use anyhow::{Result, ensure};
use mask2former::{Mask2FormerNetwork, Settings};
use segue_nn::network::Network;
use segue_nn::weights::Weights;
use segue_nn::{Engine, Sampling, Scores};
use segue_parity::{Case, check_labels, input, parameters};

/// Queries' classes and masks, and the classes' scores and labels, on a case's input.
pub(crate) fn check<E: Engine>(case: &Case, engine: &mut E, network: &mut Mask2FormerNetwork<E>) -> Result<()> {
    println!("{}", case.name);
    let image = input(engine, case)?;
    let prediction = network.predict(engine, image)?;
    let classes = engine.read(&prediction.classes)?;
    case.tensor("class_queries_logits")?.check_rows(engine.shape(&prediction.classes), &classes)?;
    let masks = engine.read(&prediction.masks)?;
    case.tensor("masks_queries_logits")?.check_image(engine.shape(&prediction.masks), &masks)?;
    let scores = network.score(engine, prediction)?;
    let resized = engine.resize(&scores, case.target.into(), Sampling::HalfPixelCentres)?;
    case.tensor("scores")?.check_image(engine.shape(&resized), &engine.read(&resized)?)?;
    check_labels(engine, case, &scores, Scores::Weights)
}

/// All cases of a size, one after the other.
pub(crate) fn check_size<E: Engine>(mut engine: E, size: &str) -> Result<()> {
    let settings: Settings = serde_json::from_str(&format!(r#"{{"size": "{size}"}}"#))?;
    let cases = Case::names(&format!("mask2former-swin-{size}-"))?;
    ensure!(!cases.is_empty(), "there are no cases of {size}");
    let cases = cases.iter().map(|name| Case::read(name)).collect::<Result<Vec<_>>>()?;
    let weights = Weights::from_map(&cases[0].keys, parameters(&cases[0].keys, cases[0].gain)?);
    let mut network = Mask2FormerNetwork::load(&engine, &weights, &settings)?;
    drop(weights);
    cases.iter().try_for_each(|case| check(case, &mut engine, &mut network))
}

//! Backbone, pixel decoder, decoder; and how queries become scores of classes.

use segue_nn::network::{LoadError, Network};
use segue_nn::weights::Weights;
use segue_nn::{Activation, Engine, EngineError, EngineResult, Sampling, Shape};

use crate::backend::{Settings, Size};
use crate::decoder::{Decoder, Prediction};
use crate::naming::Naming;
use crate::pixel_decoder::{CHANNELS, LEVELS, PixelDecoder};
use crate::positions;
use crate::swin::{PATCH, STAGES, Swin, width_of};

/// Height and width to which the reference resizes masks before it reads classes off them, whatever the input.
const SCORES: (usize, usize) = (384, 384);
/// Sizes of inputs that are remembered.
const MOST_SIZES: usize = 4;

/// The network.
pub struct Mask2FormerNetwork<E: Engine> {
    backbone: Swin<E>,
    pixel_decoder: PixelDecoder<E>,
    decoder: Decoder<E>,
    /// A vector for each level of the pixel decoder.
    level_embed: Vec<f32>,
    /// `(classes + 1) x classes`: all classes but "nothing".
    selection: E::Image,
    /// For the inputs seen last.
    sizes: Vec<OfSize<E>>,
}

/// What depends on the input's size alone.
struct OfSize<E: Engine> {
    input: (usize, usize),
    /// Each stage's mask for windows that lie across others.
    masks: Vec<E::Image>,
    /// Of all levels' pixels.
    positions: E::Image,
}

/// What is in files, and no part of the network: what the loss is weighted by, and a norm behind the backbone that
/// transformers 5 saves and nobody reads.
fn is_unread(name: &str) -> bool {
    name.starts_with("criterion.") || name.starts_with("model.pixel_level_module.encoder.swin.layernorm.")
}

impl<E: Engine> Network<E> for Mask2FormerNetwork<E> {
    type Settings = Settings;

    fn load(engine: &E, weights: &Weights, settings: &Settings) -> Result<Self, LoadError> {
        let root = weights.root();
        let level_module = root.at("model.pixel_level_module");
        let naming = Naming::of(level_module.at("encoder"));
        let size = size_of(&naming, settings)?;
        let widths: [usize; STAGES] = std::array::from_fn(|stage| width_of(naming.width(), stage));
        let decoder = Decoder::load(engine, &root)?;
        let network = Self {
            backbone: Swin::load(engine, &naming, size)?,
            pixel_decoder: PixelDecoder::load(engine, &level_module.at("decoder"), widths)?,
            level_embed: level_module.at("decoder").tensor("level_embed", &[LEVELS, CHANNELS])?,
            selection: selection(engine, decoder.classes)?,
            decoder,
            sizes: Vec::new(),
        };
        weights.finish(is_unread)?;
        Ok(network)
    }

    fn classes(&self) -> usize {
        self.decoder.classes
    }

    fn scores(&mut self, engine: &mut E, input: E::Image) -> EngineResult<E::Image> {
        let prediction = self.predict(engine, input)?;
        self.score(engine, prediction)
    }
}

impl<E: Engine> Mask2FormerNetwork<E> {
    /// What the queries say of a normalised image.
    ///
    /// # Errors
    /// When an operation fails.
    pub fn predict(&mut self, engine: &mut E, input: E::Image) -> EngineResult<Prediction<E>> {
        let at = self.of_size(engine, engine.shape(&input))?;
        let OfSize { masks, positions, .. } = &self.sizes[at];
        let features = self.backbone.forward(engine, input, masks)?;
        let features = self.pixel_decoder.forward(engine, features, positions)?;
        self.decoder.forward(engine, features, positions)
    }

    /// The score of each class for each pixel of a grid of 384 x 384 over the input: what each query's mask says times
    /// what its class says, summed over the queries.
    ///
    /// # Errors
    /// When an operation fails.
    pub fn score(&self, engine: &mut E, prediction: Prediction<E>) -> EngineResult<E::Image> {
        let Prediction { mut classes, mut masks } = prediction;
        classes = engine.softmax(classes)?;
        classes = engine.matmul(&classes, &self.selection)?;
        masks = engine.resize(&masks, SCORES, Sampling::HalfPixelCentres)?;
        masks = engine.activate(masks, Activation::Sigmoid)?;
        engine.matmul(&masks, &classes)
    }

    /// Where in `sizes` is what belongs to an input of this shape.
    fn of_size(&mut self, engine: &E, shape: Shape) -> EngineResult<usize> {
        let input = (shape.height, shape.width);
        if let Some(at) = self.sizes.iter().position(|known| known.input == input) {
            return Ok(at);
        }
        let halved = |(height, width): &(usize, usize)| Some((height.div_ceil(2), width.div_ceil(2)));
        let first = (input.0.div_ceil(PATCH), input.1.div_ceil(PATCH));
        let stages: Vec<_> = std::iter::successors(Some(first), halved).take(STAGES).collect();
        let levels: Vec<_> = stages.iter().rev().take(LEVELS).copied().collect();
        let values = positions::of_levels(&levels, &self.level_embed, CHANNELS);
        let of_tokens = Shape { height: 1, width: values.len() / CHANNELS, channels: CHANNELS };
        let positions = engine.constant(of_tokens, &values)?;
        let masks = self.backbone.masks(engine, &stages)?;
        if self.sizes.len() == MOST_SIZES {
            self.sizes.remove(0);
        }
        self.sizes.push(OfSize { input, masks, positions });
        Ok(self.sizes.len() - 1)
    }
}

/// The size of the file's backbone, which has to be what the operator says that it is.
fn size_of(naming: &Naming<'_>, settings: &Settings) -> Result<Size, LoadError> {
    let width = naming.width();
    let Some(size) = naming.size() else {
        // A file of another architecture does not have this at all.
        naming.patches().tensor("weight", &[width, 3, PATCH, PATCH])?;
        return Err(EngineError(format!("the first stage has {width} channels, and Swin's has 96, 128 or 192")).into());
    };
    match settings.size {
        Some(wanted) if wanted != size => Err(EngineError(format!(
            "size = \"{}\": the file's backbone is Swin's {size}; write size = \"{size}\", or leave it out",
            wanted.name(),
            size = size.name()
        ))
        .into()),
        _ => Ok(size),
    }
}

/// The identity of so many classes, and a row of zeros for "nothing".
fn selection<E: Engine>(engine: &E, classes: usize) -> Result<E::Image, EngineError> {
    let mut values = vec![0.0; (classes + 1) * classes];
    values.iter_mut().step_by(classes + 1).take(classes).for_each(|value| *value = 1.0);
    engine.constant(Shape { height: 1, width: classes + 1, channels: classes }, &values)
}

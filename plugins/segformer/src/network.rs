//! Four stages of blocks, each at half the size of the one before, and the head.

use segue_nn::network::{LoadError, Network};
use segue_nn::weights::Weights;
use segue_nn::{Activation, Engine, EngineError, EngineResult, Filter, Norm, Step};

use crate::backend::Settings;
use crate::block::{Block, EPSILON};
use crate::head::{Head, STAGES};
use crate::naming::Naming;

/// Window, stride and padding of each stage's patch embedding.
const EMBEDDINGS: [(usize, usize, usize); STAGES] = [(7, 4, 3), (3, 2, 1), (3, 2, 1), (3, 2, 1)];
const HEADS: [usize; STAGES] = [1, 2, 5, 8];
/// How many times smaller the image is that keys and values come from.
const RATIOS: [usize; STAGES] = [8, 4, 2, 1];

/// The network.
pub struct SegFormerNetwork<E: Engine> {
    stages: Vec<Stage<E>>,
    head: Head<E>,
}

struct Stage<E: Engine> {
    embed: E::Conv,
    embed_norm: E::Norm,
    blocks: Vec<Block<E>>,
    norm: E::Norm,
}

impl<E: Engine> Network<E> for SegFormerNetwork<E> {
    type Settings = Settings;

    fn load(engine: &E, weights: &Weights, settings: &Settings) -> Result<Self, LoadError> {
        let naming = Naming::of(weights.root());
        let width = |stage| naming.embedding(stage).shape("proj.weight").and_then(|shape| shape.first().copied());
        let widths = [0, 1, 2, 3].map(|stage| width(stage).unwrap_or(HEADS[stage] * 32));
        let depths = [0, 1, 2, 3].map(|stage| naming.depth(stage));
        check_size(settings, widths[0], depths)?;
        let (mut inputs, mut stages) = (3, Vec::new());
        for stage in 0..STAGES {
            stages.push(Stage::load(engine, &naming, stage, inputs, widths[stage], depths[stage])?);
            inputs = widths[stage];
        }
        let head = Head::load(engine, &naming, widths)?;
        // Of the ImageNet network that it was trained from, if somebody kept it.
        weights.finish(|name| name.starts_with("classifier."))?;
        Ok(Self { stages, head })
    }

    fn classes(&self) -> usize {
        self.head.classes
    }

    fn scores(&mut self, engine: &mut E, input: E::Image) -> EngineResult<E::Image> {
        let mut features: Vec<E::Image> = Vec::new();
        for stage in &self.stages {
            let image = stage.forward(engine, features.last().unwrap_or(&input))?;
            features.push(image);
        }
        drop(input);
        let Ok(features) = <[E::Image; STAGES]>::try_from(features) else {
            return Err(EngineError("a stage is missing".into()));
        };
        self.head.forward(engine, features)
    }
}

/// What the operator says the file is has to be what it is.
fn check_size(settings: &Settings, width: usize, depths: [usize; STAGES]) -> Result<(), EngineError> {
    match settings.size {
        Some(size) if size.depths() != depths || size.width() != width => Err(EngineError(format!(
            "size = \"{size:?}\" has {:?} blocks and {} channels in its first stage; the file has {depths:?} and {width}: write \
             the file's size, or leave it out",
            size.depths(),
            size.width()
        ))),
        _ => Ok(()),
    }
}

impl<E: Engine> Stage<E> {
    fn load(
        engine: &E,
        naming: &Naming<'_>,
        stage: usize,
        inputs: usize,
        width: usize,
        depth: usize,
    ) -> Result<Self, LoadError> {
        let place = naming.embedding(stage);
        let (kernel, stride, padding) = EMBEDDINGS[stage];
        let embed = Filter::load_with_bias(&place.at("proj"), [width, inputs, kernel, kernel])?;
        let heads = HEADS[stage];
        if !width.is_multiple_of(heads) {
            return Err(
                EngineError(format!("stage {stage} has {width} channels, which {heads} heads can't share")).into()
            );
        }
        let block = |block| Block::load(engine, &naming.block(stage, block), width, heads, RATIOS[stage]);
        Ok(Self {
            embed: engine.make_conv(embed, Step::of(stride, padding), Activation::None)?,
            embed_norm: engine.make_norm(Norm::load(&place.at("layer_norm"), width, EPSILON)?)?,
            // A stage without a block is told by the first block's missing parameter.
            blocks: (0..depth.max(1)).map(block).collect::<Result<_, _>>()?,
            norm: engine.make_norm(Norm::load(&naming.norm(stage), width, EPSILON)?)?,
        })
    }

    fn forward(&self, engine: &mut E, input: &E::Image) -> EngineResult<E::Image> {
        let mut image = engine.conv(&self.embed, input, None)?;
        image = engine.layer_norm(&self.embed_norm, &image)?;
        for block in &self.blocks {
            image = block.forward(engine, image)?;
        }
        engine.layer_norm(&self.norm, &image)
    }
}

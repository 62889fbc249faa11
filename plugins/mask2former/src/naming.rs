//! Where a file has the parameters of the backbone: by the names that published files have, or by those of
//! transformers 5. The decoders have the same names in both.

use segue_nn::weights::Scope;

use crate::backend::Size;

/// The parts of the backbone in a file.
pub(crate) struct Naming<'a> {
    encoder: Scope<'a>,
    swin: Scope<'a>,
}

/// The parts of a block.
pub(crate) struct BlockPlaces<'a> {
    pub(crate) attention_norm: Scope<'a>,
    pub(crate) query: Scope<'a>,
    pub(crate) key: Scope<'a>,
    pub(crate) value: Scope<'a>,
    pub(crate) output: Scope<'a>,
    /// Has `relative_position_bias_table`.
    pub(crate) bias: Scope<'a>,
    pub(crate) mlp_norm: Scope<'a>,
    pub(crate) expand: Scope<'a>,
    pub(crate) project: Scope<'a>,
}

impl<'a> Naming<'a> {
    /// The backbone below `encoder`.
    pub(crate) fn of(encoder: Scope<'a>) -> Self {
        let is_later = encoder.contains("swin.embeddings.norm.weight");
        let swin = if is_later { encoder.at("swin") } else { encoder.clone() };
        Self { encoder, swin }
    }

    /// The convolution that makes a pixel of each patch.
    pub(crate) fn patches(&self) -> Scope<'a> {
        self.swin.at("embeddings.patch_embeddings.projection")
    }

    /// The norm behind it.
    pub(crate) fn patches_norm(&self) -> Scope<'a> {
        self.swin.at("embeddings.norm")
    }

    /// What comes between a stage and the next one.
    pub(crate) fn downsample(&self, stage: usize) -> Scope<'a> {
        self.stage(stage).at("downsample")
    }

    /// The norm of a stage's features.
    pub(crate) fn features_norm(&self, stage: usize) -> Scope<'a> {
        self.encoder.at(format_args!("hidden_states_norms.stage{}", stage + 1))
    }

    /// The parts of block number `block` of a stage.
    pub(crate) fn block(&self, stage: usize, block: usize) -> BlockPlaces<'a> {
        let place = self.stage(stage).at("blocks").at(block);
        let is_later = place.contains("attention.q_proj.weight");
        let part = |published: &str, later: &str| place.at(if is_later { later } else { published });
        BlockPlaces {
            attention_norm: place.at("layernorm_before"),
            query: part("attention.self.query", "attention.q_proj"),
            key: part("attention.self.key", "attention.k_proj"),
            value: part("attention.self.value", "attention.v_proj"),
            output: part("attention.output.dense", "attention.o_proj"),
            bias: part("attention.self", "attention.relative_position_bias"),
            mlp_norm: place.at("layernorm_after"),
            expand: part("intermediate.dense", "mlp.fc1"),
            project: part("output.dense", "mlp.fc2"),
        }
    }

    /// Channels of the first stage, 0 if the file does not say.
    pub(crate) fn width(&self) -> usize {
        self.patches().shape("weight").and_then(|shape| shape.first().copied()).unwrap_or(0)
    }

    /// The size that the file's parameters are of.
    pub(crate) fn size(&self) -> Option<Size> {
        let is_deep = self.block(2, Size::Tiny.depths()[2]).attention_norm.contains("weight");
        match (self.width(), is_deep) {
            (96, false) => Some(Size::Tiny),
            (96, true) => Some(Size::Small),
            (128, _) => Some(Size::Base),
            (192, _) => Some(Size::Large),
            _ => None,
        }
    }

    fn stage(&self, stage: usize) -> Scope<'a> {
        self.swin.at("encoder.layers").at(stage)
    }
}

//! Where a file has the parameters of the network's parts: by the names of transformers 4, which all published files
//! have, or by those of transformers 5.

use segue_nn::weights::Scope;

/// Which names a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    Published,
    Later,
}

/// The parts of a network in a file.
pub(crate) struct Naming<'a> {
    root: Scope<'a>,
    names: Names,
}

/// The parts of a block.
pub(crate) struct BlockPlaces<'a> {
    pub(crate) attention_norm: Scope<'a>,
    pub(crate) query: Scope<'a>,
    pub(crate) key: Scope<'a>,
    pub(crate) value: Scope<'a>,
    pub(crate) output: Scope<'a>,
    pub(crate) reduction: Scope<'a>,
    pub(crate) reduction_norm: Scope<'a>,
    pub(crate) mlp_norm: Scope<'a>,
    pub(crate) expand: Scope<'a>,
    pub(crate) depthwise: Scope<'a>,
    pub(crate) project: Scope<'a>,
}

impl<'a> Naming<'a> {
    pub(crate) fn of(root: Scope<'a>) -> Self {
        let is_later = root.contains("segformer.stages.0.patch_embeddings.proj.weight");
        Self { root, names: if is_later { Names::Later } else { Names::Published } }
    }

    /// The patch embedding of a stage: `proj` and `layer_norm`.
    pub(crate) fn embedding(&self, stage: usize) -> Scope<'a> {
        match self.names {
            Names::Published => self.root.at("segformer.encoder.patch_embeddings").at(stage),
            Names::Later => self.root.at("segformer.stages").at(stage).at("patch_embeddings"),
        }
    }

    /// The norm at a stage's end.
    pub(crate) fn norm(&self, stage: usize) -> Scope<'a> {
        match self.names {
            Names::Published => self.root.at("segformer.encoder.layer_norm").at(stage),
            Names::Later => self.root.at("segformer.stages").at(stage).at("layer_norm"),
        }
    }

    /// The parts of block number `block` of a stage.
    pub(crate) fn block(&self, stage: usize, block: usize) -> BlockPlaces<'a> {
        let later = self.names == Names::Later;
        let place = match later {
            false => self.root.at("segformer.encoder.block").at(stage).at(block),
            true => self.root.at("segformer.stages").at(stage).at("blocks").at(block),
        };
        let part = |published: &str, renamed: &str| place.at(if later { renamed } else { published });
        BlockPlaces {
            attention_norm: part("layer_norm_1", "layernorm_before"),
            query: part("attention.self.query", "attention.q_proj"),
            key: part("attention.self.key", "attention.k_proj"),
            value: part("attention.self.value", "attention.v_proj"),
            output: part("attention.output.dense", "attention.o_proj"),
            reduction: part("attention.self.sr", "attention.sequence_reduction.sequence_reduction"),
            reduction_norm: part("attention.self.layer_norm", "attention.sequence_reduction.layer_norm"),
            mlp_norm: part("layer_norm_2", "layernorm_after"),
            expand: part("mlp.dense1", "mlp.fc1"),
            depthwise: place.at("mlp.dwconv.dwconv"),
            project: part("mlp.dense2", "mlp.fc2"),
        }
    }

    /// How many blocks a stage has.
    pub(crate) fn depth(&self, stage: usize) -> usize {
        (0..).find(|&block| !self.block(stage, block).attention_norm.contains("weight")).unwrap_or(0)
    }

    /// The head's linear layer of a stage.
    pub(crate) fn linear(&self, stage: usize) -> Scope<'a> {
        let list = match self.names {
            Names::Published => "decode_head.linear_c",
            Names::Later => "decode_head.linear_projections",
        };
        self.root.at(list).at(stage).at("proj")
    }

    /// The head's other layers.
    pub(crate) fn head(&self) -> Scope<'a> {
        self.root.at("decode_head")
    }
}

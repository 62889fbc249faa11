//! Runs a selfie segmentation network: the model behind the plugin, without the plugin.
//!
//! A network is read, fused, placed in memory and packed once; a forward pass then walks its steps.
//! Invariant: [`Network::forward`] allocates nothing.
//!
//! Model: MediaPipe Selfie Segmentation, general (256x256) and landscape (256x144), from the npm package
//! `@mediapipe/selfie_segmentation`; a MobileNetV3 encoder and a squeeze-excite decoder.

use segue_nn::{Buffer, Level, Pool};

pub use crate::flatbuffer::Error as DamageError;
pub use crate::graph::Error as GraphError;
pub use crate::tflite::Error as FileError;

use crate::graph::Graph;
use crate::plan::{Place, Plan};
use crate::step::{Image, Sources, Step};

/// The most memory that a network's images may take, in f32 (256 MiB).
const MOST_MEMORY: usize = 64 << 20;

/// Why a network could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not a network that we can run.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The network's images would not fit the memory we allow them.
    #[error("the network needs {needed} values of memory for its images; at most {MOST_MEMORY} are allowed")]
    Memory {
        /// Values it needs, in f32.
        needed: usize,
    },
    /// The system refused a thread.
    #[error("could not start {threads} threads")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
}

/// A network ready to run, with its own threads.
#[derive(Debug)]
pub struct Network {
    steps: Vec<Step>,
    slots: Vec<Buffer>,
    pool: Pool,
    level: Level,
    width: usize,
    height: usize,
}

impl Network {
    /// Reads a `.tflite` file's bytes and prepares to run it on `threads` threads, the caller's among them.
    ///
    /// # Errors
    /// When the file is damaged, is of another kind of network, or the threads cannot be had.
    pub fn load(bytes: &[u8], threads: usize) -> Result<Self, Error> {
        Self::load_at(Level::best(), bytes, threads)
    }

    /// Like [`Network::load`], for a given instruction set.
    ///
    /// # Errors
    /// As [`Network::load`].
    pub fn load_at(level: Level, bytes: &[u8], threads: usize) -> Result<Self, Error> {
        let mut graph = Graph::read(bytes)?;
        graph.fuse();
        if graph.uses(graph.output) != 1 {
            return Err(GraphError::Interface { expected: "an output that no operator reads" }.into());
        }
        let plan = Plan::new(&graph);
        let needed = plan.slot_lens.iter().sum();
        if needed > MOST_MEMORY {
            return Err(Error::Memory { needed });
        }
        let pool = Pool::new(threads).map_err(|source| Error::Threads { threads, source })?;
        let steps = graph.layers.iter().map(|layer| Step::new(level, &graph, &plan, layer)).collect();
        let slots = plan.slot_lens.iter().map(|&len| Buffer::zeroed(len)).collect();
        let input = graph.shape(graph.input);
        let mut network = Self { steps, slots, pool, level, width: input.width, height: input.height };
        // The first pass grows the threads' scratch memory to what the layers need.
        network.forward(&vec![0.0; input.len()], &mut vec![0.0; graph.shape(graph.output).len()]);
        Ok(network)
    }

    /// The input's width in pixels, and the output's.
    pub const fn input_width(&self) -> usize {
        self.width
    }

    /// The input's height in pixels, and the output's.
    pub const fn input_height(&self) -> usize {
        self.height
    }

    /// The instruction set it runs on.
    pub const fn level(&self) -> Level {
        self.level
    }

    /// The network's threads, for work before and after the forward pass.
    pub const fn pool(&mut self) -> &mut Pool {
        &mut self.pool
    }

    /// Computes each pixel's probability to be of a person.
    ///
    /// `input` is height x width x 3 (red, green, blue, from 0 to 1), `output` height x width.
    ///
    /// # Panics
    /// When a slice has not that length.
    pub fn forward(&mut self, input: &[f32], output: &mut [f32]) {
        assert_eq!(input.len(), self.width * self.height * 3, "the input has not the network's size");
        assert_eq!(output.len(), self.width * self.height, "the output has not the network's size");
        for step in &mut self.steps {
            let Image { place, len } = step.output;
            let mut slot = match place {
                Place::Slot(number) => std::mem::take(&mut self.slots[number]),
                Place::Input | Place::Output => Buffer::default(),
            };
            let target = if place == Place::Output { &mut *output } else { &mut slot[..len] };
            let sources = sources(step, &self.slots, input);
            step.run(&mut self.pool, sources, target);
            if let Place::Slot(number) = place {
                self.slots[number] = slot;
            }
        }
    }
}

fn sources<'a>(step: &Step, slots: &'a [Buffer], input: &'a [f32]) -> Sources<'a> {
    let find = |image: Image| match image.place {
        Place::Slot(number) => &slots[number][..image.len],
        Place::Input | Place::Output => input,
    };
    Sources {
        input: find(step.input),
        addend: step.addend.map(find),
        gate: step.gate.map(find),
        residual: step.residual.map(find),
    }
}

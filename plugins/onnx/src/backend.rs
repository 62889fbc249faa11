//! The backend: a graph with what goes into it and what is made of what comes out.

use std::path::Path;

use segue_nn::Pool;
use segue_plugin::{Backend, Call, Class, Error, Frame, Info, Mask, Model, Result, Stage};
use segue_tensors::{Input, Kind, Output, Reading};

use crate::{
    engine::{self, Engine, Job},
    graph::Graph,
    propose,
    settings::Settings,
};

/// What a frame is stretched from when nobody has sent one yet.
const TRIAL_SIZE_PX: (u32, u32) = (640, 360);

/// A loaded graph.
pub struct Onnx {
    pub(crate) loaded: Loaded,
    classes: Vec<Class>,
}

/// A graph that has been run once.
pub(crate) struct Loaded {
    pub(crate) engine: Box<dyn Engine>,
    pub(crate) input: Input,
    pub(crate) output: Output,
    /// The shape of its first output.
    pub(crate) gave: Vec<usize>,
    pool: Pool,
}

impl Backend for Onnx {
    fn load(model: &Model<'_>) -> Result<Self> {
        let settings = Settings::of(model)?;
        let path = model.require_weights()?;
        let loaded = Loaded::load(path, &settings, model.max_threads)
            .map_err(|error| Error::new(format!("{}: {error}", path.display())))?;
        log::debug!("{} gives {}", loaded.engine.name(), loaded.output.kind().name());
        let classes = classes(model, &loaded.output)?;
        Ok(Self { loaded, classes })
    }

    fn info(&self) -> Info {
        let has_confidence = self.loaded.output.kind() != Kind::Labels;
        let input_size_px = self.loaded.input.size_px();
        Info { input_size_px, classes: self.classes.clone(), has_confidence, memory_bytes: 0 }
    }

    fn segment(&mut self, frame: &Frame<'_>, mask: &mut Mask<'_>, call: &Call<'_>) -> Result<()> {
        self.loaded.segment(frame, mask, self.classes.len(), call)
    }

    fn propose(file: &Path) -> Result<Option<String>> {
        propose::propose(file)
    }
}

impl Loaded {
    /// Loads the graph, and runs it once to see what it gives.
    pub(crate) fn load(path: &Path, settings: &Settings, threads: usize) -> Result<Self> {
        let Settings { rules, run } = settings;
        let graph = Graph::read(path)?;
        let mut input = Input::of(&graph.inputs, rules)?;
        let name = Output::choose(&graph.outputs, rules)?.name.clone();
        let mut engine = engine::load(&Job { path, input: &input.name, output: &name, threads }, run)?;
        let mut pool = Pool::new(threads)?;
        let (width, height) = TRIAL_SIZE_PX;
        let grey = vec![127; 3 * width as usize * height as usize];
        let frame = Frame::new(&grey, width, height, 3 * width as usize).ok_or_else(|| Error::new("no trial frame"))?;
        let planes_apart = input.planes_apart;
        let (values, shape) = input.fill(&mut pool, &frame);
        let mut first = None;
        engine.run(values, shape, &mut |shape, values| {
            let reading = Reading::of(&name, graph.maker(&name), rules, planes_apart, (shape, values))?;
            first = Some((reading, shape.to_vec()));
            Ok(())
        })?;
        let (reading, gave) = first.ok_or_else(|| Error::new("the engine gave nothing"))?;
        let output = Output::new(&name, reading, rules.sampling.into());
        Ok(Self { engine, input, output, gave, pool })
    }

    fn segment(&mut self, frame: &Frame<'_>, mask: &mut Mask<'_>, classes: usize, call: &Call<'_>) -> Result<()> {
        let Self { engine, input, output, pool, .. } = self;
        let layout = input.layout((frame.width_px() as usize, frame.height_px() as usize));
        let (values, shape) = call.stage(Stage::Preprocess, || input.fill(pool, frame));
        if call.cancelled() {
            return Err(Error::Cancelled);
        }
        let forward = call.begin(Stage::Forward);
        engine.run(values, shape, &mut |shape, values| {
            forward.end();
            call.stage(Stage::Postprocess, || output.fill(pool, (shape, values), layout, mask, classes))
        })
    }
}

fn classes(model: &Model<'_>, output: &Output) -> Result<Vec<Class>> {
    match (output.kind(), model.classes.len()) {
        (Kind::Matte, 0) => Ok(vec![Class::new("background", [0, 0, 0]), Class::new("foreground", [38, 166, 255])]),
        (Kind::Labels, 0) => Err(Error::new(format!(
            "model {:?} gives class ids, and does not say of what: name its classes by `labels` or [[classes]]",
            model.name
        ))),
        (Kind::Labels, _) => Ok(model.classes.clone()),
        _ => model.classes_of(output.classes().unwrap_or(0)),
    }
}

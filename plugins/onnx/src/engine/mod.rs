//! What runs a graph.

mod library;
mod onnx_runtime;
mod rten;

use std::path::Path;

use segue_plugin::{Error, Result};
use segue_tensors::Values;

use crate::settings::{EngineName, Run};

/// A loaded graph.
pub(crate) trait Engine: Send {
    /// For people: what it is.
    fn name(&self) -> String;

    /// Runs the graph on `input`, which has this shape, and hands its output to `take`.
    fn run(&mut self, input: Values<'_>, shape: [usize; 4], take: &mut Take<'_>) -> Result<()>;
}

/// Takes a graph's output.
pub(crate) type Take<'a> = dyn FnMut(&[usize], Values<'_>) -> Result<()> + 'a;

/// What is to be loaded.
pub(crate) struct Job<'a> {
    pub(crate) path: &'a Path,
    pub(crate) input: &'a str,
    pub(crate) output: &'a str,
    pub(crate) threads: usize,
}

/// Loads the graph with the engine that `settings` name, or the first one that is here.
pub(crate) fn load(job: &Job<'_>, settings: &Run) -> Result<Box<dyn Engine>> {
    let found = match settings.engine {
        EngineName::Rten => Err(String::new()),
        _ => library::environment(settings.runtime.as_deref()),
    };
    match (settings.engine, found) {
        (EngineName::Auto | EngineName::OnnxRuntime, Ok(environment)) => {
            Ok(Box::new(onnx_runtime::Runtime::load(&environment, job, settings.device)?))
        }
        (EngineName::OnnxRuntime, Err(missing)) => Err(Error::new(format!("engine = \"onnxruntime\": {missing}"))),
        (EngineName::Auto, Err(missing)) if settings.runtime.is_some() => Err(Error::new(missing)),
        (EngineName::Auto, Err(missing)) => {
            log::info!("rten runs the graph, which is slower: {missing}");
            rten::Rten::load(job).map(boxed).map_err(|error| Error::new(format!("{error}. {missing}")))
        }
        (EngineName::Rten, _) => rten::Rten::load(job).map(boxed),
    }
}

fn boxed(engine: rten::Rten) -> Box<dyn Engine> {
    Box::new(engine)
}

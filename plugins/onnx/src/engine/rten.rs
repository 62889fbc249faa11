//! rten: an engine in Rust, for machines without ONNX Runtime.

use std::sync::Arc;

use rten::{Model, NodeId, RunOptions, ThreadPool, Value, ValueOrView};
use rten_tensor::{AsView, Layout, TensorView};
use segue_plugin::{Error, Result};

use segue_tensors::Values;

use super::{Engine, Job, Take};

pub(super) struct Rten {
    model: Model,
    input: NodeId,
    output: NodeId,
    options: RunOptions,
}

impl Rten {
    pub(super) fn load(job: &Job<'_>) -> Result<Self> {
        let said = |error: &dyn std::fmt::Display| Error::new(format!("rten: {error}"));
        let model = Model::load_file(job.path).map_err(|error| said(&error))?;
        let input = model.node_id(job.input).map_err(|error| said(&error))?;
        let output = model.node_id(job.output).map_err(|error| said(&error))?;
        let pool = ThreadPool::with_num_threads(job.threads);
        let mut options = RunOptions::default();
        options.thread_pool = Some(Arc::new(pool));
        Ok(Self { model, input, output, options })
    }
}

impl Engine for Rten {
    fn name(&self) -> String {
        "rten".into()
    }

    fn run(&mut self, input: Values<'_>, shape: [usize; 4], take: &mut Take<'_>) -> Result<()> {
        let input: ValueOrView<'_> = match input {
            Values::F32(values) => TensorView::from_data(&shape[..], values).into(),
            Values::U8(values) => TensorView::from_data(&shape[..], values).into(),
            _ => return Err(Error::new("rten takes inputs of float32 and uint8")),
        };
        let outputs = self.model.run(vec![(self.input, input)], &[self.output], Some(self.options.clone()))?;
        let Some(output) = outputs.first() else { return Err(Error::new("rten left out the output")) };
        match output {
            Value::FloatTensor(tensor) => take(tensor.shape(), Values::F32(&tensor.to_vec())),
            Value::Int32Tensor(tensor) => take(tensor.shape(), Values::I32(&tensor.to_vec())),
            Value::UInt8Tensor(tensor) => take(tensor.shape(), Values::U8(&tensor.to_vec())),
            _ => Err(Error::new("the output is of a type that is no mask")),
        }
    }
}

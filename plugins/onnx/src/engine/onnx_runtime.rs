//! Microsoft's ONNX Runtime, by its C library.

use ort::{
    environment::Environment,
    ep,
    session::{HasSelectedOutputs, OutputSelector, RunOptions, Session},
    value::{TensorElementType, TensorRef, ValueType},
};
use segue_plugin::{Error, Result};

use segue_tensors::Values;

use super::{Engine, Job, Take};
use crate::settings::Device;

pub(super) struct Runtime {
    session: Session,
    options: RunOptions<HasSelectedOutputs>,
    input: String,
    output: String,
    device: Device,
}

impl Runtime {
    pub(super) fn load(environment: &Environment, job: &Job<'_>, device: Device) -> Result<Self> {
        let said = |error: &dyn std::fmt::Display| Error::new(format!("ONNX Runtime: {error}"));
        let mut builder = Session::builder(environment).map_err(|error| said(&error))?;
        builder = builder.with_intra_threads(job.threads).map_err(|error| said(&error))?;
        // Threads that spin take the cores from other instances.
        builder = builder.with_intra_op_spinning(false).map_err(|error| said(&error))?;
        let card = || ep::CUDA::default().build();
        let providers = match device {
            Device::Cpu => Vec::new(),
            Device::Auto => vec![card().fail_silently()],
            Device::Cuda => vec![card().error_on_failure()],
        };
        builder = builder.with_execution_providers(providers).map_err(|error| {
            Error::new(format!(
                "device = \"cuda\": {error}; it takes a card, its driver, and the package onnxruntime-gpu"
            ))
        })?;
        let session = builder.commit_from_file(job.path).map_err(|error| said(&error))?;
        let selected = OutputSelector::no_default().with(job.output);
        let options = RunOptions::new().map_err(|error| said(&error))?.with_outputs(selected);
        Ok(Self { session, options, input: job.input.into(), output: job.output.into(), device })
    }
}

impl Engine for Runtime {
    fn name(&self) -> String {
        match self.device {
            Device::Cuda => "ONNX Runtime, on the card".into(),
            Device::Auto | Device::Cpu => "ONNX Runtime".into(),
        }
    }

    fn run(&mut self, input: Values<'_>, shape: [usize; 4], take: &mut Take<'_>) -> Result<()> {
        let tensor = match input {
            Values::F32(values) => TensorRef::from_array_view((shape, values))?.into_dyn(),
            Values::F16(values) => TensorRef::from_array_view((shape, values))?.into_dyn(),
            Values::U8(values) => TensorRef::from_array_view((shape, values))?.into_dyn(),
            _ => return Err(Error::new("an input of a type that no frame becomes")),
        };
        let inputs = ort::inputs![self.input.as_str() => tensor];
        let outputs = self.session.run_with_options(inputs, &self.options)?;
        let output = outputs.get(&self.output).ok_or_else(|| Error::new("ONNX Runtime left out the output"))?;
        let ValueType::Tensor { ty, shape, .. } = output.dtype() else {
            return Err(Error::new(format!("the output {:?} is no tensor", self.output)));
        };
        let shape: Vec<usize> = shape.iter().map(|&side| usize::try_from(side).unwrap_or(0)).collect();
        let values = match ty {
            TensorElementType::Float32 => Values::F32(output.try_extract_tensor()?.1),
            TensorElementType::Float16 => Values::F16(output.try_extract_tensor()?.1),
            TensorElementType::Uint8 => Values::U8(output.try_extract_tensor()?.1),
            TensorElementType::Int32 => Values::I32(output.try_extract_tensor()?.1),
            TensorElementType::Int64 => Values::I64(output.try_extract_tensor()?.1),
            TensorElementType::Bool => Values::Bool(output.try_extract_tensor()?.1),
            other => return Err(Error::new(format!("the output {:?} is of {other}, which is no mask", self.output))),
        };
        take(&shape, values)
    }
}

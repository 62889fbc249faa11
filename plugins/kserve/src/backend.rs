//! The backend: a remote model with what goes into it and what is made of what comes out.

use std::sync::Arc;

use bytes::Bytes;
use segue_nn::{Layout, Pool};
use segue_oip::{InferRequestedOutputTensor, InferTensor, ModelInferRequest};
use segue_plugin::{Backend, Call, Class, Error, Frame, Info, Mask, Model, Result, Stage};
use segue_tensors::{Element, Input, Kind, Output, Reading, Rules};

use crate::{
    remote::Remote,
    settings::{RemoteSettings, Settings},
    wire,
};

/// What the first request has.
const TRIAL_SIZE_PX: (u32, u32) = (640, 360);

/// A model on other machines.
pub struct KServe {
    remote: Arc<Remote>,
    settings: RemoteSettings,
    input: Input,
    /// Frames go as they are: the model takes pixels of any size.
    sends_frames: bool,
    output: Output,
    classes: Vec<Class>,
    pool: Pool,
}

impl Backend for KServe {
    const NEEDS_NETWORK: bool = true;

    fn load(model: &Model<'_>) -> Result<Self> {
        let Settings { rules, remote: settings } = Settings::of(model)?;
        let remote = Remote::of(&settings)?;
        let metadata = remote.metadata()?;
        let [inputs, outputs] = [&metadata.inputs, &metadata.outputs]
            .map(|tensors| tensors.iter().map(wire::described).collect::<Vec<_>>());
        let input = Input::of(&inputs, &rules)?;
        let sends_frames =
            input.element == Element::U8 && input.is_free && !input.planes_apart && rules.input_size_px.is_none();
        let name = Output::choose(&outputs, &rules)?.name.clone();
        let mut pool = Pool::new(model.max_threads)?;
        let mut this = Trial { remote: &remote, settings: &settings, input, sends_frames };
        let output = this.read_output(&name, &rules, &mut pool)?;
        let input = this.input;
        let classes = match (output.kind(), model.classes.len()) {
            (Kind::Matte, 0) => vec![Class::new("background", [0, 0, 0]), Class::new("foreground", [38, 166, 255])],
            (Kind::Labels, 0) => {
                return Err(Error::new(
                    "the model gives class ids, and does not say of what: name its classes by `labels` or [[classes]]",
                ));
            }
            (Kind::Labels, _) => model.classes.clone(),
            _ => model.classes_of(output.classes().unwrap_or(0))?,
        };
        Ok(Self { remote, settings, input, sends_frames, output, classes, pool })
    }

    fn info(&self) -> Info {
        let has_confidence = self.output.kind() != Kind::Labels;
        let input_size_px = if self.sends_frames { None } else { self.input.size_px() };
        Info { input_size_px, classes: self.classes.clone(), has_confidence, memory_bytes: 0 }
    }

    fn segment(&mut self, frame: &Frame<'_>, mask: &mut Mask<'_>, call: &Call<'_>) -> Result<()> {
        let Self { remote, settings, input, output, pool, classes, .. } = self;
        let (request, layout) =
            call.stage(Stage::Preprocess, || request(settings, input, self.sends_frames, &output.name, pool, frame))?;
        let traceparent = call.traceparent();
        let answer = || remote.infer(&request, traceparent.as_deref(), || call.cancelled());
        let response = call.stage(Stage::Forward, answer)?;
        call.stage(Stage::Postprocess, || {
            let name = output.name.clone();
            wire::read(&response, &name, |shape, values| {
                output.fill(pool, (shape, values), layout, mask, classes.len())
            })
        })
    }
}

/// A model that is being loaded: what it gives is not known yet.
struct Trial<'a> {
    remote: &'a Remote,
    settings: &'a RemoteSettings,
    input: Input,
    sends_frames: bool,
}

impl Trial<'_> {
    /// Sends a grey frame, and looks at what comes back.
    fn read_output(&mut self, name: &str, rules: &Rules, pool: &mut Pool) -> Result<Output> {
        let (width, height) = TRIAL_SIZE_PX;
        let grey = vec![127; 3 * width as usize * height as usize];
        let frame = Frame::new(&grey, width, height, 3 * width as usize).ok_or_else(|| Error::new("no trial frame"))?;
        let (request, _) = request(self.settings, &mut self.input, self.sends_frames, name, pool, &frame)?;
        let response = self.remote.infer(&request, None, || false)?;
        let planes_apart = self.input.planes_apart;
        let reading =
            wire::read(&response, name, |shape, values| Reading::of(name, "", rules, planes_apart, (shape, values)))?;
        Ok(Output::new(name, reading, rules.sampling.into()))
    }
}

/// The request for a frame, and where it lies in the model's input.
fn request(
    settings: &RemoteSettings,
    input: &mut Input,
    sends_frame: bool,
    output: &str,
    pool: &mut Pool,
    frame: &Frame<'_>,
) -> Result<(ModelInferRequest, Layout)> {
    let (width, height) = (frame.width_px() as usize, frame.height_px() as usize);
    let (name, element) = (input.name.clone(), input.element.clone());
    let (layout, raw, shape) = if sends_frame {
        let shape = [1, height, width, 3];
        (Layout::whole((width, height)), packed(frame), shape)
    } else {
        let layout = input.layout((width, height));
        let (values, shape) = input.fill(pool, frame);
        (layout, wire::to_raw(values)?, shape)
    };
    let tensor = InferTensor {
        name,
        datatype: wire::name_of(&element).into(),
        shape: shape.map(|side| side as i64).into(),
        ..InferTensor::default()
    };
    let request = ModelInferRequest {
        model_name: settings.model.clone(),
        model_version: settings.version.clone(),
        inputs: vec![tensor],
        outputs: vec![InferRequestedOutputTensor { name: output.into(), ..Default::default() }],
        raw_input_contents: vec![raw],
        ..ModelInferRequest::default()
    };
    Ok((request, layout))
}

/// The frame's rows without gaps.
fn packed(frame: &Frame<'_>) -> Bytes {
    let row_len = 3 * frame.width_px() as usize;
    if frame.stride_bytes() == row_len {
        return Bytes::copy_from_slice(&frame.bytes()[..row_len * frame.height_px() as usize]);
    }
    (0..frame.height_px()).flat_map(|y| frame.row(y).iter().copied()).collect()
}

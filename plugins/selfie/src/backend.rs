//! The plugin: from a frame to the network's input, through the network, to labels and confidences.

use segue_nn::{LabelUpsampler, Layout, Normalisation, Preprocessor, RgbFrame};
use segue_plugin::{Backend, Call, Class, Error, Frame, Info, Mask, Model, Result, Stage, export_backend};
use serde::Deserialize;

use crate::network::Network;

/// It has no settings yet; an unknown key is an error all the same.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {}

struct Selfie {
    network: Network,
    preprocessor: Preprocessor,
    upsampler: LabelUpsampler,
    classes: Vec<Class>,
    input: Vec<f32>,
    probabilities: Vec<f32>,
    /// Where confidences go when nobody asked for them.
    unasked: Vec<u8>,
}

impl Backend for Selfie {
    fn load(model: &Model<'_>) -> Result<Self> {
        let Settings {} = model.settings()?;
        let path = model.require_weights()?;
        let named = |error: &dyn std::error::Error| Error::new(format!("{}: {error}", path.display()));
        let bytes = std::fs::read(path).map_err(|error| named(&error))?;
        let network = Network::load(&bytes, model.max_threads).map_err(|error| named(&error))?;
        let (width, height) = (network.input_width(), network.input_height());
        log::debug!("Loaded a {width}x{height} network on {:?} with {} threads", network.level(), model.max_threads);
        Ok(Self {
            preprocessor: Preprocessor::new(network.level(), Normalisation::UNIT),
            upsampler: LabelUpsampler::new(network.level()),
            classes: classes(model)?,
            input: vec![0.0; 3 * width * height],
            probabilities: vec![0.0; width * height],
            unasked: Vec::new(),
            network,
        })
    }

    fn info(&self) -> Info {
        let size = (self.network.input_width() as u32, self.network.input_height() as u32);
        Info { input_size_px: Some(size), classes: self.classes.clone(), has_confidence: true, memory_bytes: 0 }
    }

    fn segment(&mut self, frame: &Frame<'_>, mask: &mut Mask<'_>, call: &Call<'_>) -> Result<()> {
        let size = (self.network.input_width(), self.network.input_height());
        let layout = Layout::whole(size);
        let pixels = RgbFrame {
            bytes: frame.bytes(),
            width: frame.width_px() as usize,
            height: frame.height_px() as usize,
            stride: frame.stride_bytes(),
        };
        call.stage(Stage::Preprocess, || self.preprocessor.run(self.network.pool(), pixels, layout, &mut self.input));
        if call.cancelled() {
            return Err(Error::Cancelled);
        }
        call.stage(Stage::Forward, || self.network.forward(&self.input, &mut self.probabilities));
        call.stage(Stage::Postprocess, || {
            let confidences = match &mut mask.confidence {
                Some(asked) => &mut **asked,
                None => {
                    self.unasked.resize(mask.labels.len(), 0);
                    &mut self.unasked[..]
                }
            };
            let mask_size = (mask.width_px as usize, mask.height_px as usize);
            let pool = self.network.pool();
            self.upsampler.run(pool, &self.probabilities, size, mask_size, mask.labels, confidences);
        });
        Ok(())
    }
}

/// The catalog's classes; the network tells two apart.
fn classes(model: &Model<'_>) -> Result<Vec<Class>> {
    match model.classes.len() {
        0 => Ok(vec![Class::new("background", [0, 0, 0]), Class::new("person", [38, 166, 255])]),
        2 => Ok(model.classes.clone()),
        count => Err(Error::new(format!("model {:?} names {count} classes, and the network has 2", model.name))),
    }
}

export_backend!(Selfie, "selfie");

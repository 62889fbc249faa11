//! The `@NAME@` backend.
//!
//! It tells warm pixels from cold ones, until you put your model in at the three places marked HERE.

use segue_plugin::{Backend, Call, Class, Error, Frame, Info, Mask, Model, Result, Stage, export_backend};
use serde::Deserialize;

/// The `[settings]` of `models/@NAME@.toml`, and of the modes that use it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// By how much the red of a warm pixel exceeds its blue, -255 to 255.
    #[serde(default)]
    margin: i16,
}

/// One loaded model. The server makes several, and calls each from one thread at a time.
struct Segmenter {
    margin: i16,
}

impl Backend for Segmenter {
    fn load(model: &Model<'_>) -> Result<Self> {
        let Settings { margin } = model.settings()?;
        // HERE: read the weights at `model.require_weights()?`.
        log::info!("Loaded {} with margin {margin}", model.name);
        Ok(Self { margin })
    }

    fn info(&self) -> Info {
        // HERE: name the classes, by id. A class called `background` is left undrawn.
        let classes = vec![Class::new("background", [0, 0, 0]), Class::new("warm", [255, 120, 0])];
        Info { input_size_px: None, classes, has_confidence: false, memory_bytes: 0 }
    }

    fn segment(&mut self, frame: &Frame<'_>, mask: &mut Mask<'_>, call: &Call<'_>) -> Result<()> {
        // HERE: run the model. `segue_plugin::preprocess` makes a network's input of a frame; enlarge its scores to the
        // size of the mask before you take the best class.
        call.stage(Stage::Forward, || {
            for y in 0..mask.height_px {
                if call.cancelled() {
                    return Err(Error::Cancelled);
                }
                self.segment_row(frame, mask, y);
            }
            Ok(())
        })
    }
}

impl Segmenter {
    /// Row `y` of the mask, which may be smaller or larger than the frame: each pixel takes the nearest one.
    fn segment_row(&self, frame: &Frame<'_>, mask: &mut Mask<'_>, y: u32) {
        let nearest = |at: u32, of: u32, from: u32| (u64::from(at) * u64::from(of) / u64::from(from)) as u32;
        let frame_y = nearest(y, frame.height_px(), mask.height_px);
        let row = &mut mask.labels[y as usize * mask.width_px as usize..][..mask.width_px as usize];
        for (x, label) in (0..).zip(row) {
            let [red, _, blue] = frame.pixel(nearest(x, frame.width_px(), mask.width_px), frame_y);
            *label = u8::from(i16::from(red) - i16::from(blue) > self.margin);
        }
    }
}

export_backend!(Segmenter, "@NAME@");

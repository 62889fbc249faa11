//! The smallest useful backend: it tells bright pixels from dark ones. Copy it to start your own.
use segue_plugin::{Backend, Call, Class, Frame, Info, Mask, Model, Result, Stage, export_backend};
use serde::Deserialize;

/// The `[settings]` of a model or mode that uses this backend.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Pixels brighter than this, 0 to 255, are bright.
    #[serde(default = "half")]
    threshold: u8,
}

fn half() -> u8 {
    128
}

struct Brightness {
    threshold: u8,
}

impl Backend for Brightness {
    fn load(model: &Model<'_>) -> Result<Self> {
        let Settings { threshold } = model.settings()?;
        log::info!("Loaded with threshold {threshold}");
        Ok(Self { threshold })
    }

    fn info(&self) -> Info {
        let classes = vec![Class::new("dark", [0, 0, 0]), Class::new("bright", [255, 200, 0])];
        Info { input_size_px: None, classes, has_confidence: true, memory_bytes: 0 }
    }

    fn segment(&mut self, frame: &Frame<'_>, mask: &mut Mask<'_>, call: &Call<'_>) -> Result<()> {
        call.stage(Stage::Forward, || {
            for at in 0..mask.labels.len() {
                // The mask may be smaller or larger than the frame: take the nearest pixel.
                let (x, y) = (at as u32 % mask.width_px, at as u32 / mask.width_px);
                let x = (u64::from(x) * u64::from(frame.width_px()) / u64::from(mask.width_px)) as u32;
                let y = (u64::from(y) * u64::from(frame.height_px()) / u64::from(mask.height_px)) as u32;
                let brightness = (frame.pixel(x, y).iter().map(|&part| u16::from(part)).sum::<u16>() / 3) as u8;
                mask.labels[at] = u8::from(brightness > self.threshold);
                if let Some(confidence) = &mut mask.confidence {
                    confidence[at] = 127 + brightness.abs_diff(self.threshold) / 2;
                }
            }
        });
        Ok(())
    }
}

export_backend!(Brightness, "brightness");

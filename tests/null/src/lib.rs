//! A backend that computes nothing: each frame gets the same mask, of somebody before a camera.

use segue_plugin::{Backend, Call, Class, Frame, Info, Mask, Model, Result, Stage, export_backend};

struct Null {
    /// The mask of the last frame, and how wide it is.
    mask: Vec<u8>,
    width_px: u32,
}

impl Backend for Null {
    fn load(_model: &Model<'_>) -> Result<Self> {
        Ok(Self { mask: Vec::new(), width_px: 0 })
    }

    fn info(&self) -> Info {
        let classes = vec![Class::new("background", [0, 0, 0]), Class::new("person", [255, 0, 0])];
        Info { input_size_px: None, classes, has_confidence: false, memory_bytes: 0 }
    }

    fn segment(&mut self, _frame: &Frame<'_>, mask: &mut Mask<'_>, call: &Call<'_>) -> Result<()> {
        call.stage(Stage::Forward, || {
            if (self.width_px, self.mask.len()) != (mask.width_px, mask.labels.len()) {
                self.width_px = mask.width_px;
                self.mask = silhouette(mask.width_px, mask.height_px);
            }
            mask.labels.copy_from_slice(&self.mask);
        });
        Ok(())
    }
}

/// Head and shoulders, with an edge that is as rough as a network's.
fn silhouette(width_px: u32, height_px: u32) -> Vec<u8> {
    let is_person = |x: f32, y: f32| {
        let rough = 0.006 * ((90.0 * y).sin() + (37.0 * x + 61.0 * y).sin());
        let head = (x / 0.16).hypot((y + 0.15) / 0.24) + rough < 1.0;
        let shoulders = y > 0.1 && (x / 0.42).hypot((y - 0.6) / 0.5) + rough < 1.0;
        head || shoulders
    };
    let (width, height) = (width_px as f32, height_px as f32);
    let places = (0..height_px).flat_map(|y| (0..width_px).map(move |x| (x as f32, y as f32)));
    places.map(|(x, y)| u8::from(is_person((x - 0.5 * width) / height, y / height - 0.5))).collect()
}

export_backend!(Null, "null");

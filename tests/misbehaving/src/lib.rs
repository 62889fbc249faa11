//! A backend that misbehaves as the width of the frame tells it to; the scenarios look at what it costs.

use std::{collections::BTreeMap, path::Path, thread::sleep, time::Duration};

use segue_plugin::{Backend, Call, Class, Error, Frame, Info, Mask, Model, Result, Stage, export_backend};

/// Frames of this width make it panic.
const PANICS_AT_WIDTH: u32 = 101;
/// Frames of this width make it fail with a reason.
const FAILS_AT_WIDTH: u32 = 102;
/// Frames of this width make it name a class that it has not.
const LIES_AT_WIDTH: u32 = 103;
/// Frames of this width wait at the gate.
const WAITS_AT_WIDTH: u32 = 104;

/// `gate` names the file for which frames wait, `load_gate` the one for which loading does.
type Settings = BTreeMap<String, String>;

struct Misbehaving {
    segmented: u64,
    settings: Settings,
}

/// Waits until the file that the setting `name` names is there, unless nobody waits for this to end.
fn wait_at(settings: &Settings, name: &str, is_cancelled: impl Fn() -> bool) {
    let Some(gate) = settings.get(name) else { return };
    log::warn!("Waits at the {name}");
    while !Path::new(gate).exists() && !is_cancelled() {
        sleep(Duration::from_millis(1));
    }
}

impl Backend for Misbehaving {
    fn load(model: &Model<'_>) -> Result<Self> {
        let settings = model.settings()?;
        wait_at(&settings, "load_gate", || false);
        log::warn!("Loaded {}, expect the worst", model.name);
        Ok(Self { segmented: 0, settings })
    }

    fn info(&self) -> Info {
        let classes = vec![Class::new("nothing", [0, 0, 0]), Class::new("something", [255, 0, 0])];
        Info { input_size_px: None, classes, has_confidence: false, memory_bytes: 0 }
    }

    fn segment(&mut self, frame: &Frame<'_>, mask: &mut Mask<'_>, call: &Call<'_>) -> Result<()> {
        self.segmented += 1;
        call.stage(Stage::Forward, || match frame.width_px() {
            PANICS_AT_WIDTH => panic!("frame {} is too much", self.segmented),
            FAILS_AT_WIDTH => Err(Error::new("frames of this width are not to its taste")),
            width => {
                if width == WAITS_AT_WIDTH {
                    wait_at(&self.settings, "gate", || call.cancelled());
                }
                mask.labels.fill(if width == LIES_AT_WIDTH { 200 } else { 1 });
                Ok(())
            }
        })
    }
}

export_backend!(Misbehaving, "misbehaving");

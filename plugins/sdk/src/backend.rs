//! The trait that every backend implements.

use std::path::Path;

use crate::{Call, Frame, Mask, Model, Result};

/// A segmentation backend: one loaded, executable copy of a model.
///
/// The server calls an instance from one thread at a time and makes as many instances as it runs at once; what
/// instances may share (weights, for instance) is for the backend to share.
pub trait Backend: Send + Sized + 'static {
    /// Whether it calls other machines: its processes may use the network then.
    const NEEDS_NETWORK: bool = false;

    /// Loads the model. May take long; no frame waits for it.
    fn load(model: &Model<'_>) -> Result<Self>;

    /// What the loaded model is. Asked once, after [`load`](Self::load).
    fn info(&self) -> Info;

    /// Segments `frame` into `mask`, which has the size that the server will send: upsample scores to it, then
    /// take the argmax. Every pixel is to be written.
    fn segment(&mut self, frame: &Frame<'_>, mask: &mut Mask<'_>, call: &Call<'_>) -> Result<()>;

    /// Pays once for what the first frames would otherwise pay for.
    fn warm_up(&mut self) -> Result<()> {
        Ok(())
    }

    /// Forgets what the instance keeps of `session`.
    fn reset(&mut self, session: u64) {
        let _ = session;
    }

    /// What `segue models inspect` shows: an entry of the catalog, as TOML, for the model in `file`. `None` when that is
    /// not a kind of file that this backend reads.
    fn propose(file: &Path) -> Result<Option<String>> {
        let _ = file;
        Ok(None)
    }
}

/// A class that a model tells apart. One that is labelled `background` is left as the camera took it in every view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// Its name, for people.
    pub label: String,
    /// Its colour: red, green, blue.
    pub colour: [u8; 3],
}

impl Class {
    /// A class of this name and colour.
    pub fn new(label: impl Into<String>, colour: [u8; 3]) -> Self {
        Self { label: label.into(), colour }
    }

    /// A class that nobody has named, in a colour that differs from those of the classes before.
    pub fn numbered(class: usize) -> Self {
        let byte = |factor: usize| (class * factor % 256) as u8;
        Self::new(format!("class {class}"), [byte(67), byte(113), byte(199)])
    }
}

/// What a loaded model is.
#[derive(Clone, Debug)]
pub struct Info {
    /// Width and height of the network's input in pixels; `None` when any size will do.
    pub input_size_px: Option<(u32, u32)>,
    /// Its classes by id, 1 to 256 of them.
    pub classes: Vec<Class>,
    /// Whether [`Mask::confidence`] is filled when it is asked for.
    pub has_confidence: bool,
    /// Memory that the instance holds, in bytes; 0 when unknown.
    pub memory_bytes: u64,
}

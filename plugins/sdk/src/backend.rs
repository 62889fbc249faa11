//! The trait that every backend implements.

use crate::{Call, Frame, Mask, Model, Result};

/// A segmentation backend: one loaded, executable copy of a model.
///
/// The server calls an instance from one thread at a time and makes as many instances as it runs at once; what
/// instances may share (weights, for instance) is for the backend to share.
pub trait Backend: Send + Sized + 'static {
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

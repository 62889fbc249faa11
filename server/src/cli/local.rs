//! A mode in this process, for commands that need no server.

use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::{Builder, Runtime};
use tracing_appender::non_blocking::WorkerGuard;

use super::{
    Failure,
    places::{PlaceArguments, ProfileArguments},
};
use crate::{
    config::{Line, LogFormat, Profile},
    model::{LoadedModel, Mode, Modes, Registry},
    pipeline::{Accepts, Desk, EncodedFrame, EncodedMask, HEADROOM_LEN_BYTES, Settings, Wanted},
    telemetry::{FrameTrace, TraceStart, start_log},
};

/// Modes that are loaded here, each with one instance.
pub(super) struct Local {
    runtime: Runtime,
    settings: Settings,
    modes: Modes,
    _registry: Registry,
    _log: WorkerGuard,
}

/// Class ids of one picture, and the trace of making them.
pub(super) struct Labels {
    pub(super) ids: Vec<u8>,
    pub(super) width_px: u32,
    pub(super) height_px: u32,
    pub(super) trace: FrameTrace,
}

impl Local {
    /// Begins to load the modes `names` of a profile; `retune` has a say in the profile.
    pub(super) fn load(
        profile: &ProfileArguments,
        places: &PlaceArguments,
        names: &[String],
        retune: impl FnOnce(&mut Profile),
    ) -> Result<Self, Failure> {
        let mut profile = profile.load()?.profile;
        let log = start_log("warn", LogFormat::Text).map_err(Failure::wrong_usage)?;
        let known: Vec<_> = profile.modes.keys().cloned().collect();
        if let Some(name) = names.iter().find(|name| !known.contains(name)) {
            return Err(Failure::wrong_usage(format!("there is no mode {name:?}; there are: {}", known.join(", "))));
        }
        profile.modes.retain(|mode, _| names.contains(mode));
        // Pictures come one by one.
        profile.modes.values_mut().for_each(|mode| mode.instances = 1);
        retune(&mut profile);
        let registry = Registry::new(&places.places()?, Arc::default(), |step| eprintln!("{step}"));
        let modes = registry.modes(&profile.modes, &names[0], &[]);
        let runtime = Builder::new_current_thread().enable_time().build().map_err(Failure::does_not_hold)?;
        let settings = Settings { result: profile.result, limits: profile.limits };
        Ok(Self { runtime, settings, modes, _registry: registry, _log: log })
    }

    /// The largest picture that is read, in bytes.
    pub(super) fn largest_picture_len_bytes(&self) -> u64 {
        self.settings.limits.max_upload_len_bytes as u64
    }

    /// The mode `name`, loaded.
    pub(super) fn mode(&self, name: &str) -> Result<(Arc<Mode>, Arc<LoadedModel>), Failure> {
        let mode = Arc::clone(self.modes.get(name).map_err(Failure::wrong_usage)?);
        let model = self.runtime.block_on(mode.ready());
        let model = model.map_err(|fault| Failure::does_not_hold(format!("mode {name}: {}", fault.reason)))?;
        Ok((mode, model))
    }

    /// Segments one picture.
    pub(super) fn segment(
        &self,
        mode: &Mode,
        bytes: Vec<u8>,
        wanted: Wanted,
    ) -> Result<(EncodedMask, FrameTrace), Failure> {
        self.runtime.block_on(async {
            let lease = mode.lease(Line::First).await;
            let lease = lease.map_err(|reason| Failure::does_not_hold(format!("mode {}: {reason}", mode.name)))?;
            let frame = EncodedFrame {
                id: 0,
                session: 0,
                captured_at_micros: 0,
                bytes: Bytes::from(bytes),
                accepts: Accepts::AnyPicture,
            };
            let trace = FrameTrace::unrecorded(TraceStart::default());
            let (result, trace) = Desk::default().run(lease, frame, trace, self.settings, wanted).await;
            Ok((
                result.map_err(Failure::does_not_hold)?,
                trace.ok_or_else(|| Failure::does_not_hold("its work broke off"))?,
            ))
        })
    }

    /// The class of each pixel of one picture.
    pub(super) fn labels(&self, mode: &Mode, bytes: Vec<u8>) -> Result<Labels, Failure> {
        let (encoded, trace) = self.segment(mode, bytes, Wanted::Png)?;
        let (ids, width_px, height_px) =
            read_ids(&encoded.bytes[HEADROOM_LEN_BYTES..]).map_err(Failure::does_not_hold)?;
        Ok(Labels { ids, width_px, height_px, trace })
    }
}

/// Class ids, width and height of an indexed or greyscale PNG.
pub(super) fn read_ids(content: &[u8]) -> Result<(Vec<u8>, u32, u32), String> {
    let broken = |error: png::DecodingError| format!("is no PNG that can be read: {error}");
    let mut reader = png::Decoder::new(std::io::Cursor::new(content)).read_info().map_err(broken)?;
    let (colour, depth) = reader.output_color_type();
    if !matches!(colour, png::ColorType::Indexed | png::ColorType::Grayscale) || depth != png::BitDepth::Eight {
        return Err(format!(
            "is a PNG of {colour:?} in {depth:?} bits; expected class ids, indexed or grey, in 8 bits"
        ));
    }
    let mut ids = vec![0; reader.output_buffer_size().ok_or("is too large")?];
    let info = reader.next_frame(&mut ids).map_err(broken)?;
    Ok((ids, info.width, info.height))
}

/// Where `label` is among `labels`; upper and lower case are alike.
pub(super) fn position(labels: &[String], label: &str) -> Option<usize> {
    labels.iter().position(|known| known.eq_ignore_ascii_case(label))
}

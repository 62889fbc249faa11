//! `segue segment`: one picture, without a server.

use std::{fs, path::PathBuf, sync::Arc};

use bytes::Bytes;
use clap::Args;

use super::{
    CliResult, Failure,
    places::{PlaceArguments, ProfileArguments},
};
use crate::{
    file,
    model::{Mode, Registry},
    pipeline::{self, Accepts, EncodedFrame, HEADROOM_LEN_BYTES, OutputView, Wanted},
    telemetry::{FrameTrace, start_log},
};

/// Arguments of `segue segment`.
#[derive(Debug, Args)]
#[command(
    override_usage = "segue segment [OPTIONS] <IMAGE> (-o <OUT> | --json)",
    after_help = "Examples:\n  segue segment me.jpg --mode fast -o mask.png\n  \
    segue segment me.jpg --view filled -o drawn.jpg\n  segue segment me.jpg --json | jq .classes\n\n\
    A mask is an indexed PNG: each pixel's index is its class id, its palette the classes' colours."
)]
pub(super) struct Segment {
    /// The picture: JPEG, PNG or WebP
    image: PathBuf,
    /// Mode to segment with; the profile's default mode when not given
    #[arg(long, value_name = "M")]
    mode: Option<String>,
    /// What to write: the mask (PNG), or a picture with the mask drawn in (JPEG)
    #[arg(long, value_enum, default_value_t = OutputView::Mask)]
    view: OutputView,
    /// Where to write it
    #[arg(short, long, value_name = "OUT", required_unless_present = "json")]
    output: Option<PathBuf>,
    /// Print classes, shares, stage times and the mask's runs as JSON instead
    #[arg(long, conflicts_with_all = ["output", "view"])]
    json: bool,
    #[command(flatten)]
    profile: ProfileArguments,
    #[command(flatten)]
    places: PlaceArguments,
}

impl Segment {
    pub(super) fn run(self) -> CliResult {
        let mut profile = self.profile.load()?.profile;
        start_log("warn").map_err(Failure::wrong_usage)?;
        let name = self.mode.clone().unwrap_or_else(|| profile.server.default_mode.clone());
        let known: Vec<_> = profile.modes.keys().cloned().collect();
        profile.modes.retain(|mode, _| *mode == name);
        if profile.modes.is_empty() {
            let known = known.join(", ");
            return Err(Failure::wrong_usage(format!("there is no mode {name:?}; there are: {known}")));
        }
        // One picture needs one instance.
        profile.modes.values_mut().for_each(|mode| mode.instances = 1);
        let bytes = file::read(&self.image, profile.limits.max_upload_len_bytes as u64)
            .map_err(|error| Failure::does_not_hold(format!("{}: {error}", self.image.display())))?;
        let settings = pipeline::Settings { result: profile.result, limits: profile.limits };
        let registry = Registry::new(&self.places.places()?, Arc::default(), |step| eprintln!("{step}"));
        let modes = registry.modes(&profile.modes, &name, &[]);
        let encoded = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(Failure::does_not_hold)?
            .block_on(segment(modes.default_mode(), settings, bytes, self.wanted()))?;
        self.write(&encoded[HEADROOM_LEN_BYTES..])
    }

    fn wanted(&self) -> Wanted {
        match self.view.picture() {
            _ if self.json => Wanted::Json,
            Some(picture) => Wanted::Picture(picture),
            None => Wanted::Png,
        }
    }

    fn write(&self, content: &[u8]) -> CliResult {
        let Some(path) = &self.output else {
            println!("{}", String::from_utf8_lossy(content));
            return Ok(());
        };
        fs::write(path, content).map_err(|error| Failure::does_not_hold(format!("{}: {error}", path.display())))
    }
}

async fn segment(
    mode: &Mode,
    settings: pipeline::Settings,
    bytes: Vec<u8>,
    wanted: Wanted,
) -> Result<Vec<u8>, Failure> {
    let lease = mode.lease().await;
    let lease = lease.map_err(|reason| Failure::does_not_hold(format!("mode {}: {reason}", mode.name)))?;
    let frame = EncodedFrame {
        id: 0,
        session: 0,
        captured_at_micros: 0,
        bytes: Bytes::from(bytes),
        accepts: Accepts::AnyPicture,
        trace: FrameTrace::start([0; 16], 0),
    };
    pipeline::run(lease, frame, settings, wanted).await.map(|encoded| encoded.bytes).map_err(Failure::does_not_hold)
}

//! `segue segment`: one picture, without a server.

use std::{fs, path::PathBuf};

use clap::Args;

use super::{
    CliResult, Failure,
    local::Local,
    places::{PlaceArguments, ProfileArguments},
};
use crate::{
    file,
    pipeline::{HEADROOM_LEN_BYTES, OutputView, Wanted},
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
        let name = match &self.mode {
            Some(name) => name.clone(),
            None => self.profile.load()?.profile.server.default_mode,
        };
        let local = Local::load(&self.profile, &self.places, std::slice::from_ref(&name), |_| {})?;
        let bytes = file::read(&self.image, local.largest_picture_len_bytes())
            .map_err(|error| Failure::does_not_hold(format!("{}: {error}", self.image.display())))?;
        let (mode, _) = local.mode(&name)?;
        self.write(&local.segment(&mode, bytes, self.wanted())?.0.bytes[HEADROOM_LEN_BYTES..])
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

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
    pipeline::{Drawing, HEADROOM_LEN_BYTES, Look, OutputView, Wanted, read_classes, read_opacity},
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
    /// How strongly colours cover the picture, 0 to 1
    #[arg(long, value_name = "O", default_value_t = Look::OPACITY, value_parser = read_opacity)]
    opacity: f64,
    /// The classes to draw, ids or labels between commas; all of them when not given
    #[arg(long, value_name = "LIST")]
    classes: Option<String>,
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
        let (mode, model) = local.mode(&name)?;
        let wanted = self.wanted(&model.info.labels)?;
        self.write(&local.segment(&mode, bytes, wanted)?.0.bytes[HEADROOM_LEN_BYTES..])
    }

    fn wanted(&self, labels: &[String]) -> Result<Wanted, Failure> {
        let view = match self.view.picture() {
            _ if self.json => return Ok(Wanted::Json),
            None => return Ok(Wanted::Png),
            Some(view) => view,
        };
        let drawing = Drawing { view, opacity: self.opacity, classes: self.classes.as_deref().map(read_classes) };
        match drawing.first_unknown(labels) {
            Some(unknown) => Err(Failure::wrong_usage(format!("there is no class {unknown} in this mode"))),
            None => Ok(Wanted::Picture(drawing.look(labels))),
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

//! `segue bench reload`.

use std::{fs, path::Path, sync::Arc, time::Duration};

use clap::Args;
use indicatif::ProgressBar;
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, timeout},
};

use super::live::{Client, Frames, Heard, Server, WAITING, quantile, test_picture};
use crate::{
    cli::{
        CliResult, Failure,
        places::{PlaceArguments, ProfileArguments},
    },
    config::{Layers, Place},
};

/// From edit to limits, for 99 of 100.
const TARGET_MILLIS: f64 = 100.0;

/// An edit that no client heard of by now was missed.
const MISSED_AFTER: Duration = Duration::from_secs(10);

/// From one frame of a client to the next.
const PACE: Duration = Duration::from_millis(33);

/// The profile that is edited.
const EDITED: &str = "edited-by-bench";

/// Arguments of `segue bench reload`.
#[derive(Debug, Args)]
#[command(
    after_help = "Starts a server of its own on a free port, with a copy of the profiles, and edits that in place. The time runs from \
    the end of the write to the `limits` message at each client. Ends with 1 unless p99 is below 100 ms and no frame is lost."
)]
pub(super) struct Reload {
    /// How many edits
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    edits: u32,
    /// How many clients, each sending 30 frames a second
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    clients: u32,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    profile: ProfileArguments,
    #[command(flatten)]
    places: PlaceArguments,
}

impl Reload {
    pub(in crate::cli) fn run(self) -> CliResult {
        let loaded = self.profile.load()?;
        let origin = loaded.origins.of("capture.jpeg_quality");
        if let Some(Place::Layer(layer)) = origin {
            return Err(Failure::wrong_usage(format!("{layer} hides the edits of capture.jpeg_quality; leave it out")));
        }
        let profiles = copy_profiles(&self.profile.layers())?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(Failure::does_not_hold)?;
        let (millis, frames) = runtime.block_on(self.measure(profiles.path()))?;
        self.report(millis, frames, loaded.profile.reload.settle_millis)
    }

    /// Milliseconds from each edit to each client, and what became of all frames.
    async fn measure(&self, profiles: &Path) -> Result<(Vec<f64>, Frames), Failure> {
        edit(profiles, &self.profile.layers().profile, 0)?;
        let overrides = self.profile.layers().overrides;
        let server = Server::start(profiles, EDITED, &self.places.places()?, &overrides).await?;
        let (stop, stopping) = watch::channel(false);
        let (limits, mut received) = mpsc::channel(WAITING);
        let pictures: Arc<[_]> = [test_picture(640, 360)?].into();
        let start = |_| {
            let client = Client::polite(server.target(), Arc::clone(&pictures), PACE, None);
            let limits = limits.clone();
            tokio::spawn(client.run(stopping.clone(), move |heard| tell_limits(&limits, heard)))
        };
        let clients: Vec<_> = (0..self.clients).map(start).collect();
        drop((limits, stopping));
        let millis = self.edit_and_time(profiles, &mut received).await;
        stop.send_replace(true);
        let mut all = Frames::default();
        for client in clients {
            all += client.await.map_err(Failure::does_not_hold)??;
        }
        Ok((millis?, all))
    }

    async fn edit_and_time(
        &self,
        profiles: &Path,
        received: &mut mpsc::Receiver<(Instant, Value)>,
    ) -> Result<Vec<f64>, Failure> {
        let base = self.profile.layers().profile;
        let bar = ProgressBar::new(self.edits.into());
        let mut millis = Vec::new();
        // Frames flow before the first edit.
        tokio::time::sleep(10 * PACE).await;
        for number in 1..=self.edits {
            let quality = edit(profiles, &base, number)?;
            let start = Instant::now();
            for _client in 0..self.clients {
                let missed = || Failure::does_not_hold(format!("edit {number} was missed"));
                let heard = timeout(MISSED_AFTER, received.recv()).await.ok().flatten().ok_or_else(missed)?;
                let (at, limits) = heard;
                if limits["jpeg_quality"] != json!(quality) {
                    return Err(Failure::does_not_hold(format!("after edit {number} a client heard {limits}")));
                }
                millis.push(1e3 * at.duration_since(start).as_secs_f64());
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(millis)
    }

    fn report(&self, mut millis: Vec<f64>, frames: Frames, settle_millis: u64) -> CliResult {
        millis.sort_by(f64::total_cmp);
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| quantile(&millis, share));
        let lost = frames.sent - frames.answered;
        let figures: Value = json!({
            "edits": self.edits, "clients": self.clients, "p50_millis": p50, "p99_millis": p99, "max_millis": max,
            "settle_millis": settle_millis, "p50_over_settle": p50 / settle_millis as f64,
            "frames_sent": frames.sent, "frames_answered": frames.answered, "frames_dropped": frames.dropped,
        });
        if self.json {
            println!("{figures}");
        } else {
            println!(
                "From edit to limits, {} edits, {} clients: p50 {p50:.1} ms, p99 {p99:.1} ms, max {max:.1} ms",
                self.edits, self.clients
            );
            println!(
                "of which {settle_millis} ms are the settle time; {} frames flowed, {lost} were lost",
                frames.sent
            );
        }
        if lost > 0 || p99 >= TARGET_MILLIS {
            return Err(Failure::does_not_hold(format!("expected p99 below {TARGET_MILLIS} ms and no frame lost")));
        }
        Ok(())
    }
}

/// The profiles in a folder of their own.
fn copy_profiles(layers: &Layers) -> Result<tempfile::TempDir, Failure> {
    let copy = || -> std::io::Result<_> {
        let folder = tempfile::tempdir()?;
        for name in crate::config::profile_names(&layers.directory)? {
            let file = format!("{name}.toml");
            fs::copy(layers.directory.join(&file), folder.path().join(&file))?;
        }
        Ok(folder)
    };
    copy().map_err(|error| Failure::does_not_hold(format!("{}: {error}", layers.directory.display())))
}

/// Writes the profile so that edit `number` differs from the one before; its quality.
fn edit(profiles: &Path, base: &str, number: u32) -> Result<u32, Failure> {
    let quality = 50 + number % 2;
    let text = format!("extends = \"{base}\"\n[capture]\njpeg_quality = {quality}\n");
    let path = profiles.join(format!("{EDITED}.toml"));
    fs::write(&path, text).map_err(|error| Failure::does_not_hold(format!("{}: {error}", path.display())))?;
    Ok(quality)
}

fn tell_limits(limits: &mpsc::Sender<(Instant, Value)>, heard: Heard) {
    if let Heard::Text(text) = heard
        && text["type"] == "limits"
    {
        // Nobody reads on once the benchmark ends.
        let _ = limits.try_send((Instant::now(), text));
    }
}

//! `segue bench`: clients as the page is one, and what they saw of a running server.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use image::{RgbImage, imageops::thumbnail};
use serde_json::Value;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};

use super::{
    crowd::{Crowd, Surroundings, Told},
    figures::{Load as Figures, Usage},
    live::{Client, Frames, Heard, Target, hello, test_picture},
};
use crate::{
    cli::{CliResult, Failure, clip::Clip, progress, remote::RemoteArguments},
    file,
    pipeline::JpegEncoder,
};

/// What comes before that is not measured.
const WARM_UP: Duration = Duration::from_secs(1);

/// So many pictures of a clip are sent, again and again.
const MOST_PICTURES: usize = 100;

/// No picture of a folder is longer.
const LARGEST_PICTURE_LEN_BYTES: u64 = 64 << 20;

/// How often it is asked whether a mode has been loaded.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// What is put on a server.
#[derive(Debug, Args)]
pub(super) struct Load {
    #[command(flatten)]
    remote: RemoteArguments,
    /// The mode that every client asks for; the server's default mode when not given
    #[arg(long, value_name = "MODE")]
    mode: Option<String>,
    /// How many clients
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    clients: u32,
    /// How long, after one second that is not measured
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// A video (ffmpeg decodes it) or a folder of pictures; a made-up picture when not given
    #[arg(long, value_name = "CLIP")]
    source: Option<PathBuf>,
    /// Frames a second of each client; what the server asks for when not given; with 0 each is sent when the last is answered
    #[arg(long, value_name = "F", value_parser = fps)]
    fps: Option<f64>,
    /// Send frames when they are due, however many are on their way: what the server can't answer it has to drop
    #[arg(long)]
    open_loop: bool,
    /// Clients that lose the server look for it until it is back, as the page does; how long that takes is told
    #[arg(long)]
    reconnect: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    crowd: Crowd,
}

fn fps(text: &str) -> Result<f64, String> {
    let fps: f64 = text.parse().map_err(|_no_number| "expected a number".to_owned())?;
    if (0.0..=1000.0).contains(&fps) { Ok(fps) } else { Err("expected 0 to 1000".into()) }
}

impl Load {
    pub(super) fn run(self) -> CliResult {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let figures = runtime.map_err(Failure::does_not_hold)?.block_on(self.measure())?;
        figures.print(self.json)
    }

    async fn measure(&self) -> Result<Figures, Failure> {
        let target = Target { socket: socket_of(&self.remote.url), token: self.remote.token.clone() };
        let hello = self.hello(&target).await?;
        let limits = &hello["limits"];
        let pictures: Arc<[_]> = pictures(self.source.as_deref(), limits)?.into();
        let interval = Duration::from_millis(limits["min_frame_interval_millis"].as_u64().unwrap_or_default().max(1));
        let pace = match self.fps {
            None => interval,
            Some(0.0) => Duration::ZERO,
            Some(fps) => Duration::from_secs_f64(1.0 / fps),
        };
        let (stop, stopping) = watch::channel(false);
        let around = Surroundings {
            target: target.clone(),
            pictures: Arc::clone(&pictures),
            interval,
            mode: self.mode.clone(),
            stop: stopping.clone(),
        };
        let empty = self.usage().await?;
        let sitting = self.crowd.sit_down(&around).await?;
        let idle_session_bytes = self.idle_session_bytes(&empty).await?;
        let mut crowd = self.crowd.begin(&around);
        let start = Instant::now();
        let first = start + WARM_UP;
        let clients: Vec<_> = (0..self.clients)
            .map(|number| {
                let mut client = Client::polite(target.clone(), Arc::clone(&pictures), pace, self.mode.clone());
                client.keeps_limits = !self.open_loop;
                client.comes_back = self.reconnect;
                let stopping = stopping.clone();
                // Cameras do not keep time with each other.
                let delay = pace.max(Duration::from_millis(10)).mul_f64(f64::from(number) / f64::from(self.clients));
                tokio::spawn(async move {
                    sleep(delay).await;
                    let mut seen = Seen::from(first);
                    let frames = client.run(stopping, |heard| seen.hear(heard)).await?;
                    Ok::<_, Failure>((frames, seen))
                })
            })
            .collect();
        drop((around, stopping));
        sleep_until(first).await;
        let mut usage = vec![self.usage().await?];
        let bar = progress::bar(self.seconds as usize, self.json);
        for second in 1..=self.seconds {
            sleep_until(first + Duration::from_secs(second)).await;
            bar.inc(1);
            // A server that is being started again has nothing to say.
            usage.extend(self.usage().await);
            // One that could not go on says below why.
            if clients.iter().any(JoinHandle::is_finished) {
                break;
            }
        }
        bar.finish_and_clear();
        let measured = first.elapsed();
        let (instances, deadline_millis) = (self.instances(&hello).await?, self.deadline_millis().await?);
        stop.send_replace(true);
        drop(sitting);
        let mut told = Told::default();
        while let Some(of_one) = crowd.join_next().await {
            told += of_one.map_err(Failure::does_not_hold)?;
        }
        let (mut frames, mut all) = (Frames::default(), Vec::new());
        for client in clients {
            let (of_client, seen) = client.await.map_err(Failure::does_not_hold)??;
            frames += of_client;
            all.push(seen);
        }
        let mode = self.mode_of(&hello);
        let crowd = (told, idle_session_bytes);
        let is_open_loop = self.open_loop;
        Ok(Figures {
            mode,
            pace,
            is_open_loop,
            measured,
            frames,
            clients: all,
            crowd,
            usage,
            instances,
            deadline_millis,
        })
    }

    fn mode_of(&self, hello: &Value) -> String {
        self.mode.clone().unwrap_or_else(|| hello["mode"].as_str().unwrap_or_default().to_owned())
    }

    /// What an idle session takes, once they all sit, beside an `empty` server.
    async fn idle_session_bytes(&self, empty: &Usage) -> Result<Option<f64>, Failure> {
        if self.crowd.idle == 0 {
            return Ok(None);
        }
        sleep(WARM_UP).await;
        let taken = self.usage().await?.server_bytes - empty.server_bytes;
        Ok(Some(taken / f64::from(self.crowd.idle)))
    }

    /// The server's greeting, once the mode is there.
    async fn hello(&self, target: &Target) -> Result<Value, Failure> {
        loop {
            let hello = hello(target).await?;
            let modes = hello["modes"].as_array().map_or(&[][..], |modes| modes);
            let name = self.mode_of(&hello);
            let Some(mode) = modes.iter().find(|mode| mode["name"] == *name) else {
                let known: Vec<_> = modes.iter().filter_map(|mode| mode["name"].as_str()).collect();
                return Err(Failure::wrong_usage(format!(
                    "there is no mode {name:?}; there are: {}",
                    known.join(", ")
                )));
            };
            match mode["state"].as_str() {
                Some("loading") => sleep(LOOK_INTERVAL).await,
                Some("ready") => return Ok(hello),
                _ => {
                    let why = mode["message"].as_str().unwrap_or_default();
                    return Err(Failure::does_not_hold(format!("mode {name} can't serve: {why}")));
                }
            }
        }
    }

    /// What the server and its workers hold now.
    async fn usage(&self) -> Result<Usage, Failure> {
        let metrics = self.ask(|remote| remote.text("/metrics")).await?;
        let sum = |name: &str| of_metric(&metrics, name).map(|(_, value)| value).sum::<f64>();
        Ok(Usage {
            server_bytes: sum("segue_resident_memory_bytes"),
            worker_bytes: sum("segue_worker_resident_memory_bytes"),
            descriptors: sum("segue_open_descriptors"),
        })
    }

    /// How many instances the mode has.
    async fn instances(&self, hello: &Value) -> Result<f64, Failure> {
        let metrics = self.ask(|remote| remote.text("/metrics")).await?;
        let label = format!("mode=\"{}\"", self.mode_of(hello));
        let mut all = of_metric(&metrics, "segue_instances");
        Ok(all.find(|(labels, _)| labels.contains(&label)).map_or(1.0, |(_, of)| of))
    }

    /// No frame is answered later.
    async fn deadline_millis(&self) -> Result<f64, Failure> {
        let profile = self.ask(|remote| remote.get("/v1/profile")).await?;
        let millis = profile["keys"]["limits.max_age_millis"]["value"].as_f64();
        millis.ok_or_else(|| Failure::does_not_hold("the server's profile has no limits.max_age_millis"))
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&RemoteArguments) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let remote = self.remote.clone();
        tokio::task::spawn_blocking(move || question(&remote)).await.map_err(Failure::does_not_hold)?
    }
}

/// What one client saw in the measured time.
pub(super) struct Seen {
    first: Instant,
    sent: HashMap<u32, Instant>,
    last_result: Option<Instant>,
    pub(super) latency_millis: Vec<f64>,
    /// From one result to the next.
    pub(super) gap_millis: Vec<f64>,
    /// Of a message that is no frame.
    pub(super) clock_millis: Vec<f64>,
    pub(super) stage_micros: Vec<[u32; 7]>,
    pub(super) frame_len_bytes: Vec<f64>,
    pub(super) result_len_bytes: Vec<f64>,
    /// How often there was a frame to send, and no room for it.
    pub(super) held_back: u64,
    pub(super) drops: BTreeMap<String, u64>,
    /// How long the server was gone, each time.
    pub(super) back_millis: Vec<f64>,
}

impl Seen {
    fn from(first: Instant) -> Self {
        Self {
            first,
            sent: HashMap::new(),
            last_result: None,
            latency_millis: Vec::new(),
            gap_millis: Vec::new(),
            clock_millis: Vec::new(),
            stage_micros: Vec::new(),
            frame_len_bytes: Vec::new(),
            result_len_bytes: Vec::new(),
            held_back: 0,
            drops: BTreeMap::new(),
            back_millis: Vec::new(),
        }
    }

    fn hear(&mut self, heard: Heard) {
        let now = Instant::now();
        let millis = |since: Instant| 1e3 * now.duration_since(since).as_secs_f64();
        match heard {
            Heard::Sent { frame_id, len_bytes } if now >= self.first => {
                self.sent.insert(frame_id, now);
                self.frame_len_bytes.push(len_bytes as f64);
            }
            Heard::NoRoom if now >= self.first => self.held_back += 1,
            Heard::Result(answer) => {
                if let Some(sent) = self.sent.remove(&answer.frame_id) {
                    self.latency_millis.push(millis(sent));
                    self.gap_millis.extend(self.last_result.map(millis));
                    self.stage_micros.push(answer.stage_micros);
                    self.result_len_bytes.push(answer.len_bytes as f64);
                }
                self.last_result = Some(now);
            }
            Heard::Text(text) if now >= self.first => match text["type"].as_str() {
                Some("dropped") => {
                    let reason = text["reason"].as_str().unwrap_or_default().to_owned();
                    *self.drops.entry(reason).or_default() += 1;
                }
                Some("clock") => {
                    self.clock_millis.push(text["round_trip_micros"].as_f64().unwrap_or_default() / 1e3);
                }
                _ => {}
            },
            Heard::Back(gone) => {
                self.back_millis.push(1e3 * gone.as_secs_f64());
                // What was on its way is lost, and the pause is no gap between results.
                self.sent.clear();
                self.last_result = None;
            }
            Heard::Sent { .. } | Heard::NoRoom | Heard::Text(_) => {}
        }
    }
}

/// The address of the socket of the server at `url`.
fn socket_of(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let scheme = if scheme == "https" { "wss" } else { "ws" };
    format!("{scheme}://{}/ws", rest.trim_end_matches('/'))
}

/// The pictures of `source`, as the page would send them under `limits`.
fn pictures(source: Option<&Path>, limits: &Value) -> Result<Vec<Vec<u8>>, Failure> {
    let limit = |key: &str, usual: u64| limits[key].as_u64().unwrap_or(usual);
    let (side, quality) = (limit("max_dimension_px", 640) as u32, limit("jpeg_quality", 50) as u8);
    let Some(source) = source else {
        let width = side.min(640) as u16;
        return Ok(vec![test_picture(width, width / 16 * 9)?]);
    };
    let (mut clip, mut pictures) = (Clip::open(source, LARGEST_PICTURE_LEN_BYTES)?, Vec::new());
    let mut encoder = JpegEncoder::default();
    while pictures.len() < MOST_PICTURES
        && let Some(bytes) = clip.next()?
    {
        let picture = shrunk(file::rgb(&bytes).map_err(Failure::does_not_hold)?, side);
        let mut jpeg = Vec::new();
        encoder.encode(picture.as_raw(), picture.width(), quality, &mut jpeg).map_err(Failure::does_not_hold)?;
        pictures.push(jpeg);
    }
    match pictures.is_empty() {
        true => Err(Failure::does_not_hold(format!("{}: has no frames", source.display()))),
        false => Ok(pictures),
    }
}

fn shrunk(picture: RgbImage, side: u32) -> RgbImage {
    let longest = picture.width().max(picture.height());
    if longest <= side {
        return picture;
    }
    let shrink = |length: u32| (u64::from(length) * u64::from(side) / u64::from(longest)).max(1) as u32;
    thumbnail(&picture, shrink(picture.width()), shrink(picture.height()))
}

/// Labels and value of each line of the metric `name`.
fn of_metric<'a>(metrics: &'a str, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
    metrics.lines().filter_map(move |line| {
        let rest = line.strip_prefix(name)?;
        let (labels, value) = rest.rsplit_once(' ')?;
        (labels.is_empty() || labels.starts_with('{')).then_some((labels, value.parse().ok()?))
    })
}

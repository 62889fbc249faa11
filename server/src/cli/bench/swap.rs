//! `segue bench swap`.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use indicatif::ProgressBar;
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, timeout},
};

use super::live::{Answer, Client, Frames, Heard, Server, WAITING, quantile, test_picture};
use crate::{
    cli::{
        CliResult, Failure,
        places::{PlaceArguments, ProfileArguments, find_plugins},
    },
    model::Places,
};

/// From one frame of a client to the next.
const PACE: Duration = Duration::from_millis(33);

/// A build that no client has a result of by now does not come.
const MISSED_AFTER: Duration = Duration::from_secs(60);

/// How long frames flow before the first swap: what comes then is what gaps are compared with.
const CALM: Duration = Duration::from_secs(3);

/// Builds after which the server has what it needs only once, such as the code that swaps.
const WARM_UP: u32 = 5;

/// In frame times, and as a share of what was there before.
const MOST_GAP_FRAMES: f64 = 2.0;
const MOST_GROWTH: f64 = 1.05;

/// Arguments of `segue bench swap`.
#[derive(Debug, Args)]
#[command(
    after_help = "Starts a server of its own on a free port, with a copy of the plugins, and writes a new build of the default mode's plugin \
    over the old one, again and again: by rename, and in place. The clients stay in the first two modes that the plugin serves. Ends \
    with 1 unless no frame is lost or answered by a build older than the newest that its client was told of, no gap is longer than two \
    frame times, and the memory of server and workers is within 5 % of what it was after the first five builds."
)]
pub(super) struct Swap {
    /// How many builds
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    swaps: u32,
    /// How many clients, each sending 30 frames a second
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    clients: u32,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    profile: ProfileArguments,
    #[command(flatten)]
    places: PlaceArguments,
}

/// What the clients saw.
#[derive(Default)]
struct Seen {
    frames: Frames,
    stale: u64,
    /// From one result of a client to the next, in milliseconds: before the first swap, and after it.
    calm_gaps: Vec<f64>,
    gaps: Vec<f64>,
    /// From the end of a write to a result of the new build at every client.
    swap_millis: Vec<f64>,
    before: Footprint,
    after: Footprint,
}

impl Swap {
    pub(in crate::cli) fn run(self) -> CliResult {
        let places = self.places.places()?;
        let profile = self.profile.load()?.profile;
        let folder = tempfile::tempdir().map_err(Failure::does_not_hold)?;
        let entry_of = |mode: &str| places.catalog().entry(&profile.modes[mode].model).map_err(Failure::wrong_usage);
        let backend = entry_of(&profile.server.default_mode)?.backend;
        let plugin = copy_plugins(&places.plugins, folder.path(), &backend)?;
        let mut modes = vec![profile.server.default_mode.clone()];
        for name in profile.modes.keys().filter(|name| **name != profile.server.default_mode) {
            if modes.len() < 2 && entry_of(name)?.backend == backend {
                modes.push(name.clone());
            }
        }
        let places = Places { plugins: folder.path().to_owned(), ..places };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(Failure::does_not_hold)?;
        let seen = runtime.block_on(self.measure(&places, &plugin, &modes))?;
        self.report(seen, &modes)
    }

    async fn measure(&self, places: &Places, plugin: &Plugin, modes: &[String]) -> Result<Seen, Failure> {
        let layers = self.profile.layers();
        let server = Server::start(&layers.directory, &layers.profile, places, &layers.overrides).await?;
        let (stop, stopping) = watch::channel(false);
        let (told, mut results) = mpsc::channel(WAITING);
        let pictures: Arc<[_]> = [test_picture(640, 360)?].into();
        let start = |number: u32| {
            let mode = modes[number as usize % modes.len()].clone();
            let client = Client::polite(server.target(), Arc::clone(&pictures), PACE, Some(mode.clone()));
            let (mut watcher, told) = (Watcher::of(mode), told.clone());
            tokio::spawn(client.run(stopping.clone(), move |heard| {
                // Nobody listens any more once the benchmark ends.
                let _ = watcher.hear(heard).map(|result| told.try_send((number, result)));
            }))
        };
        let clients: Vec<_> = (0..self.clients).map(start).collect();
        drop((told, stopping));
        let mut seen = self.swap_and_watch(&server, plugin, &mut results).await?;
        stop.send_replace(true);
        for client in clients {
            seen.frames += client.await.map_err(Failure::does_not_hold)??;
        }
        Ok(seen)
    }

    async fn swap_and_watch(
        &self,
        server: &Server,
        plugin: &Plugin,
        results: &mut mpsc::Receiver<(u32, Answered)>,
    ) -> Result<Seen, Failure> {
        let mut seen = Seen::default();
        let calm = sleep(CALM);
        tokio::pin!(calm);
        loop {
            tokio::select! {
                () = &mut calm => break,
                Some((_, result)) = results.recv() => seen.calm_gaps.extend(result.gap_millis),
            }
        }
        let bar = ProgressBar::new((WARM_UP + self.swaps).into());
        for number in 1..=WARM_UP + self.swaps {
            if number == WARM_UP + 1 {
                seen.before = Footprint::settled(server.id).await;
            }
            let build = plugin.install(number)?;
            let (start, mut waiting) = (Instant::now(), (0..self.clients).collect::<HashSet<_>>());
            while !waiting.is_empty() {
                let missed = || Failure::does_not_hold(format!("build {number} did not come into force"));
                let result = timeout(MISSED_AFTER, results.recv()).await.ok().flatten();
                let (client, result) = result.ok_or_else(missed)?;
                seen.stale += u64::from(result.is_stale);
                seen.gaps.extend(result.gap_millis);
                if result.build == build {
                    waiting.remove(&client);
                }
            }
            seen.swap_millis.push(1e3 * start.elapsed().as_secs_f64());
            bar.inc(1);
        }
        bar.finish_and_clear();
        seen.after = Footprint::settled(server.id).await;
        Ok(seen)
    }

    fn report(&self, mut seen: Seen, modes: &[String]) -> CliResult {
        for values in [&mut seen.calm_gaps, &mut seen.gaps, &mut seen.swap_millis] {
            values.sort_by(f64::total_cmp);
        }
        let pace_millis = 1e3 * PACE.as_secs_f64();
        let gap = |gaps: &[f64], share| quantile(gaps, share) / pace_millis;
        let (gap_p99, gap_max) = (gap(&seen.gaps, 0.99), gap(&seen.gaps, 1.0));
        let lost = seen.frames.sent - seen.frames.answered;
        let [swap_p50, swap_p99, swap_max] = [0.5, 0.99, 1.0].map(|share| quantile(&seen.swap_millis, share));
        let growth = seen.after.all_memory_len_bytes() as f64 / seen.before.all_memory_len_bytes().max(1) as f64;
        let figures: Value = json!({
            "swaps": self.swaps, "clients": self.clients, "modes": modes,
            "frames_sent": seen.frames.sent, "frames_lost": lost, "frames_stale": seen.stale,
            "gap_frames": {"p99": gap_p99, "max": gap_max},
            "gap_frames_before": {"p99": gap(&seen.calm_gaps, 0.99), "max": gap(&seen.calm_gaps, 1.0)},
            "swap_millis": {"p50": swap_p50, "p99": swap_p99, "max": swap_max},
            "memory_ratio": growth, "before": seen.before.json(), "after": seen.after.json(),
        });
        if self.json {
            println!("{figures}");
        } else {
            let (before, after) = (&seen.before, &seen.after);
            println!("{} swaps under {} clients in {}", self.swaps, self.clients, modes.join(" and "));
            println!("frames: {} sent, {lost} lost, {} answered by an old build", seen.frames.sent, seen.stale);
            println!(
                "longest gap: {gap_max:.1} frame times (p99 {gap_p99:.1}); without swaps {:.1}",
                gap(&seen.calm_gaps, 1.0)
            );
            println!(
                "from write to results of the new build: p50 {swap_p50:.0} ms, p99 {swap_p99:.0} ms, max {swap_max:.0} ms"
            );
            println!("the server before: {before}");
            println!("the server after:  {after}; all memory {growth:.2} of what it was");
        }
        if lost + seen.stale > 0 || gap_max > MOST_GAP_FRAMES || growth > MOST_GROWTH {
            let what = "expected no frame lost or stale, gaps of at most 2 frame times, and memory within 5 %";
            return Err(Failure::does_not_hold(what));
        }
        Ok(())
    }
}

/// What a client makes of what it hears.
struct Watcher {
    mode: String,
    /// By the index of the mode, in the order in which they were told.
    builds: HashMap<u8, (usize, String)>,
    newest: usize,
    /// The newest build that the client knew of when it sent a frame.
    sent: HashMap<u32, usize>,
    last_result: Option<Instant>,
}

/// A result, as a client sees it.
struct Answered {
    build: String,
    is_stale: bool,
    gap_millis: Option<f64>,
}

impl Watcher {
    fn of(mode: String) -> Self {
        Self { mode, builds: HashMap::new(), newest: 0, sent: HashMap::new(), last_result: None }
    }

    fn hear(&mut self, heard: Heard) -> Option<Answered> {
        match heard {
            Heard::Sent { frame_id, .. } => {
                self.sent.insert(frame_id, self.newest);
                None
            }
            Heard::Text(text) => {
                self.learn(text["modes"].as_array()?);
                None
            }
            Heard::NoRoom | Heard::Back(_) => None,
            Heard::Result(Answer { frame_id, mode_index, .. }) => {
                let (now, sent) = (Instant::now(), self.sent.remove(&frame_id));
                let gap = self.last_result.replace(now).map(|last| 1e3 * now.duration_since(last).as_secs_f64());
                // Until it is in its own mode the client is answered in the default mode.
                let (order, build) = self.builds.get(&mode_index)?;
                let is_stale = sent.is_some_and(|known| *order < known);
                Some(Answered { build: build.clone(), is_stale, gap_millis: gap })
            }
        }
    }

    fn learn(&mut self, modes: &[Value]) {
        for mode in modes.iter().filter(|mode| mode["name"] == self.mode.as_str() && mode["state"] == "ready") {
            let index = mode["index"].as_u64().unwrap_or_default() as u8;
            let build = mode["build"].as_str().unwrap_or_default();
            if self.builds.get(&index).is_none_or(|(_, known)| known != build) {
                self.newest += 1;
                self.builds.insert(index, (self.newest, build.to_owned()));
            }
        }
    }
}

/// The plugin that is overwritten.
struct Plugin {
    path: PathBuf,
    content: Vec<u8>,
}

impl Plugin {
    /// Overwrites it with another build, by rename or in place; the build's SHA-256. Bytes behind a library's end
    /// change what it is called, and nothing of what it does.
    fn install(&self, number: u32) -> Result<String, Failure> {
        use sha2::{Digest, Sha256};
        let content = [&self.content[..], b"build ", number.to_string().as_bytes()].concat();
        let write = || match number.is_multiple_of(2) {
            true => fs::write(&self.path, &content),
            false => {
                let new = self.path.with_extension("new");
                fs::write(&new, &content)?;
                fs::rename(new, &self.path)
            }
        };
        write().map_err(|error| Failure::does_not_hold(format!("{}: {error}", self.path.display())))?;
        Ok(hex::encode(Sha256::digest(&content)))
    }
}

/// Copies all usable plugins; the one called `backend`.
fn copy_plugins(from: &Path, to: &Path, backend: &str) -> Result<Plugin, Failure> {
    let mut chosen = None;
    for found in find_plugins(from)? {
        let (Ok(plugin), Some(name)) = (found.plugin, found.path.file_name()) else { continue };
        let path = to.join(name);
        let content = fs::read(&found.path).map_err(Failure::does_not_hold)?;
        fs::write(&path, &content).map_err(Failure::does_not_hold)?;
        if plugin.descriptor.name == backend && chosen.is_none() {
            chosen = Some(Plugin { path, content });
        }
    }
    chosen.ok_or_else(|| Failure::does_not_hold(format!("{} has no plugin {backend:?}", from.display())))
}

/// What the server's process and its workers hold.
#[derive(Default)]
struct Footprint {
    memory_len_bytes: u64,
    worker_memory_len_bytes: u64,
    descriptors: usize,
    threads: usize,
    workers: usize,
}

impl Footprint {
    /// What it holds when it holds least: frames that are under way come on top of that.
    async fn settled(process: u32) -> Self {
        // What was let go last ends, and every instance has its turn.
        sleep(CALM).await;
        let mut least = Self::of(process);
        for _ in 0..10 {
            sleep(3 * PACE).await;
            let now = Self::of(process);
            if now.all_memory_len_bytes() < least.all_memory_len_bytes() {
                least = now;
            }
        }
        least
    }

    fn of(process: u32) -> Self {
        let count = |path: String| fs::read_dir(path).map_or(0, Iterator::count);
        let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
        let children = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
        let workers: Vec<u32> = children
            .flat_map(|children| children.split_whitespace().flat_map(str::parse).collect::<Vec<_>>())
            .collect();
        Self {
            memory_len_bytes: own_memory(process),
            worker_memory_len_bytes: workers.iter().copied().map(own_memory).sum(),
            descriptors: count(format!("/proc/{process}/fd")),
            threads: count(format!("/proc/{process}/task")),
            workers: workers.len(),
        }
    }

    fn all_memory_len_bytes(&self) -> u64 {
        self.memory_len_bytes + self.worker_memory_len_bytes
    }

    fn json(&self) -> Value {
        let Self { memory_len_bytes, worker_memory_len_bytes, descriptors, threads, workers } = self;
        json!({
            "memory_len_bytes": memory_len_bytes, "worker_memory_len_bytes": worker_memory_len_bytes,
            "descriptors": descriptors, "threads": threads, "workers": workers,
        })
    }
}

/// Resident memory of a process without the frames that server and workers share: those come and go with instances.
fn own_memory(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let kilobytes = |field: &str| {
        let text = status.lines().find_map(|line| line.strip_prefix(field)?.trim().strip_suffix(" kB"));
        text.and_then(|kilobytes| kilobytes.parse::<u64>().ok()).unwrap_or_default()
    };
    (kilobytes("VmRSS:") - kilobytes("RssShmem:")) << 10
}

impl std::fmt::Display for Footprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { descriptors, threads, workers, .. } = self;
        let megabytes = |len_bytes: u64| len_bytes as f64 / 1e6;
        let (own, theirs) = (megabytes(self.memory_len_bytes), megabytes(self.worker_memory_len_bytes));
        write!(
            f,
            "{own:.1} MB, {descriptors} descriptors, {threads} threads; {workers} workers of {theirs:.1} MB together"
        )
    }
}

//! What to make of a load: figures, and a list of what a live demonstration needs.

use std::time::Duration;

use serde::Serialize;

use super::{
    live::{Frames, quantile},
    load::Seen,
};
use crate::cli::{CliResult, Failure};

/// What all clients saw.
pub(super) struct Load {
    pub(super) mode: String,
    /// From one frame of a client to the next; zero: as soon as the last ones were answered.
    pub(super) pace: Duration,
    pub(super) measured: Duration,
    /// The unmeasured time's, too.
    pub(super) frames: Frames,
    pub(super) clients: Vec<Seen>,
    /// At the begin of the measured time, and at its end.
    pub(super) memory: [Memory; 2],
    /// Of the mode's model.
    pub(super) instances: f64,
}

/// What the server and its workers hold.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Memory {
    pub(super) server_bytes: f64,
    pub(super) worker_bytes: f64,
}

#[derive(Serialize)]
struct Figures {
    mode: String,
    clients: usize,
    seconds: f64,
    frames: FrameCounts,
    fps: f64,
    fps_of_a_client: Spread,
    latency_millis: Quantiles,
    gap_millis: Quantiles,
    clock_millis: Quantiles,
    server_micros: ServerMicros,
    frame_len_bytes: Quantiles,
    result_len_bytes: Quantiles,
    /// Both ways, of one client.
    bytes_a_second: f64,
    /// Of the frames that were due, those for which there was no room.
    held_back_share: f64,
    memory_before: Memory,
    memory_after: Memory,
    holds: bool,
    verdict: Vec<Check>,
}

#[derive(Serialize)]
struct FrameCounts {
    sent: u64,
    answered: u64,
    dropped: u64,
    reasons: std::collections::BTreeMap<String, u64>,
}

/// Over clients.
#[derive(Serialize)]
struct Spread {
    min: f64,
    mean: f64,
    max: f64,
}

#[derive(Clone, Copy, Default, Serialize)]
struct Quantiles {
    p50: f64,
    p95: f64,
    p99: f64,
    max: f64,
}

/// As results say it.
#[derive(Serialize)]
struct ServerMicros {
    queue: Quantiles,
    decode: Quantiles,
    preprocess: Quantiles,
    infer: Quantiles,
    postprocess: Quantiles,
    encode: Quantiles,
    total: Quantiles,
}

/// One line of the verdict.
#[derive(Serialize)]
struct Check {
    name: &'static str,
    holds: bool,
    measured: String,
    wanted: String,
    /// What to do about it.
    mend: &'static str,
}

impl Quantiles {
    fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let [p50, p95, p99, max] = [0.5, 0.95, 0.99, 1.0].map(|share| quantile(&values, share));
        Self { p50, p95, p99, max }
    }
}

impl ServerMicros {
    fn of(clients: &[Seen]) -> Self {
        let stage = |stage: usize| {
            Quantiles::of(clients.iter().flat_map(|seen| &seen.stage_micros).map(|micros| f64::from(micros[stage])))
        };
        Self {
            queue: stage(0),
            decode: stage(1),
            preprocess: stage(2),
            infer: stage(3),
            postprocess: stage(4),
            encode: stage(5),
            total: stage(6),
        }
    }
}

impl Load {
    /// Prints the figures; an error when the verdict does not hold.
    pub(super) fn print(&self, json: bool) -> CliResult {
        let figures = self.figures();
        match json {
            true => println!("{}", serde_json::to_string(&figures).map_err(Failure::does_not_hold)?),
            false => figures.print(),
        }
        let failed: Vec<_> = figures.verdict.iter().filter(|check| !check.holds).map(|check| check.name).collect();
        match failed[..] {
            [] => Ok(()),
            _ => Err(Failure::does_not_hold(format!("the verdict does not hold: {}", failed.join("; ")))),
        }
    }

    fn figures(&self) -> Figures {
        let seconds = self.measured.as_secs_f64();
        let all = |of: fn(&Seen) -> &Vec<f64>| self.clients.iter().flat_map(move |seen| of(seen).iter().copied());
        let fps: Vec<_> = self.clients.iter().map(|seen| seen.latency_millis.len() as f64 / seconds).collect();
        let bytes: f64 = all(|seen| &seen.frame_len_bytes).chain(all(|seen| &seen.result_len_bytes)).sum();
        let held_back: u64 = self.clients.iter().map(|seen| seen.held_back).sum();
        let sent = all(|seen| &seen.frame_len_bytes).count() as f64;
        let mut reasons = std::collections::BTreeMap::new();
        for (reason, count) in self.clients.iter().flat_map(|seen| &seen.drops) {
            *reasons.entry(reason.clone()).or_default() += count;
        }
        let Frames { sent: sent_in_all, answered, dropped } = self.frames;
        let mut figures = Figures {
            mode: self.mode.clone(),
            clients: self.clients.len(),
            seconds,
            frames: FrameCounts { sent: sent_in_all, answered, dropped, reasons },
            fps: fps.iter().sum(),
            fps_of_a_client: Spread {
                min: fps.iter().copied().fold(f64::INFINITY, f64::min),
                mean: fps.iter().sum::<f64>() / fps.len() as f64,
                max: fps.iter().copied().fold(0.0, f64::max),
            },
            latency_millis: Quantiles::of(all(|seen| &seen.latency_millis)),
            gap_millis: Quantiles::of(all(|seen| &seen.gap_millis)),
            clock_millis: Quantiles::of(all(|seen| &seen.clock_millis)),
            server_micros: ServerMicros::of(&self.clients),
            frame_len_bytes: Quantiles::of(all(|seen| &seen.frame_len_bytes)),
            result_len_bytes: Quantiles::of(all(|seen| &seen.result_len_bytes)),
            bytes_a_second: bytes / seconds / self.clients.len() as f64,
            held_back_share: held_back as f64 / (sent + held_back as f64).max(1.0),
            memory_before: self.memory[0],
            memory_after: self.memory[1],
            holds: true,
            verdict: Vec::new(),
        };
        figures.verdict = self.verdict(&figures);
        figures.holds = figures.verdict.iter().all(|check| check.holds);
        figures
    }

    /// What a live demonstration needs, and whether it is so.
    fn verdict(&self, figures: &Figures) -> Vec<Check> {
        let check =
            |name, holds, measured, wanted: &str, mend| Check { name, holds, measured, wanted: wanted.into(), mend };
        let Frames { sent, answered, dropped } = self.frames;
        let millis = |millis: f64| format!("{millis:.1} ms");
        let (latency, gaps) = (figures.latency_millis, figures.gap_millis);
        let server = &figures.server_micros;
        let infer = server.infer;
        // A lease lasts from decode to encode.
        let busy_seconds = (server.total.p50 - server.queue.p50).max(1.0) / 1e6;
        let due = if self.pace.is_zero() { f64::INFINITY } else { self.clients.len() as f64 / self.pace.as_secs_f64() };
        let possible = due.min(self.instances / busy_seconds);
        let memory = |memory: Memory| (memory.server_bytes + memory.worker_bytes) / 1e6;
        let [before, after] = self.memory.map(memory);
        let mut verdict = vec![
            check(
                "every frame is answered or told to be dropped",
                sent == answered + dropped,
                format!("{sent} sent, {answered} answered, {dropped} dropped"),
                "the sum",
                "a fault of the server: please report it",
            ),
            check(
                "latency",
                latency.p95 > 0.0 && latency.p95 < 500.0,
                format!("p95 {}", millis(latency.p95)),
                "p95 below 500 ms",
                "a faster mode, fewer clients, or smaller frames (capture.max_dimension_px)",
            ),
            check(
                "frames a second match the model",
                figures.fps >= 0.8 * possible,
                format!("{:.1} of {possible:.1}", figures.fps),
                "80 of 100 that are due and that the model can do",
                "the link or the cores are busy with something else: lower capture.jpeg_quality, or look at `segue trace --check`",
            ),
            check(
                "bytes a second of a client",
                figures.bytes_a_second <= 1e6,
                format!("{:.0} KB", figures.bytes_a_second / 1e3),
                "1 MB at most",
                "lower capture.jpeg_quality or capture.max_dimension_px",
            ),
            check(
                "frame size",
                figures.frame_len_bytes.p50 <= 40e3,
                format!("{:.1} KB", figures.frame_len_bytes.p50 / 1e3),
                "40 KB at most",
                "lower capture.jpeg_quality or capture.max_dimension_px",
            ),
            check(
                "inference is steady",
                infer.p95 <= 2.0 * infer.p50 + 1000.0,
                format!("p50 {}, p95 {}", millis(infer.p50 / 1e3), millis(infer.p95 / 1e3)),
                "p95 at most twice p50, and 1 ms",
                "the processor throttles, or shares its cores: fewer instances or threads of the mode",
            ),
            check(
                "controls are answered at once",
                figures.clock_millis.p95 <= 100.0,
                format!("p95 {}", millis(figures.clock_millis.p95)),
                "p95 at most 100 ms",
                "the server's cores are busy: fewer instances or threads of the mode",
            ),
            check(
                "memory does not grow",
                after <= 1.1 * before + 16.0,
                format!("{before:.0} MB, then {after:.0} MB"),
                "at most a tenth and 16 MB",
                "run it for longer, and look at segue_worker_resident_memory_bytes: is it the plugin?",
            ),
        ];
        if !self.pace.is_zero() {
            verdict.push(check(
                "frames in flight are not stuck at their limit",
                figures.held_back_share <= 0.5,
                format!("{:.0} of 100 frames were held back", 100.0 * figures.held_back_share),
                "50 at most",
                "the backend is the bottleneck: a faster mode, or more instances",
            ));
            verdict.push(check(
                "smooth",
                gaps.p95 <= 2.0 * gaps.p50 + 5.0,
                format!("from result to result p50 {}, p95 {}", millis(gaps.p50), millis(gaps.p95)),
                "p95 at most twice p50, and 5 ms",
                "`segue trace --check` says what the slow ones waited for",
            ));
        }
        verdict
    }
}

impl Figures {
    fn print(&self) {
        let millis = |name: &str, Quantiles { p50, p95, p99, max }: Quantiles| {
            println!("{name:<22}{p50:9.2} {p95:9.2} {p99:9.2} {max:9.2}");
        };
        let thousandth = |Quantiles { p50, p95, p99, max }: Quantiles| Quantiles {
            p50: p50 / 1e3,
            p95: p95 / 1e3,
            p99: p99 / 1e3,
            max: max / 1e3,
        };
        let Spread { min, max, .. } = self.fps_of_a_client;
        println!(
            "{} client{} of mode {}, {:.0} s: {:.1} frames a second, {min:.1} to {max:.1} of each client",
            self.clients,
            if self.clients == 1 { "" } else { "s" },
            self.mode,
            self.seconds,
            self.fps
        );
        for (reason, count) in &self.frames.reasons {
            println!("{count} frames dropped: {reason}");
        }
        println!("\n{:<22}{:>9} {:>9} {:>9} {:>9}", "MILLISECONDS", "P50", "P95", "P99", "MAX");
        millis("sent to result", self.latency_millis);
        let server = &self.server_micros;
        for (name, micros) in [
            ("  server", server.total),
            ("    queue", server.queue),
            ("    decode", server.decode),
            ("    preprocess", server.preprocess),
            ("    infer", server.infer),
            ("    postprocess", server.postprocess),
            ("    encode", server.encode),
        ] {
            millis(name, thousandth(micros));
        }
        millis("result to result", self.gap_millis);
        println!("{:<22}{:>9} {:>9} {:>9} {:>9}", "KILOBYTES", "P50", "P95", "P99", "MAX");
        millis("frame", thousandth(self.frame_len_bytes));
        millis("result", thousandth(self.result_len_bytes));
        println!("\nVERDICT");
        for Check { name, holds, measured, wanted, mend } in &self.verdict {
            let mark = if *holds { "ok  " } else { "FAIL" };
            println!("{mark} {name}: {measured} (wanted: {wanted})");
            if !holds {
                println!("     {mend}");
            }
        }
    }
}

//! The figures of a load.

use std::time::Duration;

use serde::Serialize;

use super::{
    crowd::Told,
    live::{Frames, quantile},
    load::Seen,
    verdict::{Check, verdict},
};
use crate::cli::{CliResult, Failure};

/// What all clients saw.
pub(super) struct Load {
    pub(super) mode: String,
    /// From one frame of a client to the next; zero: as soon as the last ones were answered.
    pub(super) pace: Duration,
    /// They sent whatever the server's limits were.
    pub(super) is_open_loop: bool,
    pub(super) measured: Duration,
    /// The unmeasured time's, too.
    pub(super) frames: Frames,
    pub(super) clients: Vec<Seen>,
    /// What became of whoever else was there; what an idle session takes, in bytes.
    pub(super) crowd: (Told, Option<f64>),
    /// At the begin of the measured time, and each second after.
    pub(super) usage: Vec<Usage>,
    /// Of the mode's model.
    pub(super) instances: f64,
    /// No frame is answered later.
    pub(super) deadline_millis: f64,
}

/// What the server and its workers hold.
#[derive(Clone, Copy, Default, Serialize)]
pub(super) struct Usage {
    pub(super) server_bytes: f64,
    pub(super) worker_bytes: f64,
    pub(super) descriptors: f64,
}

#[derive(Serialize)]
pub(super) struct Figures {
    pub(super) mode: String,
    pub(super) clients: usize,
    pub(super) seconds: f64,
    pub(super) frames: FrameCounts,
    pub(super) fps: f64,
    pub(super) fps_of_a_client: Spread,
    pub(super) latency_millis: Quantiles,
    pub(super) gap_millis: Quantiles,
    pub(super) clock_millis: Quantiles,
    pub(super) server_micros: ServerMicros,
    pub(super) frame_len_bytes: Quantiles,
    pub(super) result_len_bytes: Quantiles,
    /// Both ways, of one client.
    pub(super) bytes_a_second: f64,
    /// Of the frames that were due, those for which there was no room.
    pub(super) held_back_share: f64,
    pub(super) usage_before: Usage,
    pub(super) usage_after: Usage,
    /// What an idle session takes of the server's memory.
    pub(super) idle_session_bytes: Option<f64>,
    pub(super) crowd: Told,
    /// How long clients looked for a server that was gone.
    pub(super) back_millis: Option<Quantiles>,
    pub(super) holds: bool,
    pub(super) verdict: Vec<Check>,
}

#[derive(Serialize)]
pub(super) struct FrameCounts {
    sent: u64,
    answered: u64,
    dropped: u64,
    /// With a server that went away.
    lost: u64,
    reasons: std::collections::BTreeMap<String, u64>,
}

/// Over clients.
#[derive(Serialize)]
pub(super) struct Spread {
    min: f64,
    mean: f64,
    max: f64,
}

#[derive(Clone, Copy, Default, Serialize)]
pub(super) struct Quantiles {
    pub(super) p50: f64,
    pub(super) p95: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

/// As results say it.
#[derive(Serialize)]
pub(super) struct ServerMicros {
    pub(super) queue: Quantiles,
    pub(super) decode: Quantiles,
    pub(super) preprocess: Quantiles,
    pub(super) infer: Quantiles,
    pub(super) postprocess: Quantiles,
    pub(super) encode: Quantiles,
    pub(super) total: Quantiles,
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
        let Frames { sent: sent_in_all, answered, dropped, lost } = self.frames;
        let (told, idle_session_bytes) = self.crowd.clone();
        let back: Vec<_> = all(|seen| &seen.back_millis).collect();
        let [before, after] = [self.usage.first(), self.usage.last()].map(|usage| usage.copied().unwrap_or_default());
        let mut figures = Figures {
            mode: self.mode.clone(),
            clients: self.clients.len(),
            seconds,
            frames: FrameCounts { sent: sent_in_all, answered, dropped, lost, reasons },
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
            usage_before: before,
            usage_after: after,
            idle_session_bytes,
            crowd: told,
            back_millis: (!back.is_empty()).then(|| Quantiles::of(back)),
            holds: true,
            verdict: Vec::new(),
        };
        figures.verdict = verdict(self, &figures);
        figures.holds = figures.verdict.iter().all(|check| check.holds);
        figures
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
        if let Some(bytes) = self.idle_session_bytes {
            println!("\nAn idle session takes {:.1} KB of the server's memory", bytes / 1e3);
        }
        let Told { slow_readers_ended, attacks, visits, failed_visits } = &self.crowd;
        let in_vain: u64 = failed_visits.values().sum();
        if slow_readers_ended + attacks + visits > 0 {
            println!(
                "\n{visits} visits, {in_vain} of them in vain; {attacks} attacks; {slow_readers_ended} clients ended that never read"
            );
        }
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

//! A frame's trace as text: a bar for each stage below the one before, or all of them in one line.

use std::{fmt::Write as _, io::IsTerminal};

use serde_json::Value;

use super::text;

/// How wide bars are.
const BAR: usize = 48;

/// What is written on.
pub(super) struct Paper {
    has_colours: bool,
}

impl Paper {
    /// The terminal, if stdout is one; in colours, unless `NO_COLOR` is set.
    pub(super) fn of_terminal() -> Self {
        Self { has_colours: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() }
    }

    /// One frame: what it was, why it took so long, and each of its stages.
    pub(super) fn waterfall(&self, trace: &Value) -> String {
        let mut out = String::new();
        let total = micros(&trace["total_micros"]).max(1);
        // Writing to a string can't fail.
        let _ = writeln!(out, "{}  {}", self.bold(&millis(total)), heading(trace));
        let _ = writeln!(out, "  {}", text(&trace["why"]["text"]));
        for stage in trace["stages"].as_array().into_iter().flatten() {
            let (name, start, took) =
                (text(&stage["stage"]), micros(&stage["start_micros"]), micros(&stage["duration_micros"]));
            let at = |time: u64| (BAR as u64 * time.min(total) / total) as usize;
            let (from, until) = (at(start).min(BAR - 1), at(start + took));
            let bar = match until.saturating_sub(from) {
                0 => "\u{258f}".to_owned(),
                width => "\u{2588}".repeat(width),
            };
            let bar = self.coloured(name, &bar);
            let _ = writeln!(out, "  {name:<18} {:>9} {:>9}  {}{bar}", millis(start), millis(took), " ".repeat(from));
        }
        let _ = writeln!(out, "  {}", details(trace));
        out
    }

    /// One frame in a line, its bar in letters: b for the browser, n the network, s the server, p the plugin.
    pub(super) fn line(&self, trace: &Value) -> String {
        let total = micros(&trace["total_micros"]).max(1);
        let mut bar = String::new();
        let mut letters = 0;
        for stage in trace["stages"].as_array().into_iter().flatten() {
            let name = text(&stage["stage"]);
            let end = micros(&stage["start_micros"]) + micros(&stage["duration_micros"]);
            let until = (24 * end.min(total) / total) as usize;
            let letter = name.get(..1).unwrap_or(" ");
            bar.push_str(&self.coloured(name, &letter.repeat(until.saturating_sub(letters))));
            letters = letters.max(until);
        }
        let outcome = match text(&trace["reason"]) {
            "" => String::new(),
            reason => format!(" {reason}"),
        };
        let slow = if trace["is_slow"] == true { self.bold(" slow") } else { String::new() };
        format!(
            "{} {:>9} {bar}{} session {} frame {} {}{outcome}{slow} {}",
            time(micros(&trace["start_micros"])),
            millis(total),
            " ".repeat(24_usize.saturating_sub(letters)),
            trace["session"],
            trace["frame_id"],
            text(&trace["mode"]),
            text(&trace["trace_id"]),
        )
    }

    /// What the colours mean.
    pub(super) fn legend(&self) -> String {
        let sides = ["browser", "network", "server", "plugin"];
        let shown = sides.map(|side| format!("{} {side}", self.coloured(side, "\u{2588}\u{2588}")));
        shown.join("   ")
    }

    /// In the colour of the stage's side.
    fn coloured(&self, stage: &str, what: &str) -> String {
        let colour = match stage.split('.').next() {
            Some("browser") => 34,
            Some("network") => 33,
            Some("server") => 36,
            _ => 35,
        };
        if self.has_colours { format!("\u{1b}[{colour}m{what}\u{1b}[0m") } else { what.to_owned() }
    }

    fn bold(&self, what: &str) -> String {
        if self.has_colours { format!("\u{1b}[1m{what}\u{1b}[0m") } else { what.to_owned() }
    }
}

fn heading(trace: &Value) -> String {
    let is_answered = trace["outcome"] == "answered";
    let outcome = match (is_answered, trace["is_painted"] == true) {
        (true, true) => "painted".to_owned(),
        (true, false) => "answered".to_owned(),
        (false, _) => format!("dropped: {}", text(&trace["reason"])),
    };
    format!(
        "session {} frame {}  {}  {outcome}  generation {}  {}  {}",
        trace["session"],
        trace["frame_id"],
        text(&trace["mode"]),
        trace["generation"],
        time(micros(&trace["start_micros"])),
        text(&trace["trace_id"]),
    )
}

fn details(trace: &Value) -> String {
    let mut details = Vec::new();
    let build = text(&trace["build"]);
    if !build.is_empty() {
        let build = build.get(..12).unwrap_or(build);
        details.push(format!("{} by {} {build}", text(&trace["model"]), text(&trace["backend"])));
    }
    let size = |side: &str| format!("{}x{}", trace[format!("{side}_width_px")], trace[format!("{side}_height_px")]);
    details.push(format!("frame {} {} bytes", size("frame"), trace["frame_len_bytes"]));
    if trace["outcome"] == "answered" {
        details.push(format!("mask {} {} bytes", size("mask"), trace["result_len_bytes"]));
    }
    if trace["jpeg_quality"] != 0 {
        details.push(format!("quality {}", trace["jpeg_quality"]));
    }
    details.push(format!("in flight {}, queue {}", trace["in_flight"], trace["queue_depth"]));
    match trace["clock_error_micros"].as_u64() {
        Some(error) => details.push(format!("client's clock \u{b1}{}", millis(error))),
        None => details.push("client's clock unknown".into()),
    }
    if !text(&trace["kept"]).is_empty() {
        details.push(format!("kept: {}", text(&trace["kept"])));
    }
    details.join(", ")
}

fn micros(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

fn millis(micros: u64) -> String {
    crate::telemetry::millis(u32::try_from(micros).unwrap_or(u32::MAX))
}

/// The time of day, UTC, of microseconds since the epoch.
pub(super) fn time(epoch_micros: u64) -> String {
    let time = jiff::Timestamp::from_microsecond(epoch_micros.cast_signed()).unwrap_or_default();
    time.strftime("%H:%M:%S%.3f").to_string()
}

//! How much of the processor others took while a row was timed: figures of a busy machine are to be seen as such.

use std::time::Instant;

/// Of Linux, in all that it tells programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// Since when, and what the machine and we had used until then, in ticks.
pub(crate) struct Meter {
    began: Instant,
    machine: f64,
    ours: f64,
}

impl Meter {
    /// `processes` are those of ours beside this one; they stay the same.
    pub(crate) fn start(processes: &[u32]) -> Self {
        Self { began: Instant::now(), machine: of_machine().unwrap_or(0.0), ours: of_processes(processes) }
    }

    /// How many cores others kept busy since the start; nothing where the system doesn't tell.
    pub(crate) fn cores_of_others(&self, processes: &[u32]) -> Option<f64> {
        let others = of_machine()? - self.machine - (of_processes(processes) - self.ours);
        Some((others / TICKS_PER_SECOND / self.began.elapsed().as_secs_f64()).max(0.0))
    }
}

/// All that is neither idle nor waiting.
fn of_machine() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    let ticks: Vec<f64> =
        text.lines().next()?.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
    let [user, nice, system, _, _, interrupts, soft, steal] = *ticks.first_chunk()?;
    Some(user + nice + system + interrupts + soft + steal)
}

fn of_processes(processes: &[u32]) -> f64 {
    let ours = [std::process::id()];
    ours.iter().chain(processes).filter_map(|&process| of_process(process)).sum()
}

fn of_process(process: u32) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // Behind the name, which may have spaces, in user code and in the kernel.
    let (_, rest) = text.rsplit_once(") ")?;
    rest.split(' ').skip(11).take(2).map(|word| word.parse::<f64>().ok()).sum()
}

//! What a backend that crashes, hangs or lies costs the mode beside it, and how soon its own mode is back.
//!
//! `cargo xtask bench containment` builds what it needs. In one run: a client of the mode `fast` and one of a mode that
//! behaves, and the same with a misdeed each second, by turns. The bystander's round trips in both are compared.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use segue_tests::{Client, Event, Lab, gradient_jpeg};
use serde_json::{Value, json};
use tokio::{sync::watch, time::sleep_until};

const PACE: Duration = Duration::from_millis(33);

/// Widths of frames at which the plugin misbehaves, and how.
const MISDEEDS: [(u16, &str); 9] = [
    (101, "panic"),
    (111, "abort"),
    (105, "segfault"),
    (106, "stack overflow"),
    (107, "endless loop"),
    (108, "10 GB allocation"),
    (109, "exit"),
    (103, "classes out of range"),
    (102, "failure"),
];
const ROUNDS: usize = 4;
/// Frames that are fine after each misdeed: about a second of them.
const GOOD: usize = 30;
/// A hang is ended after this long.
const TIMEOUT: Duration = Duration::from_millis(500);

const MOST_RATIO: f64 = 1.2;
const MOST_AWAY: Duration = Duration::from_secs(1);

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    match run(std::env::args().any(|argument| argument == "--json")).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("containment: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(is_json: bool) -> Result<()> {
    let lab = Lab::beside_the_default(&format!("timeout_millis = {}", TIMEOUT.as_millis()))?;
    let server = lab.serve()?;
    let mut client = Client::connect(server.address()).await?;
    client.text(json!({"type": "mode", "mode": "lab"})).await?;
    while client.text_of("mode").await?["state"] != "ready" {}
    let (phase, phases) = watch::channel(Phase::Calm);
    let bystander = tokio::spawn(stand_by(Client::connect(server.address()).await?, phases));
    let (mut next, mut away) = (0, Vec::new());
    for _ in 0..ROUNDS {
        phase.send_replace(Phase::Calm);
        for _ in 0..GOOD * MISDEEDS.len() {
            good_frame(&mut client, &mut next).await?;
        }
        phase.send_replace(Phase::Chaos);
        for (width, what) in MISDEEDS {
            away.push((what, misbehave(&mut client, &mut next, width).await.context(what)?));
            for _ in 0..GOOD {
                good_frame(&mut client, &mut next).await?;
            }
        }
    }
    phase.send_replace(Phase::Over);
    let [calm, chaos] = bystander.await??;
    report(calm, chaos, &away, is_json)
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Calm,
    Chaos,
    Over,
}

/// Round trips of one client of the mode `fast` in milliseconds: in the calm, and in the chaos.
async fn stand_by(mut client: Client, phase: watch::Receiver<Phase>) -> Result<[Vec<f64>; 2]> {
    let (jpeg, mut millis, mut number) = (gradient_jpeg(640, 360)?, [Vec::new(), Vec::new()], 0);
    loop {
        let (now, start) = (*phase.borrow(), Instant::now());
        if now == Phase::Over {
            return Ok(millis);
        }
        client.frame(number, &jpeg).await?;
        let result = client.result().await?;
        ensure!(result.frame_id == number, "frame {number} was answered by {}", result.frame_id);
        millis[usize::from(now == Phase::Chaos)].push(1e3 * start.elapsed().as_secs_f64());
        number += 1;
        sleep_until((start + PACE).into()).await;
    }
}

async fn good_frame(client: &mut Client, next: &mut u32) -> Result<()> {
    let start = Instant::now();
    client.frame(*next, &gradient_jpeg(64, 48)?).await?;
    *next += 1;
    client.result().await?;
    sleep_until((start + PACE).into()).await;
    Ok(())
}

/// Sends one frame at which the plugin misbehaves; how long it took from its drop to the next result.
async fn misbehave(client: &mut Client, next: &mut u32, width: u16) -> Result<Duration> {
    client.frame(*next, &gradient_jpeg(width, 48)?).await?;
    *next += 1;
    client.text_of("dropped").await?;
    let start = Instant::now();
    while start.elapsed() < 10 * MOST_AWAY {
        client.frame(*next, &gradient_jpeg(64, 48)?).await?;
        *next += 1;
        loop {
            match client.next().await? {
                Event::Result(_) => return Ok(start.elapsed()),
                Event::Text(text) if text["type"] == "dropped" => break,
                Event::Text(_) => {}
                Event::Closed(code) => bail!("closed with {code:?}"),
            }
        }
    }
    bail!("the mode did not come back")
}

fn report(mut calm: Vec<f64>, mut chaos: Vec<f64>, away: &[(&str, Duration)], is_json: bool) -> Result<()> {
    let quantiles = |millis: &mut Vec<f64>| {
        millis.sort_by(f64::total_cmp);
        [0.5, 0.99].map(|share| millis[(millis.len() as f64 * share) as usize])
    };
    let ([calm_p50, calm_p99], [chaos_p50, chaos_p99]) = (quantiles(&mut calm), quantiles(&mut chaos));
    let ratio = chaos_p99 / calm_p99;
    let longest = away.iter().map(|(_, away)| *away).max().unwrap_or_default();
    let by_misdeed: Vec<(&str, f64)> = MISDEEDS
        .iter()
        .map(|(_, what)| {
            let longest = away.iter().filter(|(name, _)| name == what).map(|(_, away)| *away).max();
            (*what, 1e3 * longest.unwrap_or_default().as_secs_f64())
        })
        .collect();
    if is_json {
        let away: Value = by_misdeed.iter().map(|(what, millis)| ((*what).to_owned(), json!(millis))).collect();
        println!(
            "{}",
            json!({
                "calm_millis": {"p50": calm_p50, "p99": calm_p99}, "chaos_millis": {"p50": chaos_p50, "p99": chaos_p99},
                "p99_ratio": ratio, "away_millis": away,
            })
        );
    } else {
        println!("the mode beside it, {} and {} round trips, milliseconds", calm.len(), chaos.len());
        println!("calm    p50 {calm_p50:6.2}   p99 {calm_p99:6.2}");
        println!("chaos   p50 {chaos_p50:6.2}   p99 {chaos_p99:6.2}   ratio of p99 {ratio:.2}");
        println!("from a dropped frame to the next result of its own mode, the longest of {ROUNDS}, milliseconds");
        for (what, millis) in by_misdeed {
            println!("{what:<22}{millis:8.1}");
        }
    }
    ensure!(ratio <= MOST_RATIO, "expected a ratio of at most {MOST_RATIO}");
    ensure!(longest <= MOST_AWAY, "expected no mode away for longer than {MOST_AWAY:?}");
    Ok(())
}

//! What becomes of a server that is asked for too much, or in too many ways: nothing is lost, nobody is starved, and whoever
//! comes is let in.
//!
//! `cargo xtask bench overload` builds what it needs. Every figure is one of `segue bench --json`, whose clients are told
//! here what to do. The backend takes 20 ms for a frame, so that the load itself costs little beside it.

use std::{
    process::{Command, ExitCode, Stdio},
    thread::sleep,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use segue_tests::{Lab, Server, built, segue as program};
use serde_json::{Value, json};

/// Of a frame, on one of the two instances.
const DAWDLE: &str = "dawdle_millis = \"20\"";
/// Frames a second that they can do, nearly.
const MOST_FPS: u32 = 100;
const CLIENTS: u32 = 8;
const ROUNDS: usize = 3;
const SECONDS: u32 = 8;
const IDLE: u32 = 200;
const CONNECTS: u32 = 1000;
/// When the server is killed, from the start of the load.
const UNTIL_KILLED: Duration = Duration::from_secs(4);

/// What the others keep beside a greedy client, of what they have beside a decent one.
const LEAST_BESIDE_GREED: f64 = 0.95;
const MOST_IDLE_LEN_BYTES: f64 = 256e3;
const MOST_BACK_MILLIS: f64 = 2000.0;

fn main() -> ExitCode {
    match run(std::env::args().any(|argument| argument == "--json")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("overload: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A figure, what is wanted of it, and whether it is so.
struct Mark {
    name: &'static str,
    measured: String,
    wanted: String,
    holds: bool,
}

fn run(is_json: bool) -> Result<()> {
    let slow = Lab::install(&built("libmisbehaving.so")?, "misbehaving", DAWDLE)?;
    let fast = Lab::install(&built("libnull.so")?, "null", "")?;
    let marks = [
        ten_times(&slow)?,
        greed(&slow, "8 clients that send when they are answered", &["--fps", "0"])?,
        greed(&slow, "8 clients with 10 frames a second each", &["--fps", "10"])?,
        idle(&fast)?,
        connects(&fast)?,
        kill(&fast)?,
    ];
    for Mark { name, measured, wanted, holds } in marks.iter().filter(|_| !is_json) {
        println!("{} {name}: {measured} (wanted: {wanted})", if *holds { "ok  " } else { "FAIL" });
    }
    if is_json {
        let described = marks.iter().map(
            |mark| json!({ "name": mark.name, "measured": mark.measured, "wanted": mark.wanted, "holds": mark.holds }),
        );
        println!("{:#}", Value::from(described.collect::<Vec<_>>()));
    }
    ensure!(marks.iter().all(|mark| mark.holds), "a mark is missed");
    Ok(())
}

/// A server on which nothing but what is measured bounds its clients; frames are as wide as the slow backend is slow at.
fn serve(lab: &Lab) -> Result<Server> {
    let keys = ["capture.max_dimension_px=112", "modes.fast.instances=2", "limits.max_sessions=4096"];
    lab.serve_with(&keys.iter().flat_map(|key| ["--set", key]).collect::<Vec<_>>())
}

fn load(server: &Server, arguments: &[&str]) -> Command {
    let mut command = program(&["bench", "--json", "--url", &server.url("")]);
    command.args(["--seconds", &SECONDS.to_string()]).args(arguments);
    command
}

/// What its verdict is does not matter here.
fn figures(command: &mut Command) -> Result<Value> {
    let output = command.output()?;
    serde_json::from_slice(&output.stdout).with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

fn number(figures: &Value, path: &str) -> f64 {
    figures.pointer(path).and_then(Value::as_f64).unwrap_or(f64::NAN)
}

fn ten_times(lab: &Lab) -> Result<Mark> {
    let server = serve(lab)?;
    let fps = (10 * MOST_FPS / CLIENTS).to_string();
    let figures = figures(&mut load(&server, &["--clients", &CLIENTS.to_string(), "--fps", &fps, "--open-loop"]))?;
    let count = |name: &str| figures["frames"][name].as_u64().unwrap_or_default();
    let (sent, answered, dropped) = (count("sent"), count("answered"), count("dropped"));
    let profile: Value = serde_json::from_str(&server.get("/v1/profile")?.1)?;
    let deadline_millis = number(&profile, "/keys/limits.max_age_millis/value");
    let p99_millis = number(&figures, "/server_micros/total/p99") / 1e3;
    Ok(Mark {
        name: "ten times what it can do",
        measured: format!(
            "{sent} sent = {answered} answered + {dropped} dropped, p99 in the server {p99_millis:.0} ms"
        ),
        wanted: format!("to the frame, {deadline_millis} ms at most"),
        // It was too much, indeed.
        holds: sent == answered + dropped && sent > 5 * answered && p99_millis <= deadline_millis,
    })
}

/// Seven clients beside one that sends ten times what it is asked for, and beside one that does not.
fn greed(lab: &Lab, name: &'static str, pace: &[&str]) -> Result<Mark> {
    let server = serve(lab)?;
    let share = |clients: u32, greedy: &str| -> Result<[f64; 2]> {
        let clients = clients.to_string();
        let figures = figures(&mut load(&server, &[&["--clients", &clients, "--greedy", greedy], pace].concat()))?;
        Ok(["min", "mean"].map(|which| number(&figures, &format!("/fps_of_a_client/{which}"))))
    };
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let ([_, decent], [least, beside]) = (share(CLIENTS, "0")?, share(CLIENTS - 1, "1")?);
        ratios.push((beside / decent, least / decent, beside));
    }
    ratios.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (mean, least, fps) = ratios[ROUNDS / 2];
    Ok(Mark {
        name,
        measured: format!("beside a greedy one {fps:.1} frames a second: {mean:.3}, the least {least:.3}"),
        wanted: format!("at least {LEAST_BESIDE_GREED} of what they get beside a decent one"),
        holds: mean >= LEAST_BESIDE_GREED,
    })
}

fn idle(lab: &Lab) -> Result<Mark> {
    let figures = figures(&mut load(&serve(lab)?, &["--idle", &IDLE.to_string()]))?;
    let len_bytes = number(&figures, "/idle_session_bytes");
    Ok(Mark {
        name: "200 idle sessions",
        measured: format!("{:.0} KB of the server's memory each", len_bytes / 1e3),
        wanted: format!("{:.0} KB at most", MOST_IDLE_LEN_BYTES / 1e3),
        holds: len_bytes <= MOST_IDLE_LEN_BYTES,
    })
}

fn connects(lab: &Lab) -> Result<Mark> {
    let figures = figures(&mut load(&serve(lab)?, &["--connects", &CONNECTS.to_string()]))?;
    let (visits, failed) = (number(&figures, "/crowd/visits"), &figures["crowd"]["failed_visits"]);
    let due = f64::from(CONNECTS) / 60.0 * f64::from(SECONDS);
    Ok(Mark {
        name: "1000 connects and disconnects a minute",
        measured: format!(
            "{visits} in {SECONDS} s, failed: {failed}, {:.1} frames a second of the one that stays",
            number(&figures, "/fps")
        ),
        wanted: "none failed".into(),
        holds: *failed == json!({}) && visits >= 0.9 * due,
    })
}

/// kill -9 under load, and a new start at once.
fn kill(lab: &Lab) -> Result<Mark> {
    let server = serve(lab)?;
    let address = server.address().to_owned();
    let mut running = load(&server, &["--clients", &CLIENTS.to_string(), "--reconnect"]);
    let running = running.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    sleep(UNTIL_KILLED);
    server.signal("KILL")?;
    server.wait()?;
    let _again = Server::start_command(program(&["serve", "--listen", &address]).args(lab.places()))?;
    let figures: Value = serde_json::from_slice(&running.wait_with_output()?.stdout)?;
    let count = |name: &str| figures["frames"][name].as_u64().unwrap_or_default();
    let (back, lost) = (number(&figures, "/back_millis/max"), count("lost"));
    Ok(Mark {
        name: "kill -9 and a new start",
        measured: format!("the last client is back after {back:.0} ms, {lost} frames were lost with the server"),
        wanted: format!("{MOST_BACK_MILLIS} ms at most, and no more lost than were on their way"),
        holds: back <= MOST_BACK_MILLIS
            && lost <= u64::from(3 * CLIENTS)
            && count("sent") == count("answered") + count("dropped") + lost,
    })
}

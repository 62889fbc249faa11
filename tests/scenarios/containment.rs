//! What a backend does in its own process costs the frame that it held, and nothing else.

use std::{fs, path::Path, process::Command, time::Instant};

use anyhow::{Context, Result, ensure};
use segue_tests::{Client, Event, Lab, Live, Server, gradient_jpeg};
use serde_json::{Value, json};

/// Frames that are fine after each that is not.
const GOOD: u32 = 10;

/// A server with the default modes, and one that misbehaves.
struct Scene {
    lab: Lab,
    server: Server,
}

impl Scene {
    fn set(mode: &str) -> Result<Self> {
        let lab = Lab::beside_the_default(mode)?;
        // A flight recorder that fills while memory is compared would look like a leak.
        let small = "telemetry.traces.frames_per_session=16";
        let server = lab.serve_with(&["--set", "capture.min_frame_interval_millis=0", "--set", small])?;
        while server.get("/v1/modes")?.1.contains("\"state\":\"loading\"") {}
        Ok(Self { lab, server })
    }

    /// A client in the mode that misbehaves.
    async fn client(&self) -> Result<Client> {
        let mut client = Client::connect(self.server.address()).await?;
        client.text(json!({"type": "mode", "mode": "lab"})).await?;
        while client.text_of("mode").await?["state"] != "ready" {}
        Ok(client)
    }

    fn footprint(&self) -> Result<Footprint> {
        let process = format!("/proc/{}", self.server.id());
        let status = fs::read_to_string(format!("{process}/status"))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"));
            line.and_then(|kilobytes| kilobytes.parse::<u64>().ok()).context("a status without memory")
        };
        Ok(Footprint {
            // Without the frames that it shares with workers.
            memory_kilobytes: field("VmRSS:")? - field("RssShmem:")?,
            descriptors: fs::read_dir(format!("{process}/fd"))?.count(),
            workers: self.workers()?.len(),
        })
    }

    fn workers(&self) -> Result<Vec<String>> {
        let output = Command::new("pgrep").args(["-P", &self.server.id().to_string()]).output()?;
        Ok(String::from_utf8(output.stdout)?.split_whitespace().map(str::to_owned).collect())
    }
}

/// What the server's process holds.
#[derive(Debug)]
struct Footprint {
    memory_kilobytes: u64,
    descriptors: usize,
    workers: usize,
}

/// Has the backend misbehave as frames of `width` make it; why the frame was dropped.
async fn drop_of(client: &mut Client, frame_id: u32, width: u16) -> Result<String> {
    client.frame(frame_id, &gradient_jpeg(width, 50)?).await?;
    let dropped = client.text_of("dropped").await?;
    assert_eq!((&dropped["frame_id"], &dropped["reason"]), (&json!(frame_id), &json!("backend_failed")));
    Ok(dropped["message"].as_str().unwrap_or_default().to_owned())
}

/// Widths of frames, and what becomes of them.
const CASES: [(u16, &str); 9] = [
    (101, "panicked: frame"),
    (102, "frames of this width are not to its taste"),
    (103, "its mask has class 200, and it has 2 classes"),
    (111, "process was ended by SIGABRT"),
    (105, "process was ended by SIGSEGV"),
    (106, "process was ended by SIG"),
    (107, "took longer than 1000 ms"),
    (108, "memory allocation of 10737418240 bytes failed"),
    (109, "process ended by itself with 3"),
];

/// Has the backend do its worst, each time with frames in between that are fine. Frames count from `first`.
async fn misbehave(client: &mut Client, first: u32) -> Result<()> {
    for (number, (width, reason)) in (first..).step_by(GOOD as usize + 1).zip(CASES) {
        let said = drop_of(client, number, width).await?;
        ensure!(said.contains(reason), "{width}: {said}");
        let start = Instant::now();
        // A backend that crashes more often than at every tenth frame would be given up.
        for good in 1..=GOOD {
            client.frame(number + good, &gradient_jpeg(64, 50)?).await?;
            assert_eq!(client.result().await?.share(1), 1.0);
        }
        ensure!(start.elapsed().as_secs() < 5, "the mode was away for {:?} after {width}", start.elapsed());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_backend_does_costs_the_frame_that_it_held() -> Result<()> {
    let scene = Scene::set("timeout_millis = 1000\nmax_memory_len_bytes = 1073741824")?;
    let bystander = Live::start(scene.server.address(), gradient_jpeg(320, 180)?).await?;
    let mut client = scene.client().await?;
    client.frame(0, &gradient_jpeg(64, 50)?).await?;
    client.result().await?;
    // What the server needs only once, such as the code that starts a worker anew, is there after the first round.
    misbehave(&mut client, 1).await?;
    let before = scene.footprint()?;
    misbehave(&mut client, 1000).await?;
    let after = scene.footprint()?;
    let flow = bystander.finish().await?;
    ensure!(flow.dropped.is_empty() && flow.answered == flow.sent, "{flow:?}");
    assert_eq!((before.descriptors, before.workers), (after.descriptors, after.workers));
    let growth = after.memory_kilobytes as f64 / before.memory_kilobytes as f64;
    ensure!(growth < 1.05, "{before:?}, {after:?}");
    for (cause, count) in [("panicked", 2), ("died", 10), ("hung", 2), ("broke_contract", 2), ("failed", 2)] {
        let metric = format!("segue_backend_failures_total{{mode=\"lab\",cause=\"{cause}\"}}");
        assert_eq!(scene.server.metric(&metric)?, count, "{cause}");
    }
    assert_eq!(scene.server.metric("segue_instance_restarts_total{mode=\"lab\"}")?, 14);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_is_cut_short_while_it_is_mapped_costs_its_frame_at_most() -> Result<()> {
    let scene = Scene::set("")?;
    let mut client = scene.client().await?;
    let cut = |path: &Path| fs::OpenOptions::new().write(true).open(path)?.set_len(4096);
    // The installed file is nobody's but the operator's.
    cut(&scene.lab.path("plugins/libmisbehaving.so"))?;
    client.frame(0, &gradient_jpeg(64, 50)?).await?;
    client.result().await?;
    // The private copy is the server's: whoever cuts it ends the workers, and the mode is gone, and nothing else.
    for copy in fs::read_dir(scene.lab.path("cache/copies"))? {
        let copy = copy?.path();
        if copy.to_string_lossy().contains("misbehaving") {
            cut(&copy)?;
        }
    }
    client.frame(1, &gradient_jpeg(101, 50)?).await?;
    client.text_of("dropped").await?;
    client.frame(2, &gradient_jpeg(64, 50)?).await?;
    let said = client.text_of("dropped").await?;
    assert_eq!(said["reason"], "backend_failed", "{said}");
    let mut bystander = Client::connect(scene.server.address()).await?;
    bystander.frame(1, &gradient_jpeg(64, 50)?).await?;
    assert_eq!(bystander.result().await?.frame_id, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_falls_back_while_its_mode_is_away_and_returns() -> Result<()> {
    let scene = Scene::set("fallback = \"landscape\"")?;
    let mut client = scene.client().await?;
    let index =
        |name: &str| client.hello["modes"].as_array()?.iter().find(|mode| mode["name"] == name)?["index"].as_u64();
    let (lab, landscape) = (index("lab"), index("landscape"));
    let mut settler = scene.client().await?;
    let said = crash_until(&mut client, "mode").await?;
    assert_eq!((&said["mode"], &said["state"]), (&json!("landscape"), &json!("ready")));
    let message = said["message"].as_str().unwrap_or_default();
    ensure!(message.contains("\"lab\" is unavailable, \"landscape\" answers until it is back"), "{message}");
    client.frame(1000, &gradient_jpeg(64, 50)?).await?;
    assert_eq!(Some(client.result().await?.mode.into()), landscape);
    assert_eq!(scene.server.metric("segue_mode_given_up_total{mode=\"lab\"}")?, 1);
    // Whoever chooses the mode that stands in stays there.
    assert_eq!(settler.text_of("mode").await?["mode"], "landscape");
    settler.text(json!({"type": "mode", "mode": "landscape"})).await?;
    assert_eq!(settler.text_of("mode").await?["state"], "ready");
    // A new build is a new chance: nobody waits for the old one's rest to end.
    let plugin = scene.lab.path("plugins/libmisbehaving.so");
    fs::write(&plugin, [fs::read(&plugin)?, b"another build".to_vec()].concat())?;
    let back = client.text_of("mode").await?;
    assert_eq!((&back["mode"], &back["state"]), (&json!("lab"), &json!("ready")));
    client.frame(1001, &gradient_jpeg(64, 50)?).await?;
    let mode: u64 = client.result().await?.mode.into();
    ensure!(Some(mode) != landscape && Some(mode) != lab, "{mode} is an old build's");
    settler.frame(1, &gradient_jpeg(64, 50)?).await?;
    assert_eq!(Some(settler.result().await?.mode.into()), landscape);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_killed_from_outside_is_replaced() -> Result<()> {
    let scene = Scene::set("")?;
    let mut client = scene.client().await?;
    for frame_id in 0..5 {
        for worker in scene.workers()? {
            ensure!(Command::new("kill").args(["-KILL", &worker]).status()?.success());
        }
        let (dropped, answered) = (2 * frame_id, 2 * frame_id + 1);
        client.frame(dropped, &gradient_jpeg(64, 50)?).await?;
        let said = client.text_of("dropped").await?;
        ensure!(said["message"].as_str().is_some_and(|said| said.contains("SIGKILL")), "{said}");
        client.frame(answered, &gradient_jpeg(64, 50)?).await?;
        assert_eq!(client.result().await?.frame_id, answered);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_keeps_crashing_is_given_up_for_a_while_and_everybody_is_told() -> Result<()> {
    let scene = Scene::set("")?;
    let mut client = scene.client().await?;
    let modes = crash_until(&mut client, "modes").await?;
    let lab = modes["modes"].as_array().and_then(|modes| modes.iter().find(|mode| mode["name"] == "lab"));
    let message = lab.and_then(|lab| lab["message"].as_str()).unwrap_or_default();
    ensure!(message.contains("it crashed again and again") && message.contains("SIGABRT"), "{message}");
    assert_eq!(scene.server.get("/readyz")?.0, 200, "the default mode is none the worse");
    Ok(())
}

/// Crashes the backend until a text of `kind` comes in which the mode is not ready.
async fn crash_until(client: &mut Client, kind: &str) -> Result<Value> {
    let jpeg = gradient_jpeg(111, 50)?;
    for frame_id in 0..1_000_000 {
        client.frame(frame_id, &jpeg).await?;
        let (mut found, mut is_dropped) = (None, false);
        while !is_dropped {
            match client.next().await? {
                Event::Text(text) if text["type"] == "dropped" => is_dropped = true,
                Event::Text(text) if text["type"] == kind => {
                    found =
                        Some(text).filter(|text| kind != "modes" || state_of(text, "lab") == "unavailable").or(found);
                }
                Event::Text(_) => {}
                other => anyhow::bail!("{other:?}"),
            }
        }
        if let Some(found) = found {
            return Ok(found);
        }
    }
    anyhow::bail!("it went on for ever")
}

fn state_of<'a>(modes: &'a Value, name: &str) -> &'a str {
    let modes = modes["modes"].as_array().map(Vec::as_slice).unwrap_or_default();
    modes.iter().find(|mode| mode["name"] == name).and_then(|mode| mode["state"].as_str()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_end_with_the_server_however_that_ends() -> Result<()> {
    let scene = Scene::set("")?;
    scene.client().await?;
    let workers = scene.workers()?;
    ensure!(workers.len() > 2, "{workers:?}");
    scene.server.signal("KILL")?;
    let start = Instant::now();
    while workers.iter().any(|worker| is_alive(worker)) {
        ensure!(start.elapsed().as_secs() < 10, "workers live on");
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// Whether the process runs; one that has ended and is not collected yet does not.
fn is_alive(process: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_reaches_neither_the_network_nor_files_nor_other_processes() -> Result<()> {
    let scene = Scene::set("")?;
    let mut client = scene.client().await?;
    let said = drop_of(&mut client, 1, 110).await?;
    ensure!(said.contains("network: Err(Os { code: 1, kind: PermissionDenied"), "{said}");
    ensure!(said.contains("read: Ok(true)"), "{said}");
    ensure!(said.contains("start: Err(Os { code: 1,") && said.contains("signal: (-1, -1)"), "{said}");
    if said.contains("write: Ok") {
        eprintln!("SKIPPED: this kernel has no landlock, so a worker may write files");
    }
    Ok(())
}

//! What a backend does in its own process costs the frame that it held, and nothing else.

use std::{fs, path::Path, process::Command, time::Instant};

use anyhow::{Context, Result, ensure};
use segue_tests::{Client, Event, Live, Server, gradient_jpeg, program};
use serde_json::{Value, json};

/// A server with the default modes, and one that misbehaves.
struct Scene {
    _folder: tempfile::TempDir,
    server: Server,
}

impl Scene {
    fn set(mode: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        let built = program().parent().context("a program without a folder")?.to_owned();
        for part in ["plugins", "models", "profiles"] {
            fs::create_dir(folder.path().join(part))?;
        }
        for (from, to) in [
            (built.join("plugins/libselfie.so"), "plugins/libselfie.so"),
            (built.join("libmisbehaving.so"), "plugins/libmisbehaving.so"),
            (root.join("models/selfie.toml"), "models/selfie.toml"),
            (root.join("profiles/base.toml"), "profiles/base.toml"),
        ] {
            fs::copy(&from, folder.path().join(to)).with_context(|| format!("{} is missing", from.display()))?;
        }
        let lab = "backend = \"misbehaving\"\ntitle = \"Lab\"\nlicence = \"MIT\"\n";
        fs::write(folder.path().join("models/lab.toml"), lab)?;
        let overlay = format!("extends = \"base\"\n[modes.lab]\nmodel = \"lab\"\ninstances = 1\n{mode}\n");
        fs::write(folder.path().join("profiles/default.toml"), overlay)?;
        let part = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
        let places = [part("plugins"), part("models"), part("profiles")];
        let arguments = ["--plugins", &places[0], "--models", &places[1], "--profiles", &places[2]];
        let server = Server::start(&[&arguments[..], &["--set", "capture.min_frame_interval_millis=0"]].concat())?;
        Ok(Self { _folder: folder, server })
    }

    /// A client in the mode that misbehaves.
    async fn client(&self) -> Result<Client> {
        let mut client = Client::connect(self.server.address()).await?;
        client.text(json!({"type": "mode", "mode": "lab"})).await?;
        while client.text_of("mode").await?["state"] != "ready" {}
        Ok(client)
    }

    fn workers(&self) -> Result<Vec<String>> {
        let output = Command::new("pgrep").args(["-P", &self.server.id().to_string()]).output()?;
        Ok(String::from_utf8(output.stdout)?.split_whitespace().map(str::to_owned).collect())
    }
}

/// Has the backend misbehave as frames of `width` make it; why the frame was dropped.
async fn drop_of(client: &mut Client, frame_id: u32, width: u16) -> Result<String> {
    client.frame(frame_id, &gradient_jpeg(width, 50)?).await?;
    let dropped = client.text_of("dropped").await?;
    assert_eq!((&dropped["frame_id"], &dropped["reason"]), (&json!(frame_id), &json!("backend_failed")));
    Ok(dropped["message"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_backend_does_costs_the_frame_that_it_held() -> Result<()> {
    let scene = Scene::set("timeout_millis = 1000\nmax_memory_len_bytes = 1073741824")?;
    let bystander = Live::start(scene.server.address(), gradient_jpeg(320, 180)?).await?;
    let mut client = scene.client().await?;
    client.frame(0, &gradient_jpeg(64, 50)?).await?;
    client.result().await?;
    let cases = [
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
    for (number, (width, reason)) in (1..).step_by(2).zip(cases) {
        let said = drop_of(&mut client, number, width).await?;
        ensure!(said.contains(reason), "{width}: {said}");
        let start = Instant::now();
        client.frame(number + 1, &gradient_jpeg(64, 50)?).await?;
        assert_eq!(client.result().await?.share(1), 1.0);
        ensure!(start.elapsed().as_secs() < 5, "the mode was away for {:?} after {width}", start.elapsed());
    }
    let flow = bystander.finish().await?;
    ensure!(flow.dropped.is_empty() && flow.answered == flow.sent, "{flow:?}");
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
    let jpeg = gradient_jpeg(111, 50)?;
    let told = async {
        for frame_id in 0.. {
            client.frame(frame_id, &jpeg).await?;
            loop {
                match client.next().await? {
                    Event::Text(text) if text["type"] == "dropped" => break,
                    Event::Text(text) if text["type"] == "modes" && state_of(&text, "lab") == "unavailable" => {
                        return Ok(text);
                    }
                    Event::Text(_) => {}
                    other => anyhow::bail!("{other:?}"),
                }
            }
        }
        anyhow::bail!("it went on for ever")
    };
    let modes: Value = told.await?;
    let lab = modes["modes"].as_array().and_then(|modes| modes.iter().find(|mode| mode["name"] == "lab"));
    let message = lab.and_then(|lab| lab["message"].as_str()).unwrap_or_default();
    ensure!(message.contains("it crashed again and again") && message.contains("SIGABRT"), "{message}");
    assert_eq!(scene.server.get("/readyz")?.0, 200, "the default mode is none the worse");
    Ok(())
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
async fn a_worker_reaches_neither_the_network_nor_files() -> Result<()> {
    let scene = Scene::set("")?;
    let mut client = scene.client().await?;
    let said = drop_of(&mut client, 1, 110).await?;
    ensure!(said.contains("network: Err(Os { code: 1, kind: PermissionDenied"), "{said}");
    ensure!(said.contains("read: Ok(true)"), "{said}");
    if said.contains("write: Ok") {
        eprintln!("SKIPPED: this kernel has no landlock, so a worker may write files");
    }
    Ok(())
}

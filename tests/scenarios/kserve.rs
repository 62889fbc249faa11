//! Models on other machines: a Segue in front of servers of the Open Inference Protocol, which here are Segues, too. One of them
//! may go and come back; and whatever a remote does costs its frames.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    thread,
};

use anyhow::{Result, ensure};
use segue_tests::{Client, Event, Lab, Server, built, free_port, jpeg};
use serde_json::{Value, json};

/// A server that others send frames to, at `address`: it tells what is dark from what is bright.
struct Remote {
    server: Server,
    _lab: Lab,
}

fn remote(address: &str, set: &[&str]) -> Result<Remote> {
    let lab = Lab::install(&built("libbrightness.so")?, "brightness", "")?;
    let listen = format!("server.inference_listen=\"{address}\"");
    let mut arguments = vec!["--set", &listen];
    arguments.extend(set.iter().flat_map(|set| ["--set", *set]));
    Ok(Remote { server: lab.serve_with(&arguments)?, _lab: lab })
}

fn free_address() -> Result<String> {
    Ok(format!("127.0.0.1:{}", free_port()?))
}

/// An installation whose mode `far` is the mode `fast` of the servers at `endpoints`.
fn lab(endpoints: &[String], settings: &str, mode: &str) -> Result<Lab> {
    let lab = Lab::beside_the_default(&format!("[modes.far]\nmodel = \"far\"\n{mode}"))?;
    lab.add_plugin(&built("plugins/libkserve.so")?, "libkserve.so")?;
    let classes = "[[classes]]\nlabel = \"background\"\ncolour = [0, 0, 0]\n[[classes]]\nlabel = \"person\"\ncolour = [1, 2, 3]\n";
    lab.model(
        "far",
        "kserve",
        &format!("{classes}[settings]\nendpoints = {endpoints:?}\nmodel = \"fast\"\n{settings}"),
    )?;
    Ok(lab)
}

async fn client(server: &Server, mode: &str) -> Result<Client> {
    let mut client = Client::connect(server.address()).await?;
    client.text(json!({"type": "mode", "mode": mode})).await?;
    client.mode_is_ready().await?;
    Ok(client)
}

fn picture() -> Result<Vec<u8>> {
    jpeg(96, 64, |x, y| match (x, y) {
        (36..=60, 10..=33) => [240, 240, 200],
        (28..=68, 34..) => [40, 60, 50],
        _ => [20, 10, 20],
    })
}

/// Why the mode does not serve.
fn refusal(server: &Server) -> Result<String> {
    server.log_until("mode=\"far\" reason=")?;
    let modes: Value = serde_json::from_str(&server.get("/v1/modes")?.1)?;
    let all = modes["modes"].as_array().into_iter().flatten();
    let far = all.into_iter().find(|mode| mode["name"] == "far");
    Ok(far.map(|mode| mode["message"].to_string()).unwrap_or_default())
}

#[tokio::test]
async fn a_remote_mode_gives_the_mask_of_the_local_one_and_the_remote_joins_the_trace() -> Result<()> {
    let address = free_address()?;
    let far = remote(&address, &[])?;
    let lab = lab(&[format!("http://{address}")], "", "instances = 2")?;
    let server = lab.serve()?;
    let picture = picture()?;
    let mut direct = Client::connect(far.server.address()).await?;
    direct.frame(1, &picture).await?;
    let expected = direct.result().await?;
    let trace_id = [7; 16];
    let mask = client(&server, "far").await?.painted(1, &picture, trace_id).await?;
    ensure!(mask.labels == expected.labels && mask.labels.contains(&1) && mask.labels.contains(&0), "another mask");
    let path = format!("/v1/traces/{}", hex::encode(trace_id));
    for one in [&server, &far.server] {
        let (status, trace) = one.get(&path)?;
        ensure!(status == 200, "{} has no such trace: {trace}", one.address());
    }
    Ok(())
}

#[tokio::test]
async fn one_of_two_remotes_may_be_killed_under_load_and_comes_back_by_itself() -> Result<()> {
    let addresses = [free_address()?, free_address()?];
    let mut remotes = addresses.iter().map(|address| remote(address, &[])).collect::<Result<Vec<_>>>()?;
    let endpoints = addresses.clone().map(|address| format!("http://{address}"));
    let lab = lab(&endpoints, "health_interval_millis = 50", "instances = 2\nisolation = \"in-process\"")?;
    let server = lab.serve()?;
    let (mut one, mut other) = (client(&server, "far").await?, client(&server, "far").await?);
    let picture = picture()?;
    let (mut answered, mut lost, mut number) = (0, 0, 0);
    for round in 0..3 {
        for step in 0..60 {
            number += 1;
            one.frame(number, &picture).await?;
            other.frame(number, &picture).await?;
            if (round, step) == (1, 10) {
                // With two frames on their way.
                remotes.remove(0).server.signal("KILL")?;
            }
            for client in [&mut one, &mut other] {
                match client.answer().await? {
                    Event::Result(_) => answered += 1,
                    _ => lost += 1,
                }
            }
        }
    }
    ensure!(lost <= 2 && answered + lost == 360, "{answered} answered, {lost} lost");
    ensure!(server.log_has("gets no frames"), "it is said which one is gone");
    remotes.push(remote(&addresses[0], &[])?);
    server.log_until("gets frames again")?;
    one.frame(number + 1, &picture).await?;
    one.result().await?;
    println!("{answered} answered, {lost} lost");
    Ok(())
}

#[tokio::test]
async fn a_remote_that_is_late_or_talks_nonsense_costs_its_frames_and_is_told() -> Result<()> {
    // One that accepts and says nothing, and one that says nonsense.
    let (silent, nonsense) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
    let addresses = [silent.local_addr()?, nonsense.local_addr()?].map(|address| format!("http://{address}"));
    thread::spawn(move || silent.incoming().collect::<Vec<_>>());
    thread::spawn(move || {
        for stream in nonsense.incoming().flatten() {
            let mut stream = stream;
            let _ = stream.read(&mut [0; 64]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nhello, hello, hello, hello, hello");
        }
    });
    let nobody = format!("http://{}", free_address()?);
    let far_address = free_address()?;
    let _far = remote(&far_address, &[])?;
    let far = format!("http://{far_address}");
    for (endpoints, settings, expected) in [
        (vec![nobody.clone()], "", "refused"),
        (vec![addresses[0].clone()], "deadline_millis = 200", "no answer within 200 ms"),
        (vec![addresses[1].clone()], "", "no server says what the model"),
        (vec!["ftp://x".into()], "", "expected http:// or https://"),
        (vec![far.clone()], "output = \"depth\"", "the network's outputs are mask, confidence"),
        (vec![far.clone()], "input = \"depth\"", "is \\\"image\\\""),
        (vec![far.clone()], "kind = \"matte\"", "a matte is of floats"),
        (vec![far.clone()], "headers = { \"a b\" = \"c\" }", "headers"),
        (vec![far.clone()], "ports = 1", "unknown field `ports`"),
        (vec![], "", "name at least one server"),
    ] {
        let server = lab(&endpoints, settings, "")?.serve()?;
        let said = refusal(&server)?;
        ensure!(said.contains(expected), "{endpoints:?} {settings}: {said}");
        ensure!(server.get("/readyz")?.0 == 200, "the default mode serves");
    }
    // A remote that is not there at the start is no reason not to start, as long as another one is.
    let server = lab(&[nobody, far], "", "instances = 1")?.serve()?;
    let mut client = client(&server, "far").await?;
    for number in 1..=5 {
        client.frame(number, &picture()?).await?;
        client.result().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_certificate_has_to_be_of_the_server_and_of_whom_it_is_trusted() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let made = rcgen::generate_simple_self_signed(vec!["segue.example".to_owned()])?;
    let (certificate, key) = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
    fs::write(&certificate, made.cert.pem())?;
    fs::write(&key, made.signing_key.serialize_pem())?;
    let address = free_address()?;
    let _far = remote(
        &address,
        &[
            &format!("server.tls.certificate_file={:?}", certificate.display().to_string()),
            &format!("server.tls.key_file={:?}", key.display().to_string()),
        ],
    )?;
    let endpoints = [format!("https://{address}")];
    let trusted = format!("ca_file = {:?}\n", certificate.display().to_string());
    for (settings, expected) in [
        (String::new(), "UnknownIssuer"),
        (trusted.clone(), "not valid for name"),
        ("ca_file = \"/nowhere/ca.pem\"".into(), "/nowhere/ca.pem"),
    ] {
        let server = lab(&endpoints, &settings, "")?.serve()?;
        let said = refusal(&server)?;
        ensure!(said.contains(expected), "{settings}: {said}");
    }
    let server = lab(&endpoints, &format!("{trusted}server_name = \"segue.example\""), "")?.serve()?;
    let mut client = client(&server, "far").await?;
    client.frame(1, &picture()?).await?;
    ensure!(client.result().await?.labels.contains(&1));
    Ok(())
}

//! More than a server can do, of all kinds: what is over a limit is refused at once with its reason, and all else goes on.

use std::{
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::TcpStream,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use segue_tests::{Client, Event, Lab, Live, Profiles, Server, built, gradient_jpeg, segue};
use serde_json::json;

/// The backend dawdles over frames of this width.
const SLOW_WIDTH: u16 = 112;

/// A server whose one instance takes 20 ms for a frame.
fn slow(lines: &str) -> Result<(Lab, Server)> {
    let lab = Lab::install(&built("libmisbehaving.so")?, "misbehaving", "dawdle_millis = \"20\"")?;
    lab.profile(lines)?;
    let server = lab.serve()?;
    Ok((lab, server))
}

/// What a client's frames came to.
#[derive(Default)]
struct Seen {
    latencies: Vec<Duration>,
    drops: Vec<String>,
    sent: u32,
}

/// Keeps two frames in flight for `time`, or one every `interval`.
async fn stream(mut client: Client, jpeg: &[u8], time: Duration, interval: Duration) -> Result<Seen> {
    let (mut seen, mut sent_at) = (Seen::default(), std::collections::HashMap::new());
    let start = Instant::now();
    while start.elapsed() < time || !sent_at.is_empty() {
        while sent_at.len() < 2 && start.elapsed() < time && start.elapsed() >= interval * seen.sent {
            seen.sent += 1;
            sent_at.insert(seen.sent, Instant::now());
            client.frame(seen.sent, jpeg).await?;
        }
        if sent_at.is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        }
        match client.answer().await? {
            Event::Result(result) => {
                let sent = sent_at.remove(&result.frame_id).context("an answer to nothing")?;
                seen.latencies.push(sent.elapsed());
            }
            Event::Text(text) => {
                let frame_id = text["frame_id"].as_u64().context("a drop of no frame")? as u32;
                sent_at.remove(&frame_id).context("a drop of nothing")?;
                seen.drops.push(text["reason"].as_str().unwrap_or_default().to_owned());
            }
            other => bail!("{other:?}"),
        }
    }
    Ok(seen)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_times_too_much_is_answered_or_dropped_to_the_frame_and_what_is_answered_is_in_time() -> Result<()> {
    const DEADLINE: Duration = Duration::from_millis(400);
    let (_lab, server) = slow("[limits]\nmax_age_millis = 400\n[capture]\nmin_frame_interval_millis = 0")?;
    let jpeg = gradient_jpeg(SLOW_WIDTH, 64)?;
    // Each sends as often as the one instance could answer all alone.
    let mut clients = Vec::new();
    for _ in 0..10 {
        let client = Client::connect(server.address()).await?;
        let jpeg = jpeg.clone();
        clients.push(tokio::spawn(async move {
            stream(client, &jpeg, Duration::from_secs(3), Duration::from_millis(20)).await
        }));
    }
    let mut shares = Vec::new();
    for client in clients {
        let mut seen = client.await??;
        ensure!(seen.latencies.len() + seen.drops.len() == seen.sent as usize, "{} sent", seen.sent);
        seen.latencies.sort();
        let p99 = seen.latencies[seen.latencies.len() * 99 / 100];
        ensure!(p99 <= DEADLINE, "the 99th percentile is {p99:?}");
        shares.push(seen.latencies.len());
    }
    let (least, most) = (shares.iter().min().context("none")?, shares.iter().max().context("none")?);
    ensure!(*most <= *least + *least / 4 + 2, "they do not take turns: {shares:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn preferred_clients_come_first_and_all_others_still_take_turns() -> Result<()> {
    let tokens = ["the-token-of-the-stage", "the-token-of-the-public"];
    let (_lab, server) = slow(&format!(
        "[capture]\nmin_frame_interval_millis = 0\n[security]\npreferred_clients = [\"stage\"]\n\
         [security.client_tokens]\nstage = \"{}\"\npublic = \"{}\"",
        tokens[0], tokens[1]
    ))?;
    let jpeg = gradient_jpeg(SLOW_WIDTH, 64)?;
    let mut clients = Vec::new();
    for number in 0..6 {
        let client = Client::connect_with(server.address(), tokens[usize::from(number > 0)]).await?;
        let jpeg = jpeg.clone();
        clients.push(tokio::spawn(async move { stream(client, &jpeg, Duration::from_secs(3), Duration::ZERO).await }));
    }
    let mut answered = Vec::new();
    for client in clients {
        answered.push(client.await??.latencies.len());
    }
    let (stage, public) = (answered[0], &answered[1..]);
    let (least, most) = (public.iter().min().context("none")?, public.iter().max().context("none")?);
    // One of theirs waits beside the stage's, so that it gets half of all.
    ensure!(stage >= 2 * most, "the stage is not preferred: {answered:?}");
    ensure!(*least > 0 && *most <= *least + *least / 4 + 2, "the others do not take turns: {answered:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_finds_the_queue_full_is_told_at_once() -> Result<()> {
    let (_lab, server) = slow("[limits]\nmax_waiting = 1\nmax_age_millis = 60000")?;
    let jpeg = gradient_jpeg(SLOW_WIDTH, 64)?;
    let mut clients = Vec::new();
    for _ in 0..6 {
        clients.push(Client::connect(server.address()).await?);
    }
    for client in &mut clients {
        client.frame(1, &jpeg).await?;
    }
    let mut answered = 0;
    for client in &mut clients {
        match client.answer().await? {
            Event::Result(_) => answered += 1,
            Event::Text(text) => assert_eq!(text["reason"], "overloaded", "{text}"),
            other => bail!("{other:?}"),
        }
    }
    // One runs, one waits; and whoever came after those were done.
    assert!((2..6).contains(&answered), "{answered}");
    Ok(())
}

#[tokio::test]
async fn frames_over_the_rate_are_dropped_and_the_rate_follows_the_profile() -> Result<()> {
    let profiles = Profiles::copy()?;
    profiles.overlay("default", "[limits]\nmax_frames_per_second = 5")?;
    let server = profiles.serve(&["--set", "capture.max_in_flight=64"])?;
    let (mut client, jpeg) = (Client::connect(server.address()).await?, gradient_jpeg(64, 64)?);
    let mut limited = 0;
    for frame_id in 1..=30 {
        client.frame(frame_id, &jpeg).await?;
        if let Event::Text(text) = client.answer().await? {
            assert_eq!(text["reason"], "rate_limited", "{text}");
            limited += 1;
        }
    }
    assert!(limited >= 20, "{limited} of 30 were over the rate");
    profiles.overlay("default", "[limits]\nmax_frames_per_second = 5000")?;
    server.applied(2)?;
    for frame_id in 31..=60 {
        client.frame(frame_id, &jpeg).await?;
        ensure!(matches!(client.answer().await?, Event::Result(_)), "frame {frame_id}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_talks_too_fast_is_heard_at_the_rate_and_nobody_else_waits() -> Result<()> {
    let server = Server::start(&["--set", "limits.max_messages_per_second=50"])?;
    let (mut loud, mut other) = (Client::connect(server.address()).await?, Client::connect(server.address()).await?);
    let (start, jpeg) = (Instant::now(), gradient_jpeg(64, 64)?);
    for number in 0..150 {
        loud.text(json!({"type": "clock", "sent": number})).await?;
    }
    other.frame(1, &jpeg).await?;
    other.result().await?;
    assert!(start.elapsed() < Duration::from_secs(1), "the other one waited {:?}", start.elapsed());
    for _ in 0..150 {
        loud.text_of("clock").await?;
    }
    // The first 50 come at once.
    assert!(start.elapsed() > Duration::from_millis(1900), "heard in {:?}", start.elapsed());
    Ok(())
}

#[tokio::test]
async fn a_session_that_says_nothing_and_answers_no_ping_is_ended() -> Result<()> {
    let server = Server::start(&["--set", "limits.idle_timeout_millis=400"])?;
    // It reads, so that its pings are answered.
    let there = Live::start(server.address(), gradient_jpeg(64, 64)?).await?;
    let mut quiet = Client::connect(server.address()).await?;
    let mut gone = Client::connect(server.address()).await?;
    let reading = tokio::time::timeout(Duration::from_millis(1500), quiet.text_of("error")).await;
    ensure!(reading.is_err(), "who answers pings stays: {reading:?}");
    // This one has not been read from all the while.
    let error = gone.text_of("error").await?;
    assert_eq!(error["code"], "idle", "{error}");
    assert_eq!(gone.next().await?, Event::Closed(Some(1008)));
    there.finish().await?;
    Ok(())
}

/// What the server says until it closes the connection.
fn rest_of(stream: &mut TcpStream) -> Result<String> {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => return Err(anyhow::Error::from(error).context("it is not closed")),
    }
    Ok(String::from_utf8_lossy(&rest).into_owned())
}

#[test]
fn who_dawdles_over_a_request_is_cut_off() -> Result<()> {
    let server = Server::start(&["--set", "limits.request_timeout_millis=300"])?;
    let connect = || {
        let stream = TcpStream::connect(server.address())?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        anyhow::Ok(stream)
    };
    // One that says nothing, one that stops in the head, one that stops in the body, one that has been answered.
    let mut silent = connect()?;
    let mut in_the_head = connect()?;
    in_the_head.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n")?;
    let mut in_the_body = connect()?;
    in_the_body.write_all(b"POST /v1/segment HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc")?;
    let mut answered = connect()?;
    answered.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    for (name, stream) in [("silent", &mut silent), ("in the head", &mut in_the_head)] {
        let said = rest_of(stream).context(name)?;
        ensure!(said.is_empty() || said.contains("408"), "{name}: {said}");
    }
    ensure!(rest_of(&mut in_the_body).context("in the body")?.contains("408"));
    ensure!(rest_of(&mut answered).context("answered")?.contains("200 OK"));
    ensure!(server.get("/healthz")?.0 == 200);
    Ok(())
}

#[test]
fn connections_over_the_limit_are_refused_and_room_comes_back() -> Result<()> {
    let server = Server::start(&["--set", "limits.max_connections=5"])?;
    let open = |_| TcpStream::connect(server.address());
    let mut held = (0..5).map(open).collect::<Result<Vec<_>, _>>()?;
    let mut refused = TcpStream::connect(server.address())?;
    let said = rest_of(&mut refused)?;
    ensure!(said.contains("503") && said.contains("Retry-After"), "{said}");
    held.clear();
    // The server notices a moment later.
    let room = (0..100).find(|_| {
        std::thread::sleep(Duration::from_millis(10));
        server.get("/healthz").is_ok_and(|(status, _)| status == 200)
    });
    ensure!(room.is_some(), "no room came back");
    ensure!(server.metric("segue_connections_refused_total")? >= 1);
    Ok(())
}

#[tokio::test]
async fn a_drain_turns_readiness_tells_sockets_and_ends_with_0() -> Result<()> {
    const ADMIN: &str = "the token of the admin";
    let set = format!("security.admin_token=\"{ADMIN}\"");
    let server = Server::start(&["--set", &set, "--set", "server.drain_delay_millis=700"])?;
    let mut client = Client::connect(server.address()).await?;
    assert_eq!(server.post_as("wrong", "/v1/admin/drain", "")?.0, 401);
    let (status, said) = server.post_as(ADMIN, "/v1/admin/drain", "")?;
    assert!(status == 202 && said.contains("draining"), "{status} {said}");
    server.log_until("Leaving")?;
    assert_eq!(server.get("/readyz")?.0, 503);
    assert_eq!(server.get("/healthz")?.0, 200);
    // Clients are served on until whoever sends them has noticed.
    client.frame(1, &gradient_jpeg(64, 64)?).await?;
    client.result().await?;
    let error = client.text_of("error").await?;
    assert_eq!((&error["code"], &error["recoverable"]), (&json!("going_away"), &json!(true)), "{error}");
    assert_eq!(client.next().await?, Event::Closed(Some(1001)));
    drop(client);
    assert_eq!(server.wait()?.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn a_log_that_nobody_reads_holds_up_nobody() -> Result<()> {
    let lab = Lab::install(&built("libnull.so")?, "null", "")?;
    // A pipe holds 64 KB; then whoever writes to it waits for its reader.
    let (unread, pipe) = std::io::pipe()?;
    let mut command = segue(&["serve", "--listen", "127.0.0.1:0", "--set", "telemetry.log=trace"]);
    command.args(lab.places()).stdout(Stdio::piped()).stderr(pipe);
    let mut server = Running(command.spawn()?);
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().context("no stdout")?).read_line(&mut line)?;
    let address = line.trim().split("://").nth(1).context("no address")?.to_owned();
    let jpeg = gradient_jpeg(64, 64)?;
    for _ in 0..200 {
        let mut client = Client::connect(&address).await?;
        client.frame(1, &jpeg).await?;
        client.result().await?;
    }
    // As it was full, the server did not notice.
    let mut first = [0; 1];
    (&unread).read_exact(&mut first)?;
    let metrics = ureq::get(format!("http://{address}/metrics")).call()?.body_mut().read_to_string()?;
    let lost = metrics.lines().find_map(|line| line.strip_prefix("segue_log_lines_lost ")).context("no metric")?;
    ensure!(lost.parse::<u64>()? > 0, "the pipe was never full");
    Ok(())
}

/// Ended when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

//! Collectors of all kinds: behind TLS, with a key, gone, slow, broken. No frame waits for any of them.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use segue_tests::{Collector, Profiles, Server, Viewer, gradient_jpeg, segue};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};
use ureq::http;

/// A server that keeps every frame; `lines` say where to, in TOML.
struct Scene {
    profiles: Profiles,
    server: Server,
}

impl Scene {
    fn set(otlp: &str, environment: &[(&str, &str)]) -> Result<Self> {
        let profiles = Profiles::copy()?;
        profiles.overlay("default", &Self::lines(otlp))?;
        let mut command = segue(&["serve", "--listen", "127.0.0.1:0", "--profiles"]);
        command.arg(profiles.directory()).env("OTEL_BSP_SCHEDULE_DELAY", "50").envs(environment.iter().copied());
        Ok(Self { server: Server::start_command(&mut command)?, profiles })
    }

    fn lines(otlp: &str) -> String {
        let traces = "[telemetry.traces]\nsample_ratio = 1.0\nmax_spans_per_second = 1000000";
        format!("[capture]\nmin_frame_interval_millis = 0\n{traces}\n[telemetry.otlp]\n{otlp}")
    }

    /// How many spans there were with this outcome.
    fn spans(&self, outcome: &str) -> u64 {
        self.server.metric(&format!("segue_spans_total{{outcome=\"{outcome}\"}}")).unwrap_or(0)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What ends TLS before a collector, as in many a deployment; it notes what goes up.
struct TlsProxy {
    port: u16,
    /// Who vouches for it.
    ca: String,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl TlsProxy {
    async fn start(collector_port: u16) -> Result<Self> {
        let mut ca = CertificateParams::new(Vec::new())?;
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_key = KeyPair::generate()?;
        let ca_pem = ca.self_signed(&ca_key)?.pem();
        let key = KeyPair::generate()?;
        let certificate =
            CertificateParams::new(vec!["localhost".to_owned()])?.signed_by(&key, &Issuer::new(ca, ca_key))?;
        let key = key.serialize_der().try_into().map_err(anyhow::Error::msg)?;
        let config = ServerConfig::builder().with_no_client_auth();
        let mut config = config.with_single_cert(vec![certificate.der().clone()], key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let proxy = Self { port: listener.local_addr()?.port(), ca: ca_pem, seen: Arc::default() };
        let seen = Arc::clone(&proxy.seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
                // A client that does not believe it goes away.
                tokio::spawn(async move { pass_on(acceptor.accept(stream).await?, collector_port, &seen).await });
            }
        });
        Ok(proxy)
    }
}

async fn pass_on(
    client: tokio_rustls::server::TlsStream<tokio::net::TcpStream>,
    collector_port: u16,
    seen: &Mutex<Vec<u8>>,
) -> Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let collector = tokio::net::TcpStream::connect(("127.0.0.1", collector_port)).await?;
    let (mut from_collector, mut to_collector) = collector.into_split();
    let up = async {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let len_bytes = from_client.read(&mut buffer).await?;
            if len_bytes == 0 {
                return anyhow::Ok(());
            }
            lock(seen).extend(&buffer[..len_bytes]);
            to_collector.write_all(&buffer[..len_bytes]).await?;
        }
    };
    let down = async { Ok(tokio::io::copy(&mut from_collector, &mut to_client).await?) };
    tokio::select! { ended = up => ended, ended = down => ended.map(drop) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_behind_tls_is_trusted_by_its_ca_file_and_gets_the_headers() -> Result<()> {
    let Some(collector) = Collector::start()? else { return Ok(()) };
    for (number, (protocol, port)) in (1..).zip([("http", collector.ports().0), ("grpc", collector.ports().1)]) {
        let proxy = TlsProxy::start(port).await?;
        let folder = tempfile::tempdir()?;
        let ca_file = folder.path().join("ca.pem");
        std::fs::write(&ca_file, &proxy.ca)?;
        let unknown =
            format!("protocol = \"{protocol}\"\nendpoint = \"https://localhost:{}\"\ntimeout_millis = 500", proxy.port);
        let trusted = format!(
            "{unknown}\nca_file = {ca_file:?}\n[telemetry.otlp.headers]\nauthorization = \"Bearer of {protocol}\""
        );
        let environment = [("OTEL_EXPORTER_OTLP_HEADERS", "authorization=of%20the%20environment,x-other=too")];
        let scene = Scene::set(&unknown, &environment)?;
        let mut viewer = Viewer::connect(scene.server.address(), number).await?;
        let jpeg = gradient_jpeg(64, 48)?;
        viewer.watch(&jpeg, false).await?;
        let line = scene.server.log_until("The collector does not take traces")?;
        if protocol == "http" {
            ensure!(line.contains("certificate") || line.contains("UnknownIssuer"), "it does not say why: {line}");
        }
        scene.profiles.overlay("default", &Scene::lines(&trusted))?;
        scene.server.applied(2)?;
        let sent = viewer.watch(&jpeg, false).await?;
        collector.trace(&sent.trace_id, &["frame", "browser.paint"])?;
        if protocol == "http" {
            let seen = String::from_utf8_lossy(&lock(&proxy.seen)).into_owned();
            ensure!(seen.contains("authorization: Bearer of http\r\n"), "it got no key: {seen:.400}");
            ensure!(!seen.contains("environment") && !seen.contains("x-other"), "the profile has the say: {seen:.400}");
        }
    }
    Ok(())
}

/// The headers of the first call that comes to it by gRPC.
async fn first_call(listener: tokio::net::TcpListener) -> Result<http::HeaderMap> {
    let (stream, _) = listener.accept().await?;
    let mut connection = h2::server::handshake(stream).await?;
    let (request, mut respond) = connection.accept().await.context("no call")??;
    let answer = http::Response::builder().header("content-type", "application/grpc").body(())?;
    let mut body = respond.send_response(answer, false)?;
    // An empty message: neither compressed nor long.
    body.send_data(Bytes::from_static(&[0; 5]), false)?;
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", "0".parse()?);
    body.send_trailers(trailers)?;
    tokio::spawn(async move { while connection.accept().await.is_some() {} });
    Ok(request.headers().clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_by_grpc_carries_the_headers_of_the_profile_or_else_of_the_environment() -> Result<()> {
    let environment = [("OTEL_EXPORTER_OTLP_HEADERS", "x-key=of%20the%20environment,x-other=too")];
    for (headers, expected) in [
        ("[telemetry.otlp.headers]\nX-Key = \"of the profile\"", [Some("of the profile"), None]),
        ("", [Some("of the environment"), Some("too")]),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("protocol = \"grpc\"\nendpoint = \"http://{}\"\n{headers}", listener.local_addr()?);
        let call = tokio::spawn(first_call(listener));
        let scene = Scene::set(&endpoint, &environment)?;
        let mut viewer = Viewer::connect(scene.server.address(), 1).await?;
        viewer.watch(&gradient_jpeg(64, 48)?, false).await?;
        let headers = tokio::time::timeout(Duration::from_secs(30), call).await???;
        let of = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        assert_eq!([of("x-key"), of("x-other")], expected.map(|value| value.map(str::to_owned)));
    }
    Ok(())
}

/// A camera's pace, in frames a second.
const PACE: u32 = 60;

/// Sends a second's worth of frames at a camera's pace; how long it took until all were answered, and their traces.
async fn a_seconds_worth(viewer: &mut Viewer, jpeg: &[u8]) -> Result<(Duration, Vec<String>)> {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / PACE);
    let (start, mut traces) = (Instant::now(), Vec::new());
    for _ in 0..PACE {
        ticks.tick().await;
        traces.push(viewer.watch(jpeg, false).await?.trace_id);
    }
    Ok((start.elapsed(), traces))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_killed_under_load_costs_traces_that_are_counted_and_no_frame() -> Result<()> {
    let Some(collector) = Collector::start()? else { return Ok(()) };
    let (http_port, grpc_port) = collector.ports();
    // Short of patience and room, so that both run out within the second for which the collector is away.
    let otlp = format!("endpoint = \"{}\"\ntimeout_millis = 300", collector.http());
    let scene = Scene::set(&otlp, &[("OTEL_BSP_MAX_QUEUE_SIZE", "4")])?;
    let mut viewer = Viewer::connect(scene.server.address(), 1).await?;
    let jpeg = gradient_jpeg(320, 180)?;
    let mut collector = Some(collector);
    let (mut there, mut away) = (Duration::ZERO, Duration::ZERO);
    for round in 0..3 {
        let (took, traces) = a_seconds_worth(&mut viewer, &jpeg).await?;
        there += took;
        let last = traces.last().context("no frame")?;
        if round == 0 {
            collector.as_ref().context("it is there")?.trace(last, &["frame"])?;
        }
        drop(collector.take());
        away += a_seconds_worth(&mut viewer, &jpeg).await?.0;
        collector = Collector::start_at(http_port, grpc_port)?;
    }
    // By itself.
    let resumed = collector.context("it is there")?;
    loop {
        let trace = viewer.watch(&jpeg, false).await?.trace_id;
        let arrived: BTreeSet<_> = resumed.spans().into_iter().map(|span| span.trace_id).collect();
        if arrived.contains(&trace) || arrived.len() > 3 {
            break;
        }
    }
    let (lost, full) = (scene.spans("not_exported"), scene.spans("queue_full"));
    println!("with the collector {there:?}, without it {away:?}; {lost} spans not exported, {full} found no room");
    ensure!(lost > 0 && full > 0, "{lost} not exported, {full} found no room");
    // At this pace a server that waits for nobody answers each frame before the next.
    ensure!(away < there.mul_f64(1.05), "with the collector {there:?}, without it {away:?}");
    Ok(())
}

/// Frames a second that a client gets which waits for nothing but its answers.
async fn frames_a_second(viewer: &mut Viewer, jpeg: &[u8]) -> Result<f64> {
    const WINDOW: Duration = Duration::from_secs(2);
    let (start, mut frames) = (Instant::now(), 0);
    while start.elapsed() < WINDOW {
        viewer.watch(jpeg, false).await?;
        frames += 1;
    }
    Ok(f64::from(frames) / start.elapsed().as_secs_f64())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, for a machine that does nothing else"]
async fn at_full_speed_a_collector_that_goes_away_costs_less_than_one_frame_in_a_hundred() -> Result<()> {
    const ROUNDS: usize = 8;
    let Some(collector) = Collector::start()? else { return Ok(()) };
    let (http_port, grpc_port) = collector.ports();
    let scene = Scene::set(&format!("endpoint = \"{}\"", collector.http()), &[])?;
    let mut viewer = Viewer::connect(scene.server.address(), 1).await?;
    let jpeg = gradient_jpeg(640, 360)?;
    drop(collector);
    let (mut there, mut away) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let collector = Collector::start_at(http_port, grpc_port)?;
        there.push(frames_a_second(&mut viewer, &jpeg).await?);
        drop(collector);
        away.push(frames_a_second(&mut viewer, &jpeg).await?);
    }
    println!("with the collector {there:.0?}, without it {away:.0?}");
    let median = |windows: &mut Vec<f64>| {
        windows.sort_by(f64::total_cmp);
        windows[ROUNDS / 2]
    };
    let (there, away) = (median(&mut there), median(&mut away));
    println!("medians: with the collector {there:.1} a second, without it {away:.1}");
    ensure!(away > 0.99 * there, "with the collector {there} a second, without it {away}");
    Ok(())
}

/// Takes connections on a port of its own, and does `with_each` with each.
fn stand_in(with_each: fn(TcpStream)) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || with_each(stream));
        }
    });
    Ok(address.to_string())
}

fn says_nothing(mut stream: TcpStream) {
    // Until the other side gives up.
    while stream.read(&mut [0; 4096]).is_ok_and(|len_bytes| len_bytes > 0) {}
}

fn says_500(mut stream: TcpStream) {
    let (mut seen, mut buffer) = (Vec::<u8>::new(), [0; 1 << 16]);
    while let Ok(len_bytes @ 1..) = stream.read(&mut buffer) {
        seen.extend(&buffer[..len_bytes]);
        if seen.windows(4).any(|window| window == b"\r\n\r\n") {
            // Who does not listen any more has its reasons.
            let _ = stream
                .write_all(b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            return says_nothing(stream);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_silent_broken_or_not_there_yet_costs_no_frame_and_is_forgotten_when_replaced() -> Result<()>
{
    let Some(good) = Collector::start()? else { return Ok(()) };
    let silent = stand_in(says_nothing)?;
    let cases = [
        ("silent", format!("endpoint = \"http://{silent}\"\ntimeout_millis = 300")),
        ("silent by gRPC", format!("protocol = \"grpc\"\nendpoint = \"http://{silent}\"\ntimeout_millis = 300")),
        ("silent by TLS", format!("protocol = \"grpc\"\nendpoint = \"https://{silent}\"\ntimeout_millis = 300")),
        ("broken", format!("endpoint = \"http://{}\"", stand_in(says_500)?)),
        ("not there", format!("endpoint = \"http://127.0.0.1:{}\"\ntimeout_millis = 300", segue_tests::free_port()?)),
    ];
    let jpeg = gradient_jpeg(64, 48)?;
    for (number, (name, otlp)) in (1..).zip(cases) {
        let scene = Scene::set(&otlp, &[])?;
        let mut viewer = Viewer::connect(scene.server.address(), number).await?;
        let start = Instant::now();
        while scene.spans("not_exported") == 0 {
            viewer.watch(&jpeg, false).await?;
        }
        scene.server.log_until("The collector does not take traces").context(name)?;
        println!("{name}: given up after {:?}", start.elapsed());
        scene.profiles.overlay("default", &Scene::lines(&format!("endpoint = \"{}\"", good.http())))?;
        scene.server.applied(2)?;
        let sent = viewer.watch(&jpeg, false).await?;
        good.trace(&sent.trace_id, &["frame", "browser.paint"]).context(name)?;
    }
    // A server that ends waits for a silent one only for a moment.
    let scene = Scene::set(&format!("endpoint = \"http://{silent}\""), &[])?;
    let mut viewer = Viewer::connect(scene.server.address(), 99).await?;
    viewer.watch(&jpeg, false).await?;
    let start = Instant::now();
    scene.server.signal("TERM")?;
    ensure!(scene.server.wait()?.success(), "it ended badly");
    ensure!(start.elapsed() < Duration::from_secs(8), "it took {:?} to end", start.elapsed());
    Ok(())
}

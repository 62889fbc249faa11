//! `segue serve`.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Args;
use tokio::{
    net::TcpListener,
    runtime::Handle,
    signal::unix::{Signal, SignalKind, signal},
    sync::{Notify, watch},
};

use super::{
    CliResult, Failure,
    places::{PlaceArguments, ProfileArguments},
    supervisor,
};
use crate::{
    admission::Queue,
    config::{Layers, Profile, load},
    http::{self, Tls},
    model::{Places, Registry},
    plugin_host::bound_arenas,
    reload::{Reloader, Reloads, Trigger},
    session::{Phase, Service},
    telemetry::{self, Pulse, Telemetry},
};

/// A collector has so long to take the last traces of a server that stops.
const FLUSH_PATIENCE: Duration = Duration::from_secs(2);

/// Arguments of `segue serve`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  segue serve\n  segue serve --listen 0.0.0.0:8080\n  \
    segue serve --set server.default_mode=landscape\n\n\
    Missing weights are fetched for modes with `fetch = true`; of others the page and `segue models` say how to get them. SIGINT and SIGTERM let frames in flight finish.")]
pub(super) struct Serve {
    /// Address and port; the profile's `server.listen` when not given
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    profile: ProfileArguments,
    #[command(flatten)]
    places: PlaceArguments,
}

impl Serve {
    pub(super) fn run(self) -> CliResult {
        bound_arenas();
        let mut layers = self.profile.layers();
        // As a layer, so that an edit of the profile's own address is no change.
        layers.overrides.extend(self.listen.map(|listen| format!("server.listen={listen}")));
        let profile = load(&layers).map_err(Failure::wrong_usage)?.profile;
        let _log =
            telemetry::start_log(&profile.telemetry.log, profile.telemetry.log_format).map_err(Failure::wrong_usage)?;
        telemetry::report_into(&profile.telemetry.crash_folder);
        let places = self.places.places()?;
        let threads = io_threads(profile.server.io_threads);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
        let runtime = runtime.map_err(|error| Failure::does_not_hold(format!("no async runtime: {error}")))?;
        let result = runtime.block_on(serve(layers, &profile, places));
        // A backend that hangs must not keep the program from ending.
        runtime.shutdown_timeout(Duration::from_millis(200));
        result
    }
}

/// Few: frames have threads of their own, and what is left is waiting. On two cores a second one would cost frames.
fn io_threads(wanted: u32) -> usize {
    match wanted {
        0 => std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(4)),
        wanted => wanted as usize,
    }
}

async fn serve(layers: Layers, profile: &Profile, places: Places) -> CliResult {
    let (start, listen) = (Instant::now(), profile.server.listen);
    let listener = match supervisor::socket()? {
        Some(listener) => TcpListener::from_std(listener).map_err(Failure::does_not_hold)?,
        None => TcpListener::bind(listen).await.map_err(|error| {
            Failure::does_not_hold(format!("can't listen on {listen}: {error}; name another address with --listen"))
        })?,
    };
    let inference = inference_listener(profile).await?;
    let address = listener.local_addr().unwrap_or(listen);
    warn_of_the_open(address, profile);
    let tls = Tls::of(&profile.server.tls).map_err(Failure::wrong_usage)?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    if let Some(tls) = &tls {
        tokio::spawn(Arc::clone(tls).follow());
    }
    let stopping = stop_signal()?;
    let (turn, phase) = watch::channel(Phase::Serving);
    let telemetry = Telemetry::start(&profile.telemetry);
    let registry = Arc::new(Registry::new(&places, Arc::clone(&telemetry), |step| tracing::info!("{step}")));
    let (reloader, reloads) =
        Reloader::start(layers, Arc::clone(&registry), Arc::clone(&telemetry)).map_err(Failure::wrong_usage)?;
    reload_on_its_own_thread(reloader)?;
    reload_at_hangup(reloads.clone())?;
    let (queue, stop_wanted) = (Queue::default(), Notify::new());
    let pulse = Pulse::feel(Handle::current(), supervisor::alive)
        .map_err(|error| Failure::does_not_hold(format!("no thread for the pulse: {error}")))?;
    let service = Arc::new(Service { reloads, registry, telemetry, queue, pulse, phase, stop_wanted });
    tokio::spawn(announce(Arc::clone(&service), format!("{scheme}://{address}"), start));
    let server = tokio::spawn(http::serve(http::Listeners { main: listener, inference }, tls, Arc::clone(&service)));
    tokio::select! {
        () = stopping => {}
        () = service.stop_wanted.notified() => {}
    }
    supervisor::stopping();
    leave(&service, &turn).await;
    tracing::info!("Stopping: frames in flight are finished");
    turn.send_replace(Phase::Stopping);
    let ended = tokio::time::timeout(service.configuration().drain_timeout, server).await;
    service.telemetry.flush(FLUSH_PATIENCE).await;
    match ended {
        Ok(Ok(())) => tracing::info!("Stopped"),
        Ok(Err(error)) => return Err(Failure::does_not_hold(error)),
        Err(_elapsed) => tracing::warn!("Stopped with clients still connected"),
    }
    Ok(())
}

async fn inference_listener(profile: &Profile) -> Result<Option<TcpListener>, Failure> {
    // A profile that is valid has an address there, or nothing.
    let Ok(address) = profile.server.inference_listen.parse::<SocketAddr>() else { return Ok(None) };
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|error| {
        Failure::does_not_hold(format!(
            "can't listen on {address}: {error}; name another address by server.inference_listen"
        ))
    })?;
    let address = listener.local_addr().unwrap_or(address);
    tracing::info!(%address, "Speaks the Open Inference Protocol");
    warn_of_the_open(address, profile);
    Ok(Some(listener))
}

fn warn_of_the_open(address: SocketAddr, profile: &Profile) {
    if address.ip().is_loopback() {
        return;
    }
    if profile.security.client_tokens.is_empty() {
        tracing::warn!(%address, "Anyone who reaches this address can use the server: security.client_tokens bounds that");
    }
    if profile.server.tls.certificate_file.is_empty() && profile.security.trusted_proxies.is_empty() {
        tracing::warn!(%address, "Without server.tls everybody on the way sees pictures and tokens");
    }
}

/// Says that clients had better go elsewhere, and serves them until those who send them have noticed.
async fn leave(service: &Service, turn: &watch::Sender<Phase>) {
    let delay = service.configuration().drain_delay;
    if !delay.is_zero() {
        turn.send_replace(Phase::Leaving);
        tracing::info!(?delay, "Leaving: /readyz says so, and clients are served on for a while");
        tokio::time::sleep(delay).await;
    }
}

/// A reload reads files and waits for models: whatever holds it up, clients are served.
fn reload_on_its_own_thread(reloader: Reloader) -> CliResult {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.map_err(|error| Failure::does_not_hold(format!("no runtime for reloads: {error}")))?;
    let thread = std::thread::Builder::new().name("reload".into());
    let started = thread.spawn(move || runtime.block_on(reloader.run()));
    started.map(drop).map_err(|error| Failure::does_not_hold(format!("no thread for reloads: {error}")))
}

/// SIGHUP reads the profile again, as operators expect.
fn reload_at_hangup(reloads: Reloads) -> CliResult {
    let mut hangup = signal_handler(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            let reloads = reloads.clone();
            // The receipt is logged. A reload that takes long must not make the next signal wait.
            tokio::spawn(async move { reloads.reload(Trigger::Signal, None).await });
        }
    });
    Ok(())
}

fn signal_handler(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::does_not_hold(format!("no signal handler: {error}")))
}

/// Done at the first SIGINT or SIGTERM. The handlers are in place when this returns.
fn stop_signal() -> Result<impl Future<Output = ()>, Failure> {
    let mut interrupt = signal_handler(SignalKind::interrupt())?;
    let mut terminate = signal_handler(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Prints the address, as soon as the default mode serves or can't.
async fn announce(service: Arc<Service>, url: String, start: Instant) {
    let configuration = service.configuration();
    let mode = configuration.modes.default_mode();
    match mode.ready().await {
        Ok(_model) => {
            println!("Segue is ready at {url}");
            supervisor::ready(&format!("serves at {url}"));
            tracing::info!(url, after_millis = start.elapsed().as_millis(), "Ready");
        }
        Err(_told_already) => {
            println!("Segue listens at {url}, but its default mode {:?} is unavailable", mode.name);
            supervisor::ready(&format!("listens at {url}; mode {:?} is unavailable", mode.name));
        }
    }
}

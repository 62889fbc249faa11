//! `segue serve`.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Args;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use super::{
    CliResult, Failure,
    places::{PlaceArguments, ProfileArguments},
};
use crate::{
    config::Profile,
    http,
    model::{Places, Registry},
    pipeline::{self, Pipeline},
    session::Service,
    telemetry::{self, Metrics},
};

/// Arguments of `segue serve`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  segue serve\n  segue serve --listen 0.0.0.0:8080\n  \
    segue serve --set server.default_mode=landscape\n\n\
    Weights that are missing are fetched at the first start. SIGINT and SIGTERM let frames in flight finish.")]
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
        let (mut profile, _) = self.profile.load()?;
        if let Some(listen) = self.listen {
            profile.server.listen = listen;
        }
        telemetry::start_log(&profile.telemetry.log).map_err(Failure::wrong_usage)?;
        let places = self.places.places()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::does_not_hold(format!("no async runtime: {error}")))?;
        let result = runtime.block_on(serve(profile, places));
        // A backend that hangs must not keep the program from ending.
        runtime.shutdown_timeout(Duration::from_millis(200));
        result
    }
}

async fn serve(profile: Profile, places: Places) -> CliResult {
    let start = Instant::now();
    let listen = profile.server.listen;
    let listener = TcpListener::bind(listen).await.map_err(|error| {
        Failure::does_not_hold(format!("can't listen on {listen}: {error}; name another address with --listen"))
    })?;
    let address = listener.local_addr().unwrap_or(listen);
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "Anyone who reaches this address can use the server");
    }
    let stopping = stop_signal()?;
    let (drain, draining) = watch::channel(false);
    let service = Arc::new(Service {
        registry: Registry::start(&places, &profile.modes, &profile.server.default_mode, |step| {
            tracing::info!("{step}");
        }),
        pipeline: Pipeline::new(pipeline::Settings { result: profile.result, limits: profile.limits }),
        metrics: Metrics::default(),
        capture: profile.capture,
        limits: profile.limits,
        security: profile.security,
        generation: 1,
        draining,
    });
    service.metrics.generation.set(service.generation.into());
    tokio::spawn(announce(Arc::clone(&service), address, start));
    let server = tokio::spawn(http::serve(listener, Arc::clone(&service), async move { service.stopping().await }));
    stopping.await;
    tracing::info!("Stopping: frames in flight are finished");
    drain.send_replace(true);
    match tokio::time::timeout(Duration::from_millis(profile.server.drain_timeout_millis), server).await {
        Ok(Ok(Ok(()))) => tracing::info!("Stopped"),
        Ok(Ok(Err(error))) => return Err(Failure::does_not_hold(error)),
        Ok(Err(error)) => return Err(Failure::does_not_hold(error)),
        Err(_elapsed) => tracing::warn!("Stopped with clients still connected"),
    }
    Ok(())
}

/// Done at the first SIGINT or SIGTERM. The handlers are in place when this returns.
fn stop_signal() -> Result<impl Future<Output = ()>, Failure> {
    let install = |kind| signal(kind).map_err(|error| Failure::does_not_hold(format!("no signal handler: {error}")));
    let (mut interrupt, mut terminate) = (install(SignalKind::interrupt())?, install(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Prints the address, as soon as the default mode serves or can't.
async fn announce(service: Arc<Service>, address: SocketAddr, start: Instant) {
    let mode = service.registry.default_mode();
    match mode.ready().await {
        Ok(_model) => {
            println!("Segue is ready at http://{address}");
            tracing::info!(%address, after_millis = start.elapsed().as_millis(), "Ready");
        }
        Err(_told_already) => {
            println!("Segue listens at http://{address}, but its default mode {:?} is unavailable", mode.name)
        }
    }
}

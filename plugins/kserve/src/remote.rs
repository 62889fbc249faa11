//! The servers that have a model: which of them gets a frame, which are well, what is tried again.
//!
//! A frame goes to the server with the fewest frames under way. One that can't be reached is ejected at once, one that is late after
//! three times in a row; it returns when it says that the model is ready. A frame is tried again, elsewhere, when its server was not
//! reached, broke off, or said that it is not available; never when it was late, or said what is wrong with the frame.

use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use segue_oip::{
    InferenceClient, ModelInferRequest, ModelInferResponse, ModelMetadataRequest, ModelMetadataResponse,
    ModelReadyRequest,
};
use segue_plugin::{Error, Result};
use tokio::{
    runtime::Runtime,
    time::{sleep, timeout},
};
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataKey, MetadataValue},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};

use crate::settings::RemoteSettings;

/// Late answers in a row after which a server is ejected.
const MOST_LATE: u32 = 3;

/// How often it is asked whether somebody still waits for a frame.
const STILL_WANTED: Duration = Duration::from_millis(10);

/// The largest answer: scores of 256 classes for a large picture.
const LARGEST_ANSWER_LEN_BYTES: usize = 512 << 20;

/// All servers of a model. Those who have the same settings share it.
pub(crate) struct Remote {
    runtime: Runtime,
    servers: Vec<Arc<Server>>,
    headers: Vec<(MetadataKey<Ascii>, MetadataValue<Ascii>)>,
    settings: RemoteSettings,
}

/// One of them.
struct Server {
    address: String,
    channel: Channel,
    under_way: AtomicUsize,
    late: AtomicU32,
    /// Why it gets no frames.
    ejected: Mutex<Option<String>>,
}

/// A frame is under way, until this is dropped.
struct UnderWay(Arc<Server>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Server {
    fn new(address: &str, settings: &RemoteSettings) -> Result<Self> {
        let wrong = |error: &dyn std::fmt::Display| Error::new(format!("endpoints: {address:?}: {error}"));
        let patience = Duration::from_millis(settings.deadline_millis);
        let mut endpoint = Endpoint::from_shared(address.to_owned()).map_err(|error| wrong(&error))?;
        endpoint = endpoint.connect_timeout(patience).tcp_nodelay(true);
        if address.starts_with("https:") {
            let mut tls = ClientTlsConfig::new();
            tls = match &settings.ca_file {
                None => tls.with_webpki_roots(),
                Some(path) => {
                    let pem = std::fs::read(path);
                    let pem = pem.map_err(|error| Error::new(format!("ca_file: {}: {error}", path.display())))?;
                    tls.ca_certificate(Certificate::from_pem(pem))
                }
            };
            if let Some(name) = &settings.server_name {
                tls = tls.domain_name(name);
            }
            endpoint = endpoint.tls_config(tls).map_err(|error| wrong(&told(&error)))?;
        } else if !address.starts_with("http:") {
            return Err(wrong(&"expected http:// or https://"));
        }
        let (under_way, late, ejected) = (AtomicUsize::new(0), AtomicU32::new(0), Mutex::default());
        Ok(Self { address: address.into(), channel: endpoint.connect_lazy(), under_way, late, ejected })
    }

    fn client(&self) -> InferenceClient<Channel> {
        InferenceClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_ANSWER_LEN_BYTES)
    }

    fn why_ejected(&self) -> Option<String> {
        self.ejected.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn eject(&self, reason: String) {
        let before = self.ejected.lock().unwrap_or_else(PoisonError::into_inner).replace(reason.clone());
        if before.is_none() {
            log::warn!("{} gets no frames: {reason}", self.address);
        }
    }

    fn is_well(&self) {
        self.late.store(0, Ordering::Release);
        if self.ejected.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            log::info!("{} gets frames again", self.address);
        }
    }

    fn is_late(&self) {
        if self.late.fetch_add(1, Ordering::AcqRel) + 1 >= MOST_LATE {
            self.eject(format!("late {MOST_LATE} times in a row"));
        }
    }
}

impl Remote {
    /// The servers that `settings` name.
    pub(crate) fn of(settings: &RemoteSettings) -> Result<Arc<Self>> {
        static ALL: Mutex<Vec<Weak<Remote>>> = Mutex::new(Vec::new());
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|remote| remote.strong_count() > 0);
        if let Some(known) = all.iter().filter_map(Weak::upgrade).find(|remote| remote.settings == *settings) {
            return Ok(known);
        }
        let remote = Arc::new(Self::connect(settings)?);
        all.push(Arc::downgrade(&remote));
        Ok(remote)
    }

    fn connect(settings: &RemoteSettings) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let _entered = runtime.enter();
        let servers = settings.endpoints.iter().map(|address| Server::new(address, settings).map(Arc::new));
        let servers = servers.collect::<Result<Vec<_>>>()?;
        let headers = settings.headers.iter().map(|(name, value)| {
            let wrong = |error: &dyn std::fmt::Display| Error::new(format!("headers: {name:?}: {error}"));
            let key = MetadataKey::from_bytes(name.to_ascii_lowercase().as_bytes()).map_err(|error| wrong(&error))?;
            Ok((key, MetadataValue::try_from(value).map_err(|error| wrong(&error))?))
        });
        let headers = headers.collect::<Result<Vec<_>>>()?;
        let interval = Duration::from_millis(settings.health_interval_millis.max(10));
        for server in &servers {
            let (server, headers) = (Arc::downgrade(server), headers.clone());
            let asked = ModelReadyRequest { name: settings.model.clone(), version: settings.version.clone() };
            runtime.spawn(watch(server, headers, asked, interval));
        }
        drop(_entered);
        Ok(Self { runtime, servers, headers, settings: settings.clone() })
    }

    /// What the first server that answers says of the model.
    pub(crate) fn metadata(&self) -> Result<ModelMetadataResponse> {
        let RemoteSettings { model, version, deadline_millis, .. } = &self.settings;
        let mut reasons = Vec::new();
        for server in &self.servers {
            let request = ModelMetadataRequest { name: model.clone(), version: version.clone() };
            let request = with_headers(request, &self.headers);
            let patience = Duration::from_millis(*deadline_millis);
            let asked = async { timeout(patience, server.client().model_metadata(request)).await };
            match self.runtime.block_on(asked) {
                Ok(Ok(response)) => return Ok(response.into_inner()),
                Ok(Err(status)) => reasons.push(format!("{}: {}", server.address, why(&status))),
                Err(_elapsed) => reasons.push(format!("{}: no answer within {deadline_millis} ms", server.address)),
            }
        }
        Err(Error::new(format!("no server says what the model {model:?} is: {}", reasons.join("; "))))
    }

    /// Has one of the servers answer `request`. `is_cancelled` says that nobody waits any more.
    pub(crate) fn infer(
        &self,
        request: &ModelInferRequest,
        traceparent: Option<&str>,
        is_cancelled: impl Fn() -> bool,
    ) -> Result<ModelInferResponse> {
        let work = self.infer_somewhere(request, traceparent);
        self.runtime.block_on(async {
            let mut work = std::pin::pin!(work);
            loop {
                tokio::select! {
                    done = &mut work => return done,
                    () = sleep(STILL_WANTED) => if is_cancelled() {
                        return Err(Error::Cancelled);
                    },
                }
            }
        })
    }

    async fn infer_somewhere(
        &self,
        request: &ModelInferRequest,
        traceparent: Option<&str>,
    ) -> Result<ModelInferResponse> {
        let end = Instant::now() + Duration::from_millis(self.settings.deadline_millis);
        let mut failed = Vec::new();
        while let Some(under_way) = self.choose(&failed) {
            let server = &under_way.0;
            let rest = end.saturating_duration_since(Instant::now());
            let mut asked = with_headers(request.clone(), &self.headers);
            if let Some(value) = traceparent.and_then(|value| MetadataValue::try_from(value).ok()) {
                asked.metadata_mut().insert("traceparent", value);
            }
            asked.set_timeout(rest);
            let status = match timeout(rest, server.client().model_infer(asked)).await {
                Ok(Ok(response)) => {
                    server.is_well();
                    return Ok(response.into_inner());
                }
                Ok(Err(status)) => status,
                Err(_elapsed) => Status::deadline_exceeded("late"),
            };
            match status.code() {
                Code::DeadlineExceeded | Code::Cancelled => {
                    server.is_late();
                    let millis = self.settings.deadline_millis;
                    return Err(Error::new(format!("{} did not answer within {millis} ms", server.address)));
                }
                // It did not get the request, did not take it, or is gone. To ask for a mask twice harms nobody.
                Code::Unavailable | Code::Unknown | Code::Internal if is_of_the_way(&status) => {
                    server.eject(why(&status));
                    failed.push(Arc::clone(server));
                }
                _ => return Err(Error::new(format!("{}: {}", server.address, why(&status)))),
            }
        }
        let reason = |server: &Arc<Server>| Some(format!("{}: {}", server.address, server.why_ejected()?));
        let reasons: Vec<_> = self.servers.iter().filter_map(reason).collect();
        Err(Error::new(format!("no server is available: {}", reasons.join("; "))))
    }

    /// The one that is well with the fewest frames under way, but for those that failed this frame.
    fn choose(&self, failed: &[Arc<Server>]) -> Option<UnderWay> {
        let may = |server: &&Arc<Server>| {
            server.why_ejected().is_none() && !failed.iter().any(|failed| Arc::ptr_eq(failed, server))
        };
        let least = |server: &&Arc<Server>| server.under_way.load(Ordering::Acquire);
        let chosen = self.servers.iter().filter(may).min_by_key(least)?;
        chosen.under_way.fetch_add(1, Ordering::AcqRel);
        Some(UnderWay(Arc::clone(chosen)))
    }
}

/// Asks a server how it is, as long as anybody uses it.
async fn watch(
    server: Weak<Server>,
    headers: Vec<(MetadataKey<Ascii>, MetadataValue<Ascii>)>,
    asked: ModelReadyRequest,
    interval: Duration,
) {
    loop {
        sleep(interval).await;
        let Some(server) = server.upgrade() else { return };
        let request = with_headers(asked.clone(), &headers);
        match timeout(interval.max(Duration::from_secs(1)), server.client().model_ready(request)).await {
            Ok(Ok(response)) if response.get_ref().ready => server.is_well(),
            Ok(Ok(_)) => server.eject(format!("it says that the model {:?} is not ready", asked.name)),
            Ok(Err(status)) => server.eject(why(&status)),
            Err(_elapsed) => server.eject("it does not say how it is".into()),
        }
    }
}

/// Whether the server is not there, rather than unable to answer: what a server says has no cause here.
fn is_of_the_way(status: &Status) -> bool {
    status.code() == Code::Unavailable || std::error::Error::source(status).is_some()
}

fn with_headers<T>(message: T, headers: &[(MetadataKey<Ascii>, MetadataValue<Ascii>)]) -> Request<T> {
    let mut request = Request::new(message);
    for (name, value) in headers {
        request.metadata_mut().insert(name.clone(), value.clone());
    }
    request
}

/// What a server says, or why it says nothing.
fn why(status: &Status) -> String {
    match std::error::Error::source(status) {
        Some(cause) => told(cause),
        None => status.message().to_owned(),
    }
}

/// An error with its causes.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

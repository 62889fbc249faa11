//! The way to a collector: OTLP over HTTP, or over gRPC.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{
    Protocol, RetryPolicy, SpanExporter as OtlpExporter, WithExportConfig, WithHttpConfig, WithTonicConfig,
};
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanExporter as _},
};
use tokio::time::timeout;
use tonic::{
    metadata::{AsciiMetadataValue, MetadataKey, MetadataMap},
    transport::{Certificate, ClientTlsConfig},
};
use ureq::{
    http::{HeaderMap, HeaderName, HeaderValue},
    tls::{PemItem, RootCerts, TlsConfig},
};

use super::target::{Target, variable};
use crate::config::OtlpProtocol;

/// A batch is tried again after that, and again, until `timeout_millis` are over.
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LAST_RETRY: Duration = Duration::from_secs(2);

/// What a request may take beyond its time: a TLS handshake has no limit of its own.
const GRACE: Duration = Duration::from_secs(1);

/// The way to a collector.
pub(super) struct Transport {
    exporter: OtlpExporter,
    longest: Duration,
    /// Why the last request failed, where the exporter does not tell.
    fault: Fault,
}

type Fault = Arc<Mutex<String>>;

impl Transport {
    /// Opens it; nothing is sent yet. Not outside of an async runtime.
    pub(super) fn open(target: &Target) -> Result<Self, String> {
        let fault = Fault::default();
        let mut exporter = match target.protocol {
            OtlpProtocol::Http => http(target, Arc::clone(&fault))?,
            OtlpProtocol::Grpc => grpc(target)?,
        };
        exporter.set_resource(&resource());
        Ok(Self { exporter, longest: target.timeout + GRACE, fault })
    }

    /// Sends a batch, and tries again while that makes sense and there is time. The error is a sentence.
    pub(super) async fn export(&self, batch: Vec<SpanData>) -> Result<(), String> {
        lock(&self.fault).clear();
        match timeout(self.longest, self.exporter.export(batch)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => match lock(&self.fault).as_str() {
                "" => Err(error.to_string()),
                fault => Err(format!("{error}: {fault}")),
            },
            Err(_elapsed) => Err(format!("no answer within {:?}", self.longest)),
        }
    }
}

fn retries() -> RetryPolicy {
    let policy = RetryPolicy::recommended().with_max_retries(usize::MAX);
    policy.with_initial_delay(FIRST_RETRY).with_max_delay(LAST_RETRY)
}

fn http(target: &Target, fault: Fault) -> Result<OtlpExporter, String> {
    // Where nothing is said of the protocol, the exporter asks the environment.
    let builder = OtlpExporter::builder().with_http().with_protocol(Protocol::HttpBinary);
    let builder = builder.with_http_client(Http::new(target, fault)?);
    let builder = builder.with_retry_policy(retries()).with_endpoint(&target.endpoint).with_timeout(target.timeout);
    builder.build().map_err(|error| error.to_string())
}

fn grpc(target: &Target) -> Result<OtlpExporter, String> {
    let mut metadata = MetadataMap::new();
    for (name, value) in &target.headers {
        let key = MetadataKey::from_bytes(name.to_lowercase().as_bytes()).map_err(|error| wrong(name, &error))?;
        metadata.insert(key, AsciiMetadataValue::try_from(value.as_str()).map_err(|error| wrong(name, &error))?);
    }
    // The exporter would let the environment win.
    let only_ours = move |mut request: tonic::Request<()>| {
        *request.metadata_mut() = metadata.clone();
        Ok(request)
    };
    let mut builder = OtlpExporter::builder().with_tonic().with_interceptor(only_ours).with_retry_policy(retries());
    if target.endpoint.starts_with("https://") {
        let tls = match target.read_ca()? {
            Some(certificates) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(certificates)),
            None => ClientTlsConfig::new().with_webpki_roots(),
        };
        builder = builder.with_tls_config(tls);
    }
    let builder = builder.with_endpoint(&target.endpoint).with_timeout(target.timeout);
    builder.build().map_err(|error| error.to_string())
}

fn wrong(header: &str, error: &dyn std::fmt::Display) -> String {
    format!("telemetry.otlp.headers: {header}: {error}")
}

/// The HTTP client that fetches models, too.
#[derive(Debug)]
struct Http {
    agent: ureq::Agent,
    headers: HeaderMap,
    fault: Fault,
}

impl Http {
    fn new(target: &Target, fault: Fault) -> Result<Self, String> {
        let mut config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(target.timeout));
        if let Some(certificates) = target.read_ca()? {
            let mut roots = Vec::new();
            for item in ureq::tls::parse_pem(&certificates) {
                if let PemItem::Certificate(certificate) = item.map_err(|error| target.ca_fault(&error))? {
                    roots.push(certificate);
                }
            }
            config = config.tls_config(TlsConfig::builder().root_certs(RootCerts::from(roots)).build());
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &target.headers {
            let key = HeaderName::try_from(name).map_err(|error| wrong(name, &error))?;
            headers.insert(key, HeaderValue::try_from(value).map_err(|error| wrong(name, &error))?);
        }
        Ok(Self { agent: config.build().into(), headers, fault })
    }

    /// The exporter would let the environment's headers win.
    fn with_only_our_headers(&self, request: Request<Bytes>) -> Request<Vec<u8>> {
        const OF_THE_BODY: [HeaderName; 2] = [ureq::http::header::CONTENT_TYPE, ureq::http::header::CONTENT_ENCODING];
        let (mut parts, body) = request.into_parts();
        let said = std::mem::replace(&mut parts.headers, self.headers.clone());
        for name in OF_THE_BODY {
            if let Some(value) = said.get(&name) {
                parts.headers.insert(name, value.clone());
            }
        }
        Request::from_parts(parts, body.to_vec())
    }
}

#[async_trait]
impl HttpClient for Http {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        /// An answer is a few bytes; nobody needs more.
        const LARGEST_ANSWER_LEN_BYTES: u64 = 1 << 20;
        let (agent, request) = (self.agent.clone(), self.with_only_our_headers(request));
        let send = move || {
            let (parts, mut body) = agent.run(request)?.into_parts();
            let body = body.with_config().limit(LARGEST_ANSWER_LEN_BYTES).read_to_vec()?;
            Ok::<_, ureq::Error>(Response::from_parts(parts, Bytes::from(body)))
        };
        let response = tokio::task::spawn_blocking(send).await?;
        *lock(&self.fault) = response.as_ref().err().map(ToString::to_string).unwrap_or_default();
        Ok(response?)
    }
}

/// Who the spans are of. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` have their say.
fn resource() -> Resource {
    let said = variable("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    let is_said = |key| said.split(',').any(|pair| pair.split_once('=').is_some_and(|(name, _)| name.trim() == key));
    let mut attributes = Vec::new();
    if !is_said("service.version") {
        attributes.push(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    }
    if !is_said("service.name") && variable("OTEL_SERVICE_NAME").is_none() {
        attributes.push(KeyValue::new("service.name", "segue"));
    }
    Resource::builder().with_attributes(attributes).build()
}

fn lock(fault: &Fault) -> std::sync::MutexGuard<'_, String> {
    fault.lock().unwrap_or_else(PoisonError::into_inner)
}

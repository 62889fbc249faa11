//! Where traces go, and how: the profile's `[telemetry.otlp]`, and where that is silent OpenTelemetry's environment
//! variables.

use std::{collections::HashMap, fs, time::Duration};

use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{
    ExporterBuildError, RetryPolicy, SpanExporter as OtlpExporter, WithExportConfig, WithHttpConfig, WithTonicConfig,
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkError,
    trace::{SpanData, SpanExporter as _},
};
use tonic::{
    metadata::{AsciiMetadataValue, MetadataKey, MetadataMap},
    transport::{Certificate, ClientTlsConfig},
};
use ureq::tls::{RootCerts, TlsConfig};

use crate::config::{OtlpProtocol, TelemetrySettings};

/// Where an OTLP collector takes traces by HTTP.
const HTTP_PATH: &str = "/v1/traces";

/// After its first try a batch is tried as often, for about twenty seconds in all.
const RETRIES: usize = 8;
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// Where traces go.
#[derive(Clone, PartialEq)]
pub(super) struct Target {
    pub(super) endpoint: String,
    pub(super) max_spans_per_second: u32,
    protocol: OtlpProtocol,
    headers: Vec<(String, String)>,
    timeout: Duration,
    ca_file: String,
}

impl Target {
    /// What profile and environment say; `None` when nothing is to be exported.
    pub(super) fn choose(settings: &TelemetrySettings) -> Option<Self> {
        let otlp = &settings.otlp;
        let is_off = variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
            || variable("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
        if is_off {
            return None;
        }
        let protocol = match (&otlp.protocol, of_traces("PROTOCOL").as_deref()) {
            (Some(protocol), _) => *protocol,
            (None, Some("grpc")) => OtlpProtocol::Grpc,
            (None, _) => OtlpProtocol::Http,
        };
        let endpoint = match otlp.endpoint.as_str() {
            // As the specification has it: the one for traces is taken as it is, the one for all is a base.
            "" => variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
                .or_else(|| variable("OTEL_EXPORTER_OTLP_ENDPOINT").map(|base| with_path(&base, protocol)))?,
            endpoint => with_path(endpoint, protocol),
        };
        let mut headers: Vec<_> = otlp.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        if headers.is_empty() {
            headers = of_traces("HEADERS").map(|text| parse_headers(&text)).unwrap_or_default();
        }
        let timeout_millis =
            otlp.timeout_millis.or_else(|| of_traces("TIMEOUT")?.parse().ok()).unwrap_or(DEFAULT_TIMEOUT_MILLIS);
        let ca_file = match otlp.ca_file.as_str() {
            "" => of_traces("CERTIFICATE").unwrap_or_default(),
            file => file.to_owned(),
        };
        Some(Self {
            endpoint,
            max_spans_per_second: settings.traces.max_spans_per_second,
            protocol,
            headers,
            timeout: Duration::from_millis(timeout_millis),
            ca_file,
        })
    }

    pub(super) fn protocol_name(&self) -> &'static str {
        match self.protocol {
            OtlpProtocol::Http => "http",
            OtlpProtocol::Grpc => "grpc",
        }
    }

    fn read_ca(&self) -> Result<Option<Vec<u8>>, String> {
        match self.ca_file.as_str() {
            "" => Ok(None),
            file => fs::read(file).map(Some).map_err(|error| format!("telemetry.otlp.ca_file: {file}: {error}")),
        }
    }
}

const DEFAULT_TIMEOUT_MILLIS: u64 = 10_000;

/// The collector's path, where the endpoint of an HTTP collector has none.
fn with_path(endpoint: &str, protocol: OtlpProtocol) -> String {
    let endpoint = match endpoint.contains("://") {
        true => endpoint.to_owned(),
        false => format!("http://{endpoint}"),
    };
    let base = endpoint.trim_end_matches('/');
    match protocol {
        OtlpProtocol::Http if !base.ends_with(HTTP_PATH) => format!("{base}{HTTP_PATH}"),
        OtlpProtocol::Http | OtlpProtocol::Grpc => base.to_owned(),
    }
}

/// `name=value,name=value`, values percent-encoded.
fn parse_headers(text: &str) -> Vec<(String, String)> {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.trim().to_lowercase(), percent_decode(value.trim()))).collect()
}

fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, others @ ..] = rest {
        let escaped = (*first == b'%').then(|| others.first_chunk::<2>()).flatten();
        let byte = escaped.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &others[2..] } else { others };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A variable for traces, or else the one for all.
fn of_traces(name: &str) -> Option<String> {
    variable(&format!("OTEL_EXPORTER_OTLP_TRACES_{name}")).or_else(|| variable(&format!("OTEL_EXPORTER_OTLP_{name}")))
}

/// A number in the environment.
pub(super) fn number(name: &str) -> Option<usize> {
    variable(name)?.parse().ok()
}

/// The way to a collector.
pub(super) struct Transport(OtlpExporter);

impl Transport {
    /// Opens it; nothing is sent yet. Not outside of an async runtime.
    pub(super) fn open(target: &Target) -> Result<Self, String> {
        let exporter = match target.protocol {
            OtlpProtocol::Http => http(target)?,
            OtlpProtocol::Grpc => grpc(target)?,
        };
        let mut exporter = exporter.map_err(|error| error.to_string())?;
        exporter.set_resource(&resource());
        Ok(Self(exporter))
    }

    pub(super) async fn export(&self, batch: Vec<SpanData>) -> Result<(), OTelSdkError> {
        self.0.export(batch).await
    }
}

fn retries() -> RetryPolicy {
    RetryPolicy::recommended().with_max_retries(RETRIES).with_initial_delay(FIRST_RETRY).with_max_delay(LAST_RETRY)
}

fn http(target: &Target) -> Result<Result<OtlpExporter, ExporterBuildError>, String> {
    let headers: HashMap<_, _> = target.headers.iter().cloned().collect();
    let client = Http::new(target)?;
    let builder = OtlpExporter::builder().with_http().with_http_client(client).with_headers(headers);
    let builder = builder.with_retry_policy(retries());
    Ok(builder.with_endpoint(&target.endpoint).with_timeout(target.timeout).build())
}

fn grpc(target: &Target) -> Result<Result<OtlpExporter, ExporterBuildError>, String> {
    let mut metadata = MetadataMap::new();
    for (name, value) in &target.headers {
        let wrong = |error: &dyn std::fmt::Display| format!("telemetry.otlp.headers: {name}: {error}");
        let key = MetadataKey::from_bytes(name.to_lowercase().as_bytes()).map_err(|error| wrong(&error))?;
        let value = AsciiMetadataValue::try_from(value.as_str()).map_err(|error| wrong(&error))?;
        metadata.insert(key, value);
    }
    let mut builder = OtlpExporter::builder().with_tonic().with_metadata(metadata).with_retry_policy(retries());
    if target.endpoint.starts_with("https://") {
        let mut tls = ClientTlsConfig::new().with_webpki_roots();
        if let Some(certificates) = target.read_ca()? {
            tls = tls.ca_certificate(Certificate::from_pem(certificates));
        }
        builder = builder.with_tls_config(tls);
    }
    Ok(builder.with_endpoint(&target.endpoint).with_timeout(target.timeout).build())
}

/// The HTTP client that fetches models, too.
#[derive(Debug)]
struct Http(ureq::Agent);

impl Http {
    fn new(target: &Target) -> Result<Self, String> {
        let mut config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(target.timeout));
        if let Some(certificates) = target.read_ca()? {
            let mut roots = Vec::new();
            for item in ureq::tls::parse_pem(&certificates) {
                match item.map_err(|error| format!("telemetry.otlp.ca_file: {}: {error}", target.ca_file))? {
                    ureq::tls::PemItem::Certificate(certificate) => roots.push(certificate),
                    _other => {}
                }
            }
            config = config.tls_config(TlsConfig::builder().root_certs(RootCerts::from(roots)).build());
        }
        Ok(Self(config.build().into()))
    }
}

#[async_trait]
impl HttpClient for Http {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        /// An answer is a few bytes; nobody needs more.
        const LARGEST_ANSWER_LEN_BYTES: u64 = 1 << 20;
        let agent = self.0.clone();
        let send = move || {
            let (parts, mut body) = agent.run(request.map(|body| body.to_vec()))?.into_parts();
            let body = body.with_config().limit(LARGEST_ANSWER_LEN_BYTES).read_to_vec()?;
            Ok::<_, ureq::Error>(Response::from_parts(parts, Bytes::from(body)))
        };
        Ok(tokio::task::spawn_blocking(send).await??)
    }
}

/// Who the spans are of. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` have their say.
fn resource() -> Resource {
    let mut attributes = vec![KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))];
    let is_named = variable("OTEL_SERVICE_NAME").is_some()
        || variable("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|all| all.contains("service.name="));
    if !is_named {
        attributes.push(KeyValue::new("service.name", "segue"));
    }
    Resource::builder().with_attributes(attributes).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_of_http_gets_the_path_for_traces() {
        let http = |endpoint| with_path(endpoint, OtlpProtocol::Http);
        assert_eq!(http("http://collector:4318"), "http://collector:4318/v1/traces");
        assert_eq!(http("http://collector:4318/"), "http://collector:4318/v1/traces");
        assert_eq!(http("https://lab.example/otlp"), "https://lab.example/otlp/v1/traces");
        assert_eq!(http("https://lab.example/v1/traces"), "https://lab.example/v1/traces");
        assert_eq!(with_path("collector:4317", OtlpProtocol::Grpc), "http://collector:4317");
    }

    #[test]
    fn headers_of_the_environment_are_percent_decoded() {
        let headers = parse_headers("Authorization=Basic%20abc=, x-team = lab%2C1,broken,100=%zz");
        let expected = [("authorization", "Basic abc="), ("x-team", "lab,1"), ("100", "%zz")];
        assert_eq!(headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}

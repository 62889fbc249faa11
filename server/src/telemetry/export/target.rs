//! Where traces go, and how: the profile's `[telemetry.otlp]`, and where that is silent OpenTelemetry's environment
//! variables.

use std::{fs, time::Duration};

use crate::config::{OtlpProtocol, TelemetrySettings};

/// Where an OTLP collector takes traces by HTTP.
const HTTP_PATH: &str = "/v1/traces";

/// Where traces go.
#[derive(Clone, PartialEq)]
pub(super) struct Target {
    pub(super) endpoint: String,
    pub(super) max_spans_per_second: u32,
    pub(super) protocol: OtlpProtocol,
    /// All of them: what the environment says does not come on top.
    pub(super) headers: Vec<(String, String)>,
    pub(super) timeout: Duration,
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

    /// The certificates that vouch for the collector; `None` means those of the web.
    pub(super) fn read_ca(&self) -> Result<Option<Vec<u8>>, String> {
        match self.ca_file.as_str() {
            "" => Ok(None),
            file => fs::read(file).map(Some).map_err(|error| self.ca_fault(&error)),
        }
    }

    /// Names the file.
    pub(super) fn ca_fault(&self, error: &dyn std::fmt::Display) -> String {
        format!("telemetry.otlp.ca_file: {}: {error}", self.ca_file)
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

/// What the environment says; an empty variable counts as none.
pub(super) fn variable(name: &str) -> Option<String> {
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

//! What a profile may say: one type per section. `profiles/base.toml` is the reference for operators; the documentation
//! here becomes the JSON Schema that editors show.

use std::collections::BTreeMap;

use garde::Validate;
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::access::HASHED;

/// A profile of Segue.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The profile that this one builds on, without its `.toml`.
    #[serde(default, skip_serializing)]
    #[garde(skip)]
    pub extends: Option<String>,
    /// Where the server listens, and what it starts with.
    #[garde(dive)]
    pub server: ServerSettings,
    /// How edits of profiles, plugins and models are noticed.
    #[garde(dive)]
    pub reload: ReloadSettings,
    /// What every client is asked to send.
    #[garde(dive)]
    pub capture: CaptureSettings,
    /// What every client gets back.
    #[garde(dive)]
    pub result: ResultSettings,
    /// The modes that a client can choose, by name.
    #[garde(dive, length(min = 1, max = 127))]
    pub modes: BTreeMap<String, ModeSettings>,
    /// What the server accepts.
    #[garde(dive)]
    pub limits: LimitSettings,
    /// What the server tells about itself.
    #[garde(dive)]
    pub telemetry: TelemetrySettings,
    /// Who may use it.
    #[garde(dive)]
    pub security: SecuritySettings,
}

/// `[server]`
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct ServerSettings {
    /// Address and port. Can't change while the server runs.
    #[garde(skip)]
    #[schemars(extend("examples" = ["127.0.0.1:8080"]))]
    pub listen: std::net::SocketAddr,
    /// Address and port for the Open Inference Protocol, version 2 (KServe, Triton), by REST and gRPC; none when empty. Can't change
    /// while the server runs.
    #[garde(custom(address_or_none))]
    #[serde(default)]
    #[schemars(extend("examples" = ["127.0.0.1:8001"]))]
    pub inference_listen: String,
    /// How many threads talk to clients; 0 for one for every four cores. Can't change while the server runs.
    #[garde(range(max = 256))]
    #[serde(default)]
    pub io_threads: u32,
    /// The mode that a session starts in.
    #[garde(length(min = 1))]
    pub default_mode: String,
    /// How long a stopping server waits for frames in flight, in milliseconds.
    #[garde(range(max = 600_000))]
    pub drain_timeout_millis: u64,
    /// How long a stopping server serves on after it has said so at `/readyz`, in milliseconds: whoever sends it clients
    /// looks there now and then.
    #[serde(default)]
    #[garde(range(max = 600_000))]
    pub drain_delay_millis: u64,
    /// HTTPS, when it names a certificate and a key.
    #[serde(default)]
    #[garde(dive)]
    pub tls: TlsSettings,
}

/// `[server.tls]`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// A file in PEM with the server's certificate and those that lead to its root. Can't change while the server runs;
    /// what the file says can.
    #[serde(default)]
    #[garde(custom(both_or_none(&self.key_file)))]
    pub certificate_file: String,
    /// A file in PEM with the certificate's key. Can't change while the server runs; what the file says can.
    #[serde(default)]
    #[garde(skip)]
    pub key_file: String,
}

fn address_or_none(address: &str, _: &()) -> garde::Result {
    match address.is_empty() || address.parse::<std::net::SocketAddr>().is_ok() {
        true => Ok(()),
        false => Err(garde::Error::new("expected an address and a port, such as \"127.0.0.1:8001\"")),
    }
}

fn both_or_none(key_file: &str) -> impl FnOnce(&str, &()) -> garde::Result + '_ {
    move |certificate_file, _| match certificate_file.is_empty() == key_file.is_empty() {
        true => Ok(()),
        false => Err(garde::Error::new("a certificate needs its key, and a key its certificate: write both, or none")),
    }
}

/// `[reload]`
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct ReloadSettings {
    /// What tells that a file changed.
    #[garde(skip)]
    pub watch: Watching,
    /// How long the files must be quiet after an event before they are read, in milliseconds.
    #[garde(range(min = 1, max = 5_000))]
    pub settle_millis: u64,
    /// From one look at the files to the next, in milliseconds.
    #[garde(range(min = 10, max = 600_000))]
    pub poll_interval_millis: u64,
}

/// What tells that a file changed.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Watching {
    /// The file system's events, and a look now and then for those that have none.
    Events,
    /// A look now and then.
    Poll,
    /// Nothing: only SIGHUP and the admin API reload.
    Off,
}

/// `[capture]`: sent to every client as its limits.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct CaptureSettings {
    /// JPEG quality.
    #[garde(range(min = 1, max = 100))]
    pub jpeg_quality: u8,
    /// Longer side of a frame in pixels.
    #[garde(range(min = 16, max = 4096))]
    pub max_dimension_px: u32,
    /// Frames sent and not yet answered.
    #[garde(range(min = 1, max = 64))]
    pub max_in_flight: u32,
    /// From one frame to the next, in milliseconds.
    #[garde(range(max = 60_000))]
    pub min_frame_interval_millis: u32,
    /// How far a client may go below quality and size by itself.
    #[garde(dive)]
    pub adaptive: AdaptiveSettings,
}

/// `[capture.adaptive]`
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct AdaptiveSettings {
    /// Whether clients lower quality and size when the network or the server is slow.
    #[garde(skip)]
    pub enabled: bool,
    /// Lowest JPEG quality; at most `capture.jpeg_quality`.
    #[garde(range(min = 1, max = 100))]
    pub min_jpeg_quality: u8,
    /// Smallest longer side in pixels; at most `capture.max_dimension_px`.
    #[garde(range(min = 16, max = 4096))]
    pub min_dimension_px: u32,
    /// From capture to paint, in milliseconds: what clients aim at.
    #[garde(range(min = 10, max = 60_000))]
    pub target_latency_millis: u32,
}

/// `[result]`
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct ResultSettings {
    /// What a session gets until its client says what it wants.
    #[garde(skip)]
    pub format: ResultFormat,
    /// JPEG quality of pictures that the server draws.
    #[garde(range(min = 1, max = 100))]
    pub jpeg_quality: u8,
    /// Widest mask or picture in pixels.
    #[garde(range(min = 16, max = 4096))]
    pub max_width_px: u32,
    /// Highest mask or picture in pixels.
    #[garde(range(min = 16, max = 4096))]
    pub max_height_px: u32,
}

/// What a session gets.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResultFormat {
    /// Class ids.
    Mask,
    /// Class ids and the confidence of each.
    SoftMask,
    /// A JPEG picture with the mask drawn in.
    Picture,
}

/// `[modes.NAME]`
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct ModeSettings {
    /// Place in menus, the lowest first.
    #[serde(default)]
    #[garde(skip)]
    pub rank: u32,
    /// A file of `models/`, without its `.toml`.
    #[garde(length(min = 1))]
    pub model: String,
    /// Which of the model's variants; its default one when empty.
    #[serde(default)]
    #[garde(skip)]
    pub variant: String,
    /// A file of the plugin directory, when the first plugin that the model's backend names is not the one to use.
    #[serde(default)]
    #[garde(custom(file_name))]
    pub plugin: String,
    /// The mode that answers while this one is unavailable; none when empty.
    #[serde(default)]
    #[garde(skip)]
    pub fallback: String,
    /// How many frames run at once; 0 for one per core, at most 8.
    #[serde(default)]
    #[garde(range(max = 64))]
    pub instances: u32,
    /// How many frames may wait for them; more are dropped as overloaded. 0: as many as `limits.max_waiting` allows.
    #[serde(default)]
    #[garde(range(max = 1_000_000))]
    pub max_waiting: u32,
    /// How many threads each of them uses; 0 for one per core.
    #[serde(default = "one")]
    #[garde(range(max = 256))]
    pub threads: u32,
    /// Whether the server fetches missing weights by itself; not those under a licence that somebody has to accept.
    #[serde(default)]
    #[garde(skip)]
    pub fetch: bool,
    /// The model is let go after so long without a frame, in milliseconds, and loaded again for the next one; 0 keeps it.
    #[serde(default)]
    #[garde(range(max = 604_800_000))]
    pub release_after_millis: u64,
    /// Where the backend runs.
    #[serde(default)]
    #[garde(skip)]
    pub isolation: Isolation,
    /// Longest call of a backend in a process of its own, in milliseconds; then the process is ended.
    #[serde(default = "ten_seconds")]
    #[garde(range(min = 10, max = 600_000))]
    pub timeout_millis: u64,
    /// Longest time in which such a process may load and warm up its model, in milliseconds; then it is ended.
    #[serde(default = "two_minutes")]
    #[garde(range(min = 100, max = 3_600_000))]
    pub load_timeout_millis: u64,
    /// Most memory of such a process, in bytes.
    #[serde(default = "four_gib")]
    #[garde(range(min = 67_108_864_u64, max = 1_099_511_627_776_u64))]
    pub max_memory_len_bytes: u64,
    /// What the backend is told, over the model's own settings.
    #[serde(default)]
    #[garde(skip)]
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// `security.allowed_plugins`, which holds for every mode.
    #[serde(skip)]
    #[garde(skip)]
    pub allowed_plugins: Vec<String>,
}

/// Where a backend runs.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// In a process of its own for each instance: whatever it does costs its frame at most.
    #[default]
    Process,
    /// In the server: some microseconds faster, and a crash ends the server.
    InProcess,
}

impl ModeSettings {
    /// Whether a model that is loaded for `other` serves here, too.
    pub fn loads_the_same_as(&self, other: &Self) -> bool {
        let loaded = |mode: &Self| Self { rank: 0, fallback: String::new(), ..mode.clone() };
        loaded(self) == loaded(other)
    }

    /// What of it the model itself depends on; all else is as in every other mode.
    pub fn of_the_model(&self) -> Self {
        Self {
            rank: 0,
            max_waiting: 0,
            fallback: String::new(),
            fetch: false,
            release_after_millis: 0,
            allowed_plugins: Vec::new(),
            ..self.clone()
        }
    }

    /// Whether a plugin of this SHA-256 may serve here.
    pub fn allows(&self, sha256: &str) -> bool {
        self.allowed_plugins.is_empty()
            || self.allowed_plugins.iter().any(|allowed| allowed.eq_ignore_ascii_case(sha256))
    }
}

/// `[limits]`
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct LimitSettings {
    /// Largest encoded frame of a session, in bytes.
    #[garde(range(min = 1024, max = 67_108_864))]
    pub max_frame_len_bytes: usize,
    /// Largest picture posted to `/v1/segment`, in bytes.
    #[garde(range(min = 1024, max = 268_435_456))]
    pub max_upload_len_bytes: usize,
    /// Longer side of any picture in pixels, by its header.
    #[garde(range(min = 16, max = 16_384))]
    pub max_picture_dimension_px: u32,
    /// Width times height of a session's frame, by its header.
    #[garde(range(min = 256, max = 268_435_456))]
    pub max_frame_pixels: u64,
    /// Width times height of a picture posted to `/v1/segment`, by its header.
    #[garde(range(min = 256, max = 268_435_456))]
    pub max_upload_pixels: u64,
    /// Sessions at once.
    #[garde(range(min = 1, max = 1_000_000))]
    pub max_sessions: usize,
    /// A frame that waited longer for its turn is dropped as expired, in milliseconds.
    #[garde(range(min = 1, max = 600_000))]
    pub max_age_millis: u64,
    /// A client that takes nothing for so long is disconnected, in milliseconds.
    #[garde(range(min = 100, max = 600_000))]
    pub send_timeout_millis: u64,
    /// Sessions of one address at once.
    #[garde(range(min = 1, max = 1_000_000))]
    pub max_sessions_per_address: usize,
    /// Connections at once, of sessions and of all else.
    #[garde(range(min = 1, max = 1_000_000))]
    pub max_connections: usize,
    /// Connections of one address at once.
    #[garde(range(min = 1, max = 1_000_000))]
    pub max_connections_per_address: usize,
    /// A client that takes longer to say what it wants is disconnected, in milliseconds.
    #[garde(range(min = 100, max = 600_000))]
    pub request_timeout_millis: u64,
    /// A session from which nothing comes for so long, not even the answer to a ping, is ended, in milliseconds.
    #[garde(range(min = 100, max = 86_400_000))]
    pub idle_timeout_millis: u64,
    /// Frames of one session in a second; more are dropped as rate_limited.
    #[garde(range(min = 1, max = 1_000_000))]
    pub max_frames_per_second: u32,
    /// Messages of one session in a second, frames among them; more are not read before their time.
    #[garde(range(min = 1, max = 1_000_000))]
    pub max_messages_per_second: u32,
    /// Bytes of one session in a second; more are not read before their time.
    #[garde(range(min = 1024, max = 1_099_511_627_776_u64))]
    pub max_bytes_per_second: u64,
    /// Frames that wait for an instance, of all sessions; more are dropped as overloaded.
    #[garde(range(min = 1, max = 1_000_000))]
    pub max_waiting: u32,
}

/// `[telemetry]`
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct TelemetrySettings {
    /// Which log lines are written: a level, or levels by module.
    #[garde(custom(log_directives))]
    pub log: String,
    /// How they are written.
    #[garde(skip)]
    pub log_format: LogFormat,
    /// The folder in whose `crashes` crash reports are written; empty: the one that systemd gives the service, or the
    /// user's own for the state of programs. Can't change while the server runs.
    #[serde(default)]
    #[garde(skip)]
    pub crash_folder: String,
    /// What is recorded of frames, and kept.
    #[garde(dive)]
    pub traces: TraceSettings,
    /// Where traces are exported to.
    #[garde(dive)]
    pub otlp: OtlpSettings,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// `[telemetry.traces]`
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct TraceSettings {
    /// The last frames of every session that the flight recorder holds.
    #[garde(range(min = 16, max = 100_000))]
    pub frames_per_session: usize,
    /// A frame that takes as long or longer is slow, in milliseconds: from capture to paint where the client tells both.
    #[garde(range(min = 1, max = 600_000))]
    pub slow_millis: u32,
    /// Which frames are kept for longer, and exported.
    #[garde(skip)]
    pub keep: Vec<KeepReason>,
    /// How many of all other frames are kept and exported, too: 1 is all.
    #[garde(range(min = 0.0, max = 1.0))]
    pub sample_ratio: f64,
    /// Most spans that are exported in a second; a frame has about 18.
    #[garde(range(min = 1, max = 1_000_000))]
    pub max_spans_per_second: u32,
}

/// A reason to keep a frame.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeepReason {
    /// It took `slow_millis` or longer.
    Slow,
    /// The backend failed on it.
    Failed,
    /// It was dropped for another reason: superseded, expired, refused.
    Dropped,
    /// Its client asked for it.
    Asked,
}

/// `[telemetry.otlp]`
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct OtlpSettings {
    /// The collector's URL. Empty: `OTEL_EXPORTER_OTLP_ENDPOINT`, and where that is not set nothing is exported.
    #[garde(custom(collector_url))]
    pub endpoint: String,
    /// How the collector is spoken to; `OTEL_EXPORTER_OTLP_PROTOCOL`, or else HTTP, when it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(skip)]
    pub protocol: Option<OtlpProtocol>,
    /// Sent along with each request, such as a key of the collector's.
    #[serde(default)]
    #[garde(custom(header_names))]
    pub headers: BTreeMap<String, String>,
    /// Longest request in milliseconds; `OTEL_EXPORTER_OTLP_TIMEOUT`, or else ten seconds, when it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(range(min = 100, max = 600_000))]
    pub timeout_millis: Option<u64>,
    /// Certificates in PEM that vouch for the collector; those of the web when empty.
    #[serde(default)]
    #[garde(skip)]
    pub ca_file: String,
}

/// How a collector is spoken to.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OtlpProtocol {
    /// Protocol buffers over HTTP, most often at port 4318.
    Http,
    /// gRPC, most often at port 4317.
    Grpc,
}

/// `[security]`
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct SecuritySettings {
    /// Origins of other pages that may open sessions; "*" lets every page, "null" files. Those of localhost always may.
    #[garde(skip)]
    pub allowed_origins: Vec<String>,
    /// What opens the admin API: at least 16 characters, or `sha256:` and the token's hash. Empty keeps it shut.
    #[garde(custom(token))]
    pub admin_token: String,
    /// What lets a client in, by the client's name, each written as `admin_token` is. Where there is none everybody may come.
    #[serde(default)]
    #[garde(custom(tokens))]
    pub client_tokens: BTreeMap<String, String>,
    /// Addresses of proxies, each with how many of its bits count, whose X-Forwarded-For is believed.
    #[serde(default)]
    #[garde(skip)]
    #[schemars(with = "Vec<String>", extend("examples" = [["10.0.0.0/8"]]))]
    pub trusted_proxies: Vec<IpNet>,
    /// Names of `client_tokens` whose frames come first: of all others, one waits beside them at a time.
    #[serde(default)]
    #[garde(skip)]
    pub preferred_clients: Vec<String>,
    /// SHA-256 of the plugin files that may be run, in hex; every file of the plugin directory when there is none.
    #[serde(default)]
    #[garde(custom(hashes))]
    pub allowed_plugins: Vec<String>,
}

fn hashes(hashes: &[String], _: &()) -> garde::Result {
    match hashes.iter().find(|text| hex::decode(text).map_or(true, |hash| hash.len() != 32)) {
        None => Ok(()),
        Some(text) => {
            Err(garde::Error::new(format!("{text:?} is no SHA-256; write the 64 digits that sha256sum prints")))
        }
    }
}

fn tokens(tokens: &BTreeMap<String, String>, _: &()) -> garde::Result {
    match tokens.iter().find(|(_, text)| text.is_empty() || token(text, &()).is_err()) {
        None => Ok(()),
        Some((name, _)) => {
            Err(garde::Error::new(format!("{name} has no token: write 16 characters or more, or sha256: and a hash")))
        }
    }
}

fn token(token: &str, _: &()) -> garde::Result {
    let is_right = match token.strip_prefix(HASHED) {
        // The hash of nothing is what a script writes whose variable is not set.
        Some(hash) => hex::decode(hash).is_ok_and(|hash| hash.len() == 32 && hash[..] != Sha256::digest("")[..]),
        None => token.is_empty() || token.chars().count() >= 16,
    };
    if is_right {
        Ok(())
    } else {
        Err(garde::Error::new("no token: write 16 characters or more, or sha256: and the hash of such a token"))
    }
}

fn file_name(name: &str, _: &()) -> garde::Result {
    if name.is_empty() || crate::file::is_plain_name(name) {
        return Ok(());
    }
    Err(garde::Error::new("no file name: write the name of a file in the plugin directory, without directories"))
}

fn collector_url(url: &str, _: &()) -> garde::Result {
    let has_scheme = ["http://", "https://"].iter().any(|scheme| url.starts_with(scheme) && url.len() > scheme.len());
    // It is shown to everybody: what is secret goes into a header.
    let is_plain = !url.contains(char::is_whitespace) && !url.contains(['@', '?', '#']);
    if url.is_empty() || (has_scheme && is_plain) {
        return Ok(());
    }
    Err(garde::Error::new(
        "no plain URL: write one such as http://localhost:4318, and what is secret under telemetry.otlp.headers",
    ))
}

fn header_names(headers: &BTreeMap<String, String>, _: &()) -> garde::Result {
    let is_name = |name: &str| {
        let is_letter = |letter: u8| letter.is_ascii_alphanumeric() || b"-_.".contains(&letter);
        !name.is_empty() && name.bytes().all(is_letter)
    };
    let is_value = |value: &str| value.bytes().all(|letter| (0x20..0x7F).contains(&letter));
    match headers.iter().find(|(name, value)| !is_name(name) || !is_value(value)) {
        None => Ok(()),
        Some((name, _)) => Err(garde::Error::new(format!(
            "{name:?} is no header: write a name of letters, digits and dashes, and a value in ASCII"
        ))),
    }
}

fn log_directives(text: &str, _: &()) -> garde::Result {
    // As regular expressions, values of a few bytes could take minutes to compile.
    match tracing_subscriber::EnvFilter::builder().with_regex(false).parse(text) {
        Ok(_filter) => Ok(()),
        Err(error) => Err(garde::Error::new(format!("no log filter: {error}"))),
    }
}

fn one() -> u32 {
    1
}

fn ten_seconds() -> u64 {
    10_000
}

fn two_minutes() -> u64 {
    120_000
}

fn four_gib() -> u64 {
    4 << 30
}

//! A file of a web server. What broke off is taken up again, within one pull and by the next.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::Path,
    thread,
    time::Duration,
};

use ureq::{
    Agent, Body,
    config::RedirectAuthHeaders,
    http::{Response, header},
};

use super::{Step, Trouble};
use crate::model::weights::LARGEST_WEIGHTS_LEN_BYTES;

/// So many attempts in a row that bring nothing are enough.
const MOST_IN_VAIN: u32 = 3;

/// A connection that hangs is given up after that, and taken up again.
const LONGEST_RESPONSE: Duration = Duration::from_secs(900);

/// Why one attempt is over.
enum End {
    /// It may go on from where it is.
    Broken(String),
    Final(Trouble),
}

/// Downloads `url` to `path`, going on with what lies there.
pub(super) fn download(
    url: &str,
    token: Option<&str>,
    path: &Path,
    progress: &dyn Fn(Step<'_>),
) -> Result<(), Trouble> {
    let mut in_vain = 0;
    loop {
        let before = len_bytes(path);
        let reason = match attempt(url, token, path, progress) {
            Ok(()) => return Ok(()),
            Err(End::Final(trouble)) => return Err(trouble),
            Err(End::Broken(reason)) => reason,
        };
        in_vain = if len_bytes(path) > before { 0 } else { in_vain + 1 };
        if in_vain == MOST_IN_VAIN {
            let kept = if before > 0 { "; what came is kept, and the next pull goes on from there" } else { "" };
            return Err(Trouble::Source(format!("{reason}{kept}")));
        }
        progress(Step::Says(&format!("Trying again: {reason}")));
        thread::sleep(Duration::from_millis(200) * 3_u32.pow(in_vain));
    }
}

fn attempt(url: &str, token: Option<&str>, path: &Path, progress: &dyn Fn(Step<'_>)) -> Result<(), End> {
    let start = len_bytes(path);
    let response = ask(url, token, start).map_err(|error| End::Broken(format!("it can't be reached: {error}")))?;
    let header_of = |name: header::HeaderName| response.headers().get(name)?.to_str().ok().map(str::to_owned);
    let range = header_of(header::CONTENT_RANGE).unwrap_or_default();
    let (start, file) = match response.status().as_u16() {
        200 => (0, File::create(path)),
        206 if range.starts_with(&format!("bytes {start}-")) => (start, OpenOptions::new().append(true).open(path)),
        // Nothing is missing.
        416 if start > 0 && range == format!("bytes */{start}") => return Ok(()),
        206 | 416 => {
            let _ = fs::remove_file(path);
            return Err(End::Broken("it has another length than before".into()));
        }
        status @ (408 | 429 | 500..=599) => return Err(End::Broken(format!("it answers with status {status}"))),
        status => return Err(End::Final(Trouble::Source(format!("it answers with status {status}")))),
    };
    let mut file = file.map_err(|error| End::Final(Trouble::File(path.into(), error)))?;
    let total = response.body().content_length().map(|len| start + len);
    let done = append(response.into_body(), &mut file, path, start, total, progress)?;
    match total {
        Some(total) if total != done => Err(End::Broken(format!("it broke off after {done} of {total} bytes"))),
        _ => Ok(()),
    }
}

fn ask(url: &str, token: Option<&str>, start: u64) -> Result<Response<Body>, ureq::Error> {
    let agent: Agent = Agent::config_builder()
        .http_status_as_error(false)
        .redirect_auth_headers(RedirectAuthHeaders::SameHost)
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .timeout_recv_body(Some(LONGEST_RESPONSE))
        .build()
        .into();
    // Compressed, lengths and ranges would be of something else.
    let mut request = agent.get(url).header(header::ACCEPT_ENCODING, "identity");
    if start > 0 {
        request = request.header(header::RANGE, format!("bytes={start}-"));
    }
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    request.call()
}

/// Appends the body to `file`; how long that is then.
fn append(
    body: Body,
    file: &mut File,
    path: &Path,
    start: u64,
    total: Option<u64>,
    progress: &dyn Fn(Step<'_>),
) -> Result<u64, End> {
    let (mut reader, mut part, mut done) = (body.into_reader(), vec![0; 1 << 18], start);
    loop {
        match reader.read(&mut part) {
            Ok(0) => return Ok(done),
            Ok(len) => {
                done += len as u64;
                file.write_all(&part[..len]).map_err(|error| {
                    // A full disk is full for others, too.
                    let _ = fs::remove_file(path);
                    End::Final(Trouble::File(path.into(), error))
                })?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(End::Broken(format!("it broke off after {done} bytes: {error}"))),
        }
        if done > LARGEST_WEIGHTS_LEN_BYTES {
            let _ = fs::remove_file(path);
            let what = format!("it has more than {LARGEST_WEIGHTS_LEN_BYTES} bytes");
            return Err(End::Final(Trouble::Source(what)));
        }
        progress(Step::Bytes { done, total });
    }
}

fn len_bytes(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

//! A web server with a few files, for scenarios in which weights are fetched; it notes what it is asked.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use anyhow::Result;

/// A file, and how it is given away.
#[derive(Clone, Default)]
pub struct Hosted {
    /// What is in it.
    pub content: Vec<u8>,
    /// Headers beside the usual ones.
    pub headers: Vec<(&'static str, String)>,
    /// Where it is instead.
    pub redirect: Option<String>,
    /// The connection ends after so many bytes of an answer.
    pub cut_after: Option<usize>,
}

impl Hosted {
    /// A plain file.
    pub fn plain(content: &[u8]) -> Self {
        Self { content: content.to_vec(), ..Self::default() }
    }
}

#[derive(Default)]
struct Shared {
    files: Mutex<Vec<(String, Hosted)>>,
    asked: Mutex<Vec<String>>,
}

/// The server; its thread ends with the test's process.
pub struct FileServer {
    address: String,
    shared: Arc<Shared>,
}

impl FileServer {
    /// Starts it, without any files.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Who breaks off has its reasons.
                let _ = serving.answer(stream);
            }
        });
        Ok(Self { address, shared })
    }

    /// The address of `path`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Puts a file at `path`, in place of what was there.
    pub fn host(&self, path: &str, file: Hosted) {
        let mut files = self.shared.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.retain(|(known, _)| known != path);
        files.push((path.to_owned(), file));
    }

    /// What it was asked since the last time: path, range and authorization of each request.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Shared {
    fn answer(&self, stream: TcpStream) -> Result<()> {
        let mut lines = BufReader::new(&stream).lines();
        let path = lines.next().transpose()?.unwrap_or_default();
        let path = path.split(' ').nth(1).unwrap_or_default().to_owned();
        let (mut range, mut authorization) = (None, String::new());
        for line in lines.map_while(Result::ok).take_while(|line| !line.is_empty()) {
            match line.split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("range") => range = Some(value.to_owned()),
                Some((name, value)) if name.eq_ignore_ascii_case("authorization") => authorization = value.to_owned(),
                _ => {}
            }
        }
        let asked = format!("{path} {} {authorization}", range.as_deref().unwrap_or("whole"));
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked.trim().to_owned());
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let file = files.into_iter().find(|(known, _)| *known == path).map(|(_, file)| file);
        respond(stream, file, range.as_deref())
    }
}

fn respond(mut stream: TcpStream, file: Option<Hosted>, range: Option<&str>) -> Result<()> {
    let Some(file) = file else {
        return Ok(stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")?);
    };
    let len = file.content.len();
    let bounds = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    let start = bounds.and_then(|(start, _)| start.parse().ok()).unwrap_or(0_usize);
    let end = bounds.and_then(|(_, end)| end.parse::<usize>().ok()).map_or(len, |last| len.min(last + 1));
    let headers: String = file.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    if let Some(place) = file.redirect {
        let head = format!("HTTP/1.1 302 Found\r\nlocation: {place}\r\n{headers}");
        return Ok(stream.write_all(format!("{head}content-length: 0\r\nconnection: close\r\n\r\n").as_bytes())?);
    }
    let (status, start) = match range {
        Some(_) if start >= len => ("416 Range Not Satisfiable", len),
        Some(_) => ("206 Partial Content", start),
        None => ("200 OK", 0),
    };
    let content_range = match range {
        Some(_) if start >= len => format!("content-range: bytes */{len}\r\n"),
        Some(_) => format!("content-range: bytes {start}-{}/{len}\r\n", end - 1),
        None => String::new(),
    };
    let body = &file.content[start..end.max(start)];
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\n{content_range}{headers}connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body[..file.cut_after.map_or(body.len(), |most| most.min(body.len()))])?;
    Ok(())
}

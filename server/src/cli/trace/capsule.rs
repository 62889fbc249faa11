//! A capsule: the traces of an incident and the configuration under which it happened, in one file that is read without
//! the server. It is JSON, compressed by gzip.

use std::{
    fs::{self, File},
    io::{Read, Write},
    path::Path,
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use serde_json::{Value, json};

use super::{super::CliResult, super::Failure, text, traces, waterfall};

const FORMAT: &str = "segue-capsule";
const VERSION: u64 = 1;

/// A capsule is not larger, unpacked.
const LARGEST_LEN_BYTES: u64 = 1 << 30;

/// A capsule that was read.
pub(super) struct Capsule {
    pub(super) document: Value,
}

impl Capsule {
    /// Puts a capsule together. `parts` are what the server said.
    pub(super) fn new(seconds: u32, parts: Value) -> Self {
        let mut document = parts;
        document["format"] = FORMAT.into();
        document["version"] = VERSION.into();
        document["captured_at"] = format!("{:.3}", jiff::Timestamp::now()).into();
        document["seconds"] = seconds.into();
        document["segue_version"] = env!("CARGO_PKG_VERSION").into();
        Self { document }
    }

    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let wrong = |what: &dyn std::fmt::Display| Failure::wrong_usage(format!("{}: {what}", path.display()));
        let file = File::open(path).map_err(|error| wrong(&error))?;
        let mut content = Vec::new();
        let unpacked = GzDecoder::new(file).take(LARGEST_LEN_BYTES).read_to_end(&mut content);
        unpacked.map_err(|error| wrong(&format!("no capsule, or a part of one: {error}")))?;
        let document: Value =
            serde_json::from_slice(&content).map_err(|error| wrong(&format!("no capsule: {error}")))?;
        if document["format"] != FORMAT {
            return Err(wrong(&"no capsule; `segue trace capture` writes one"));
        }
        if document["version"] != VERSION {
            let version = &document["version"];
            return Err(wrong(&format!("a capsule of version {version}; this program reads version {VERSION}")));
        }
        Ok(Self { document })
    }

    pub(super) fn write(&self, path: &Path) -> Result<u64, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::does_not_hold(format!("{}: {error}", path.display()));
        // Nobody finds half a capsule under the name.
        let half = path.with_extension("part");
        let write = || {
            let mut out = GzEncoder::new(File::create(&half)?, Compression::default());
            serde_json::to_writer(&mut out, &self.document)?;
            out.finish()?.flush()?;
            fs::rename(&half, path)?;
            fs::metadata(path).map(|file| file.len())
        };
        write().map_err(|error: std::io::Error| failed(&error))
    }

    /// What is in it, in a few lines.
    pub(super) fn summary(&self) -> String {
        let document = &self.document;
        let frames = &document["traces"];
        let pictures = document["frames"].as_object().map_or(0, serde_json::Map::len);
        let marks = frames["marks"].as_array().into_iter().flatten().map(|mark| {
            let at = waterfall::time(mark["at_micros"].as_u64().unwrap_or(0));
            format!("\n  {at} {} {}: {}", text(&mark["kind"]), text(&mark["outcome"]), text(&mark["text"]))
        });
        format!(
            "{} s until {} of Segue {}, profile {} in generation {}: {} frames, {pictures} pictures{}",
            document["seconds"],
            text(&document["captured_at"]),
            text(&document["segue_version"]),
            text(&document["profile"]["profile"]),
            document["generation"],
            traces(frames).len(),
            marks.take(10).collect::<String>(),
        )
    }

    /// Writes each frame's picture, named by its trace.
    pub(super) fn write_pictures(&self, directory: &Path) -> CliResult {
        let failed = |error: std::io::Error| Failure::does_not_hold(format!("{}: {error}", directory.display()));
        let Some(pictures) = self.document["frames"].as_object() else {
            return Err(Failure::does_not_hold("it has no pictures; `segue trace capture --frames` takes them along"));
        };
        fs::create_dir_all(directory).map_err(failed)?;
        for (trace_id, picture) in pictures {
            // The name goes into a path.
            let is_trace_id = trace_id.len() == 32 && trace_id.bytes().all(|digit| digit.is_ascii_hexdigit());
            let picture = BASE64.decode(text(picture)).ok().filter(|_| is_trace_id);
            let picture = picture.ok_or_else(|| Failure::wrong_usage("the capsule is damaged"))?;
            fs::write(directory.join(format!("{trace_id}.jpg")), picture).map_err(failed)?;
        }
        println!("{} pictures are in {}", pictures.len(), directory.display());
        Ok(())
    }
}

/// The parts of a capsule that come from a server's documents.
pub(super) fn parts(profile: Value, modes: Value, reloads: Value, traces: Value, frames: Option<Value>) -> Value {
    let mut parts = json!({
        "generation": profile["generation"], "profile": profile, "modes": modes, "reloads": reloads, "traces": traces,
    });
    if let Some(frames) = frames {
        parts["frames"] = frames;
    }
    parts
}

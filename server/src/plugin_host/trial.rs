//! A trial: a process of its own in which a plugin is opened as in a worker, to find out what it does.
//!
//! Not on a frame's path: `segue plugins verify` runs its checks in one. Both sides are here.
//!
//! Invariant: what is opened is the private copy of what was checked, and only once the process is confined.

use std::{
    error::Error,
    io,
    os::{fd::AsFd, unix::net::UnixStream},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use segue_abi as abi;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    Library, PluginFile,
    worker::{end_with_the_server, life::Process, sandbox, setup},
};
use crate::copies::{Copies, PrivateCopy};

/// What a mode may use whose profile does not say.
const MEMORY_LEN_BYTES: u64 = 4 << 30;

/// What a trial's process is to open, and what it is to do then.
#[derive(Deserialize, Serialize)]
struct Setup<T> {
    parent: i32,
    copy: PathBuf,
    sha256: String,
    needs_network: bool,
    job: T,
}

/// A trial, as seen by the process that started it; ended when it is dropped.
pub struct Trial {
    process: Process,
    socket: UnixStream,
    _copy: Arc<PrivateCopy>,
}

/// What came from a trial's process.
pub enum Heard<T> {
    /// What it said.
    Message(T),
    /// Nothing, for so long that it was ended.
    Nothing,
    /// It has ended, in these words.
    Ended(String),
}

impl Trial {
    /// Starts the subcommand `role` of this program, which becomes the [`Candidate`] for `file` and gets `job`. The
    /// private copy is made in `copies`.
    pub fn start(
        role: &[&str],
        file: &PluginFile,
        copies: &Copies,
        threads: u32,
        job: &impl Serialize,
    ) -> Result<Self, Box<dyn Error>> {
        let copy = copies.keep(&file.path, &file.sha256)?;
        let (ours, theirs) = UnixStream::pair()?;
        let process = Process::start_as(role, &file.descriptor.name, theirs, threads)?;
        let (parent, path) = (std::process::id().cast_signed(), copy.path().to_owned());
        let needs_network = file.descriptor.needs_network;
        let setup = Setup { parent, copy: path, sha256: file.sha256.clone(), needs_network, job };
        setup::send(&ours, &setup, &[])?;
        Ok(Self { process, socket: ours, _copy: copy })
    }

    /// The next message, if it comes within `patience`.
    pub fn hear<T: DeserializeOwned>(&mut self, patience: Duration) -> Heard<T> {
        let message = self.socket.set_read_timeout(Some(patience)).and_then(|()| setup::receive(&self.socket));
        match message {
            Ok((message, _)) => Heard::Message(message),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                self.process.kill();
                Heard::Nothing
            }
            Err(_closed) => Heard::Ended(self.process.obituary()),
        }
    }
}

/// A trial, as seen by the process that it runs in.
pub struct Candidate {
    socket: UnixStream,
    copy: PathBuf,
    sha256: String,
    needs_network: bool,
}

impl Candidate {
    /// Gets the job from the process that started this one.
    pub fn receive<T: DeserializeOwned>() -> Result<(Self, T), Box<dyn Error>> {
        let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        let (Setup { parent, copy, sha256, needs_network, job }, _) = setup::receive::<Setup<T>>(&socket)?;
        end_with_the_server(parent)?;
        Ok((Self { socket, copy, sha256, needs_network }, job))
    }

    /// Opens the plugin, in this process for good, once that is confined as a worker is.
    pub fn open(&self) -> Result<&'static abi::Plugin, Box<dyn Error>> {
        // What a kernel lacks of it, the server's workers lack, too.
        sandbox::confine(MEMORY_LEN_BYTES, self.needs_network);
        Ok(Library::open_copy(&self.copy, &self.sha256)?.plugin)
    }

    /// Says something to the process that started this one.
    pub fn say(&self, message: &impl Serialize) -> io::Result<()> {
        setup::send(&self.socket, message, &[])
    }
}

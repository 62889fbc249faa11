//! What server and worker say once, over the socket: the model, and what it says of itself.

use std::{
    io::{IoSlice, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::PathBuf,
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::super::instance::{InstanceInfo, ModelSpec};

/// Labels and settings of a model have some kilobytes.
const LARGEST_MESSAGE_LEN_BYTES: u32 = 16 << 20;

/// How many descriptors go along with [`Setup`].
const DESCRIPTORS: usize = 3;

/// What a worker is to do.
#[derive(Debug, Deserialize, Serialize)]
pub(in crate::plugin_host) struct Setup {
    /// The server's process.
    pub(in crate::plugin_host) server: i32,
    /// The plugin's file.
    pub(in crate::plugin_host) plugin: PathBuf,
    /// The SHA-256 that it must have.
    pub(in crate::plugin_host) sha256: String,
    /// The model.
    pub(in crate::plugin_host) spec: ModelSpec,
    /// Most memory of its own, in bytes.
    pub(in crate::plugin_host) memory_len_bytes: u64,
    /// Whether the plugin calls other machines.
    pub(in crate::plugin_host) needs_network: bool,
    /// Whether it is run by an interpreter, rather than opened.
    pub(in crate::plugin_host) is_program: bool,
    /// A program's own folder for what it has to write.
    pub(in crate::plugin_host) scratch: Option<PathBuf>,
}

/// What a worker says when it is ready, or why it is not.
pub(super) type Ready = Result<ReadyWorker, String>;

/// What a worker says when it is ready.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct ReadyWorker {
    /// What the model says of itself.
    pub(super) info: InstanceInfo,
    /// What the kernel keeps it from, for people.
    pub(super) confined: String,
}

/// Writes one message, with descriptors beside its length.
pub(in crate::plugin_host) fn send(
    mut socket: &UnixStream,
    message: &impl Serialize,
    descriptors: &[BorrowedFd<'_>],
) -> std::io::Result<()> {
    let text = serde_json::to_vec(message)?;
    let len = (text.len() as u32).to_le_bytes();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    sendmsg(socket, &[IoSlice::new(&len)], &mut ancillary, SendFlags::NOSIGNAL)?;
    socket.write_all(&text)
}

/// Reads one message, and the descriptors that came with it.
pub(in crate::plugin_host) fn receive<T: DeserializeOwned>(
    mut socket: &UnixStream,
) -> std::io::Result<(T, Vec<OwnedFd>)> {
    let mut len = [0; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(socket, &mut [IoSliceMut::new(&mut len)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    // The length's four bytes may come in parts, if only in theory.
    socket.read_exact(&mut len[received.bytes..])?;
    let len = u32::from_le_bytes(len);
    if received.bytes == 0 || len > LARGEST_MESSAGE_LEN_BYTES {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    let mut text = vec![0; len as usize];
    socket.read_exact(&mut text)?;
    Ok((serde_json::from_slice(&text)?, descriptors))
}

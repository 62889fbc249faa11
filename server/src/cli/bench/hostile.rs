//! What somebody does who means no good, or whose program is broken: each leaves the server as it was.

use std::time::Duration;

use futures_util::SinkExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_tungstenite::tungstenite::Message;

use super::live::{Socket, Target, answered, connect, frame};
use crate::cli::Failure;

/// It stays no longer, when it is not put out before.
const STAY: Duration = Duration::from_secs(2);

/// From one byte to the next of somebody who dawdles.
const DAWDLE: Duration = Duration::from_millis(100);

/// A frame's first bytes by which a picture of 65,500 pixels a side begins.
const BOMB: [u8; 23] =
    [0xff, 0xd8, 0xff, 0xc0, 0, 17, 8, 0xff, 0xdc, 0xff, 0xdc, 3, 1, 0x11, 0, 2, 0x11, 1, 3, 0x11, 1, 0xff, 0xda];

/// Bytes that no WebSocket client sends: what is wrong, and how it begins. A mask of zeros leaves them as they are.
const BROKEN_FRAMES: [&[u8]; 6] = [
    // Reserved bits.
    &[0xf2, 0x80, 0, 0, 0, 0],
    // Text that is no UTF-8.
    &[0x81, 0x82, 0, 0, 0, 0, 0xff, 0xfe],
    // An opcode that means nothing.
    &[0x83, 0x80, 0, 0, 0, 0],
    // 2^62 bytes are to come.
    &[0x82, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    // No mask.
    &[0x82, 0x01, 1],
    // A ping in two parts.
    &[0x09, 0x80, 0, 0, 0, 0],
];

/// Does something bad, another thing for each `kind`, and stays until it is put out or has enough.
pub(super) async fn attack(kind: u32, target: &Target, picture: &[u8]) -> Result<(), Failure> {
    match kind % 12 {
        0 => no_http(target, b"\x16\x03\x01\x02\x00\x01\x00garbage\r\n\r\n").await,
        1 => dawdle(target).await,
        2 => say_all(target, [Message::Text("{\"type\":".into())].into_iter().cycle().take(1000)).await,
        3 => say_all(target, std::iter::repeat_with(|| Message::Ping(vec![7; 125].into())).take(10_000)).await,
        4 => say_all(target, [frame(0, &picture[..picture.len() / 2])].into_iter()).await,
        5 => say_all(target, [frame(0, &BOMB)].into_iter()).await,
        // The first half of a frame, whose second half never comes.
        6 => raw(target, &[0x82, 0xfe, 0xff, 0xff, 0, 0, 0, 0, 1, 1, 0, 0]).await,
        // Fragments without an end: 64 KB each, the last of them never.
        7 => raw(target, &fragments(100)).await,
        kind => raw(target, BROKEN_FRAMES[kind as usize % BROKEN_FRAMES.len()]).await,
    }
}

fn fragments(count: usize) -> Vec<u8> {
    let one = |first: u8| [&[first, 0xfe, 0xff, 0xff, 0, 0, 0, 0][..], &[0; 0xffff]].concat();
    std::iter::once(one(0x02)).chain(std::iter::repeat_with(|| one(0x00)).take(count)).flatten().collect()
}

/// The connection of a client that does not get as far as a socket.
async fn dial(target: &Target) -> Result<TcpStream, Failure> {
    let (scheme, rest) = target.socket.split_once("://").unwrap_or(("ws", &target.socket));
    let host = rest.split('/').next().unwrap_or(rest);
    let port = if scheme == "wss" { 443 } else { 80 };
    match host.rsplit_once(':') {
        Some((_, digits)) if digits.parse::<u16>().is_ok() => TcpStream::connect(host).await,
        _ => TcpStream::connect((host, port)).await,
    }
    .map_err(Failure::does_not_hold)
}

async fn no_http(target: &Target, bytes: &[u8]) -> Result<(), Failure> {
    let mut stream = dial(target).await?;
    stream.write_all(bytes).await.map_err(Failure::does_not_hold)?;
    let mut answer = Vec::new();
    // Whatever it says.
    let _ = timeout(STAY, stream.read_to_end(&mut answer)).await;
    Ok(())
}

/// A request, a byte at a time, that does not come to its end.
async fn dawdle(target: &Target) -> Result<(), Failure> {
    let mut stream = dial(target).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nx-dawdle: ").await.map_err(Failure::does_not_hold)?;
    for _ in 0..STAY.as_millis() / DAWDLE.as_millis() {
        stream.write_all(b"a").await.map_err(Failure::does_not_hold)?;
        sleep(DAWDLE).await;
    }
    Ok(())
}

async fn raw(target: &Target, bytes: &[u8]) -> Result<(), Failure> {
    let mut socket = connect(target).await?;
    socket.get_mut().write_all(bytes).await.map_err(Failure::does_not_hold)?;
    stay(&mut socket).await;
    Ok(())
}

async fn say_all(target: &Target, messages: impl Iterator<Item = Message>) -> Result<(), Failure> {
    let mut socket = connect(target).await?;
    for message in messages {
        socket.send(message).await.map_err(Failure::does_not_hold)?;
    }
    stay(&mut socket).await;
    Ok(())
}

async fn stay(socket: &mut Socket) {
    // Then it has enough.
    let _ = timeout(STAY, async { while answered(socket).await {} }).await;
}

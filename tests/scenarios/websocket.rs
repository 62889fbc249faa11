//! RFC 6455, case by case, as Autobahn's suite has them: what is allowed is understood, however it is cut up, and what is
//! not ends that connection with the code for it, and no other.

use anyhow::{Context, Result, ensure};
use segue_tests::{Client, Event, FrameFields, Server, gradient_jpeg};

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
/// The last fragment of its message.
const LAST: u8 = 0x80;
const MASKED: u8 = 0x80;

const STATS: &[u8] = br#"{"type":"stats"}"#;

/// A client's frame whose first byte is `first`.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        len @ ..126 => bytes.push(MASKED | len as u8),
        len => bytes.extend([&[MASKED | 126][..], &(len as u16).to_be_bytes()].concat()),
    }
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// A message in fragments of `len` bytes; between them what `between` is.
fn fragments(kind: u8, payload: &[u8], len: usize, between: &[u8]) -> Vec<u8> {
    let parts: Vec<_> = payload.chunks(len).collect();
    let part = |number: usize| {
        let first = if number == 0 { kind } else { CONTINUATION };
        let last = if number + 1 == parts.len() { LAST } else { 0 };
        [frame(first | last, parts[number]), if last == 0 { between.to_vec() } else { Vec::new() }].concat()
    };
    (0..parts.len()).flat_map(part).collect()
}

fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(LAST | CLOSE, &[&code.to_be_bytes()[..], reason].concat())
}

/// Whether the session goes on.
async fn answers(client: &mut Client) -> Result<()> {
    client.raw(&frame(LAST | TEXT, STATS)).await?;
    client.text_of("stats").await.map(drop)
}

/// With which code the connection ends.
async fn ends(client: &mut Client) -> Result<Option<u16>> {
    loop {
        if let Event::Closed(code) = client.next().await? {
            return Ok(code);
        }
    }
}

#[tokio::test]
async fn what_is_allowed_is_understood() -> Result<()> {
    let server = Server::start(&[])?;
    let mut client = Client::connect(server.address()).await?;
    let ping = frame(LAST | PING, &[b'x'; 125]);
    for between in [Vec::new(), frame(LAST | PING, b""), frame(LAST | PONG, b"nobody asked"), ping.clone()] {
        client.raw(&fragments(TEXT, STATS, 1, &between)).await?;
        client.text_of("stats").await?;
    }
    // With empty fragments around it.
    client.raw(&[frame(TEXT, b""), frame(CONTINUATION, STATS), frame(LAST, b"")].concat()).await?;
    client.text_of("stats").await?;

    let picture = FrameFields::jpeg(1).message(&gradient_jpeg(64, 64)?);
    client.raw(&fragments(BINARY, &picture, 100, &ping)).await?;
    client.result().await?;

    // Characters that are cut in the middle: no message of ours, and no fault of the protocol.
    for len in [1, 2, 3] {
        client.raw(&fragments(TEXT, "κόσμε 🎥".as_bytes(), len, b"")).await?;
        ensure!(client.text_of("error").await?["code"] == "bad_message");
    }
    client.raw(&frame(LAST | TEXT, b"")).await?;
    ensure!(client.text_of("error").await?["code"] == "bad_message");

    // A flood: each is answered, and the session goes on.
    client.raw(&ping.repeat(200)).await?;
    answers(&mut client).await
}

#[tokio::test]
async fn a_close_is_answered_with_its_code() -> Result<()> {
    let server = Server::start(&[])?;
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999] {
        for reason in [&b""[..], "adiós".as_bytes(), &[b'x'; 123]] {
            let mut client = Client::connect(server.address()).await?;
            client.raw(&close(code, reason)).await?;
            let answer = ends(&mut client).await?;
            ensure!(answer == Some(code), "{code} was answered with {answer:?}");
        }
    }
    let mut client = Client::connect(server.address()).await?;
    client.raw(&frame(LAST | CLOSE, b"")).await?;
    ensure!(ends(&mut client).await?.is_none(), "a close without a code was answered with one");
    Ok(())
}

/// What breaks the protocol, and the codes that may be said of it.
fn broken() -> Vec<(String, Vec<u8>, &'static [u16])> {
    let mut cases = Vec::new();
    let mut case = |name: String, bytes: Vec<u8>, codes| cases.push((name, bytes, codes));
    const PROTOCOL: &[u16] = &[1002];
    for bits in 1..8_u8 {
        case(format!("reserved bits {bits:03b} of a text"), frame(LAST | bits << 4 | TEXT, STATS), PROTOCOL);
        case(format!("reserved bits {bits:03b} of a ping"), frame(LAST | bits << 4 | PING, b""), PROTOCOL);
    }
    for opcode in (3..8).chain(11..16) {
        case(format!("opcode {opcode}"), frame(LAST | opcode, b"x"), PROTOCOL);
    }
    for opcode in [CLOSE, PING, PONG] {
        case(format!("opcode {opcode} in fragments"), frame(opcode, b""), PROTOCOL);
        case(format!("opcode {opcode} of 126 bytes"), frame(LAST | opcode, &[b'x'; 126]), PROTOCOL);
    }
    case("a continuation of nothing".into(), frame(LAST, b"x"), PROTOCOL);
    case("a text within a text".into(), [frame(TEXT, b"{"), frame(LAST | TEXT, b"}")].concat(), PROTOCOL);
    case("a frame without a mask".into(), [&[LAST | TEXT, STATS.len() as u8], STATS].concat(), PROTOCOL);
    case("a close of one byte".into(), frame(LAST | CLOSE, b"x"), PROTOCOL);
    for code in [0, 999, 1004, 1005, 1006, 1015, 1100, 2000, 2999, 5000, 65535] {
        case(format!("a close with {code}"), close(code, b""), PROTOCOL);
    }
    case("a close whose reason is not UTF-8".into(), close(1000, b"\xed\xa0\x80"), &[1002, 1007]);
    for text in [&b"\xff"[..], b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"{\"type\":\"\xe4\"}", b"\xe2\x82"] {
        case(format!("the text {text:x?}"), frame(LAST | TEXT, text), &[1007]);
        case(format!("the text {text:x?} in fragments"), fragments(TEXT, text, 1, b""), &[1007]);
    }
    let huge = |len: u64| [&[LAST | BINARY, MASKED | 127][..], &len.to_be_bytes(), &[0; 4]].concat();
    case("a frame of 1 GB".into(), huge(1 << 30), &[1009]);
    case("a frame of 2^63 bytes".into(), huge(1 << 63), &[1002, 1009]);
    case("a frame of 2^64 - 1 bytes".into(), huge(u64::MAX), &[1002, 1009]);
    cases
}

#[tokio::test]
async fn what_is_not_allowed_ends_its_own_connection_with_the_code_for_it() -> Result<()> {
    let server = Server::start(&["--set", "limits.max_connections_per_address=1024"])?;
    let mut bystander = Client::connect(server.address()).await?;
    let mut wrong = Vec::new();
    for (name, bytes, codes) in broken() {
        let mut client = Client::connect(server.address()).await.with_context(|| name.clone())?;
        client.raw(&bytes).await?;
        match ends(&mut client).await.with_context(|| name.clone())? {
            Some(code) if codes.contains(&code) => {}
            other => wrong.push(format!("{name}: {other:?}, not one of {codes:?}")),
        }
    }
    ensure!(wrong.is_empty(), "{wrong:#?}");
    answers(&mut bystander).await
}

//! The wire protocol, byte for byte: `golden/wire.json` is made from the protocol's description alone, and read here
//! and by the page's tests.

use anyhow::{Context, Result};
use bytes::Bytes;
use segue::{
    pipeline::{ClassSet, EncodedMask, Wanted},
    session::{
        ClientMessage, ServerMessage,
        protocol::{FrameMessage, ResultHeader, result_message},
    },
    telemetry::{FrameTrace, Stage, TraceStart},
};
use segue_tests::Decoded;
use serde_json::Value;

fn golden() -> Result<Value> {
    Ok(serde_json::from_str(include_str!("../golden/wire.json"))?)
}

/// The cases of one kind: each with its name.
fn cases<'a>(golden: &'a Value, kind: &str) -> Result<Vec<(&'a str, &'a Value)>> {
    let cases = golden.pointer(kind).and_then(Value::as_array).with_context(|| format!("no {kind} in wire.json"))?;
    cases.iter().map(|case| Ok((case["name"].as_str().context("a case without a name")?, case))).collect()
}

fn bytes(case: &Value) -> Result<Bytes> {
    Ok(hex::decode(case["hex"].as_str().context("a case without bytes")?)?.into())
}

#[test]
fn frames_are_read_as_the_protocol_has_them() -> Result<()> {
    let golden = golden()?;
    for (name, case) in cases(&golden, "/frames")? {
        let frame = FrameMessage::read(&bytes(case)?).with_context(|| name.to_owned())?;
        let fields = &case["fields"];
        assert_eq!(frame.codec.to_string(), fields["codec"].to_string(), "{name}");
        assert_eq!(Some(frame.keep_trace), fields["keep_trace"].as_bool(), "{name}");
        assert_eq!(Some(u64::from(frame.frame_id)), fields["frame_id"].as_u64(), "{name}");
        assert_eq!(Some(frame.captured_at_micros.to_string().as_str()), fields["captured_at"].as_str(), "{name}");
        assert_eq!(Some(u64::from(frame.encode_micros)), fields["encode_micros"].as_u64(), "{name}");
        assert_eq!(Some(u64::from(frame.send_delay_micros)), fields["send_delay_micros"].as_u64(), "{name}");
        assert_eq!(Some(hex::encode(frame.trace_id).as_str()), fields["trace_id"].as_str(), "{name}");
        assert_eq!(Some(hex::encode(frame.span_id).as_str()), fields["span_id"].as_str(), "{name}");
        assert_eq!(Some(hex::encode(&frame.payload).as_str()), fields["payload"].as_str(), "{name}");
    }
    Ok(())
}

#[test]
fn what_is_no_frame_is_refused() -> Result<()> {
    let golden = golden()?;
    for (name, case) in cases(&golden, "/bad_frames")? {
        let refused = match FrameMessage::read(&bytes(case)?) {
            Ok(frame) => !frame.has_known_codec(),
            Err(_reason) => true,
        };
        assert!(refused, "{name}");
    }
    Ok(())
}

#[test]
fn results_are_written_as_the_protocol_has_them() -> Result<()> {
    let golden = golden()?;
    let plain =
        cases(&golden, "/results")?.into_iter().find(|(name, _)| *name == "plain").context("no plain result")?.1;
    let expected = bytes(plain)?;
    let mut trace = FrameTrace::unrecorded(TraceStart::default());
    for (stage, micros) in Stage::OF_RESULT.into_iter().zip([900, 700, 450, 8200, 600, 140]) {
        trace.put(stage, 0, micros);
    }
    let header = ResultHeader {
        mode_index: 0,
        frame_id: 1,
        captured_at_micros: 1_760_000_000_000_000,
        generation: 7,
        server_clock_micros: 1_760_000_000_050_000,
    };
    let mut with_headroom = vec![0; 64];
    with_headroom.extend(&expected[64..]);
    let drawn = ClassSet::default();
    let mask =
        EncodedMask { bytes: with_headroom.as_slice().into(), wanted: Wanted::Mask, width_px: 8, height_px: 4, drawn };
    let written = result_message(header, mask, &trace);
    // Bytes 48 to 51 are the server's total, which is measured.
    assert_eq!((&written[..48], &written[52..]), (&expected[..48], &expected[52..]));
    Ok(())
}

#[test]
fn the_test_client_reads_results_as_the_protocol_has_them() -> Result<()> {
    let golden = golden()?;
    for (name, case) in cases(&golden, "/masks")? {
        if case["delta"] == true {
            continue;
        }
        let mut message = vec![2, case["encoding"].as_u64().unwrap_or_default() as u8, 0, 0];
        message.extend([0; 12]);
        for side in ["width", "height"] {
            message.extend((case[side].as_u64().unwrap_or_default() as u16).to_le_bytes());
        }
        message.extend([0; 44]);
        message.extend(bytes(case)?);
        let decoded = Decoded::read(&message).with_context(|| name.to_owned())?;
        let runs = decoded.labels.chunk_by(|a, b| a == b).map(|run| serde_json::json!([run.len(), run[0]]));
        if let Some(expected) = case["runs"].as_array() {
            assert_eq!(&runs.collect::<Vec<_>>(), expected, "{name}");
        }
    }
    Ok(())
}

#[test]
fn every_text_of_a_client_is_understood() -> Result<()> {
    let golden = golden()?;
    for (name, case) in cases(&golden, "/messages/from_client")? {
        let text = case["text"].as_str().context("a message without its text")?;
        serde_json::from_str::<ClientMessage>(text).with_context(|| format!("{name}: {text}"))?;
    }
    Ok(())
}

#[test]
fn texts_of_the_server_have_the_keys_of_the_protocol() -> Result<()> {
    let golden = golden()?;
    let ours = [
        ServerMessage::Mode { mode: "fast", index: 1, state: "ready", message: String::new() },
        ServerMessage::Dropped { frame_id: 1, reason: "expired", message: String::new() },
        ServerMessage::Clock { sent: 1.into(), received: 2, replied: 3 },
        ServerMessage::Error { code: "bad_message", message: String::new(), recoverable: true },
        ServerMessage::Modes { modes: Vec::new() },
    ];
    for message in ours {
        let ours: Value = serde_json::from_str(&message.to_json())?;
        let theirs = cases(&golden, "/messages/from_server")?
            .into_iter()
            .find_map(|(_, case)| {
                let theirs: Value = serde_json::from_str(case["text"].as_str()?).ok()?;
                (theirs["type"] == ours["type"]).then_some(theirs)
            })
            .with_context(|| format!("no {} in wire.json", ours["type"]))?;
        let keys = |value: &Value| value.as_object().map(|object| object.keys().cloned().collect::<Vec<_>>());
        assert_eq!(keys(&ours), keys(&theirs));
    }
    Ok(())
}

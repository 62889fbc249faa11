//! What a client sends: frames with their header, and texts.

#![no_main]

use libfuzzer_sys::fuzz_target;
use segue::session::{ClientMessage, protocol::FrameMessage};

fuzz_target!(|message: &[u8]| {
    let bytes = bytes::Bytes::copy_from_slice(message);
    if let Ok(frame) = FrameMessage::read(&bytes) {
        // The header is all that stands before the picture.
        assert!(message.ends_with(&frame.payload) && message.len() - frame.payload.len() == 48);
    }
    if let Ok(text) = std::str::from_utf8(message)
        && let Ok(ClientMessage::Paint(paint)) = serde_json::from_str(text)
    {
        paint.times();
    }
});

//! The W3C header `traceparent`: which trace a request is a part of.

use axum::http::{HeaderMap, HeaderValue};

/// Name of the header.
pub(super) const TRACEPARENT: &str = "traceparent";

/// What it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TraceParent {
    /// All zero: the request is a part of no trace.
    pub(super) trace_id: [u8; 16],
    /// The caller's span.
    pub(super) span_id: [u8; 8],
    /// The caller records its part.
    pub(super) is_sampled: bool,
}

impl TraceParent {
    /// What a request says. A header that is not as the specification has it counts as none.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        headers.get(TRACEPARENT).and_then(parse).unwrap_or_default()
    }
}

fn parse(value: &HeaderValue) -> Option<TraceParent> {
    let mut fields = value.to_str().ok()?.split('-');
    let version = byte(fields.next()?)?;
    let (mut trace_id, mut span_id) = ([0; 16], [0; 8]);
    hex::decode_to_slice(fields.next()?, &mut trace_id).ok()?;
    hex::decode_to_slice(fields.next()?, &mut span_id).ok()?;
    let flags = byte(fields.next()?)?;
    // A later version may have more fields, this one has not.
    let is_whole = version != 0 || fields.next().is_none();
    let is_valid = version != 0xFF && is_whole && trace_id != [0; 16] && span_id != [0; 8];
    is_valid.then_some(TraceParent { trace_id, span_id, is_sampled: flags & 1 != 0 })
}

fn byte(field: &str) -> Option<u8> {
    let mut byte = [0];
    hex::decode_to_slice(field, &mut byte).ok()?;
    Some(byte[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str) -> TraceParent {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, value.parse().expect("it is a header's value"));
        TraceParent::of(&headers)
    }

    #[test]
    fn a_trace_parent_is_read_as_the_specification_has_it() {
        let sampled = of("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0c1902d7-01");
        assert_eq!(hex::encode(sampled.trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(hex::encode(sampled.span_id), "00f067aa0c1902d7");
        assert!(sampled.is_sampled);
        assert!(!of("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0c1902d7-00").is_sampled);
        assert!(of("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0c1902d7-01-later").is_sampled);
    }

    #[test]
    fn what_is_no_trace_parent_counts_as_none() {
        for wrong in [
            "",
            "00",
            "00-00000000000000000000000000000000-00f067aa0c1902d7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0c1902d7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0c1902d7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e47zz-00f067aa0c1902d7-01",
        ] {
            assert_eq!(of(wrong), TraceParent::default(), "{wrong}");
        }
    }
}

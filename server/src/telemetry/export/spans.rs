//! From the record of a frame to the spans of its trace: the client's span at the top, or else the server's; below it
//! the browser's stages, the network's, and the server's span with the server's own stages and the backend's call.

use std::{
    borrow::Cow,
    sync::LazyLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use opentelemetry::{
    InstrumentationScope, KeyValue, SpanId, TraceFlags, TraceId,
    trace::{SpanContext, SpanKind, Status, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use crate::telemetry::{FrameRecord, Outcome, Side, Slot, Span};

static SCOPES: LazyLock<[InstrumentationScope; 4]> = LazyLock::new(|| {
    [Side::Browser, Side::Network, Side::Server, Side::Plugin].map(|side| {
        let name = format!("segue.{}", side.name());
        InstrumentationScope::builder(name).with_version(env!("CARGO_PKG_VERSION")).build()
    })
});

fn scope(side: Side) -> InstrumentationScope {
    SCOPES[side as usize].clone()
}

/// Which spans a frame has beside those of its stages and the server's.
struct Groups {
    /// The client's. A session's client leaves it to us to export; of a posted picture it is the caller's own.
    has_frame: bool,
    /// The backend's call.
    has_call: bool,
}

impl Groups {
    fn of(record: &FrameRecord) -> Self {
        Self {
            has_frame: record.session != 0 && record.client.captured_at != 0,
            has_call: record.spans.iter().any(|(stage, _)| stage.side() == Side::Plugin),
        }
    }
}

/// How many spans a frame has.
pub(super) fn count(record: &FrameRecord) -> usize {
    let Groups { has_frame, has_call } = Groups::of(record);
    record.spans.iter().count() + 1 + usize::from(has_frame) + usize::from(has_call)
}

/// Appends the spans of a frame's trace.
pub(super) fn build(record: &FrameRecord, out: &mut Vec<SpanData>) {
    Builder { record }.build(out);
}

struct Builder<'a> {
    record: &'a FrameRecord,
}

impl Builder<'_> {
    fn build(self, out: &mut Vec<SpanData>) {
        let record = self.record;
        let of = |wanted: fn(Side) -> bool| record.spans.iter().filter(move |(stage, _)| wanted(stage.side()));
        let groups = Groups::of(record);
        // 1. The client's span of the frame, under the id that the client gave it.
        let frame = match groups.has_frame && record.parent_id == [0; 8] {
            true => self.id(Slot::Frame),
            false => SpanId::from_bytes(record.parent_id),
        };
        if groups.has_frame {
            let mut span = self.span("frame", Side::Browser, frame, SpanId::INVALID, record.spans.whole());
            span.span_kind = SpanKind::Client;
            self.describe(&mut span);
            out.push(span);
        }
        // 2. The server's span.
        let server = self.id(Slot::Server);
        let whole = cover(of(|side| matches!(side, Side::Server | Side::Plugin)).map(|(_, span)| span));
        let mut span = self.span("segment", Side::Server, server, frame, whole);
        span.span_kind = SpanKind::Server;
        span.parent_span_is_remote = frame != SpanId::INVALID;
        self.describe(&mut span);
        out.push(span);
        // 3. The backend's call.
        let call = self.id(Slot::Call);
        if groups.has_call {
            let mut span = self.span(
                "plugin",
                Side::Plugin,
                call,
                server,
                cover(of(|side| side == Side::Plugin).map(|(_, span)| span)),
            );
            if let Some(served_by) = &record.served_by {
                span.attributes.push(KeyValue::new("segue.backend", served_by.backend.clone()));
                span.attributes.push(KeyValue::new("segue.plugin_build", served_by.build.clone()));
            }
            out.push(span);
        }
        // 4. The stages, each below what it is a part of.
        for (stage, time) in record.spans.iter() {
            let parent = match stage.side() {
                Side::Browser | Side::Network => frame,
                Side::Server => server,
                Side::Plugin => call,
            };
            let id = self.id(Slot::Stage(stage));
            out.push(self.span(stage.name(), stage.side(), id, parent, time));
        }
    }

    fn span(&self, name: &'static str, side: Side, id: SpanId, parent: SpanId, time: Span) -> SpanData {
        let record = self.record;
        let start = self.at(time.start_micros);
        SpanData {
            span_context: SpanContext::new(
                TraceId::from_bytes(record.trace_id),
                id,
                TraceFlags::SAMPLED,
                false,
                TraceState::NONE,
            ),
            parent_span_id: parent,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: Cow::Borrowed(name),
            start_time: start,
            end_time: start + Duration::from_micros(time.duration_micros.into()),
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: scope(side),
        }
    }

    /// All that is known of the frame.
    fn describe(&self, span: &mut SpanData) {
        let record = self.record;
        let number = |name: &'static str, value: u32| KeyValue::new(name, i64::from(value));
        let (outcome, reason) = record.outcome.names();
        let (measures, attributes) = (&record.measures, &mut span.attributes);
        attributes.push(KeyValue::new("segue.session", record.session.cast_signed()));
        attributes.push(number("segue.frame_id", record.frame_id));
        attributes.push(KeyValue::new("segue.mode", record.mode.to_string()));
        attributes.push(number("segue.generation", record.generation));
        attributes.push(KeyValue::new("segue.outcome", outcome));
        if let Some(kept) = record.kept {
            attributes.push(KeyValue::new("segue.kept", kept.name()));
        }
        if let Some(served_by) = &record.served_by {
            attributes.push(KeyValue::new("segue.model", served_by.model.clone()));
            attributes.push(KeyValue::new("segue.backend", served_by.backend.clone()));
            attributes.push(KeyValue::new("segue.plugin_build", served_by.build.clone()));
        }
        attributes.push(number("segue.frame_len_bytes", measures.frame_len_bytes));
        attributes.push(number("segue.result_len_bytes", measures.result_len_bytes));
        attributes.push(number("segue.frame_width_px", measures.frame_size_px.0));
        attributes.push(number("segue.frame_height_px", measures.frame_size_px.1));
        attributes.push(number("segue.mask_width_px", measures.mask_size_px.0));
        attributes.push(number("segue.mask_height_px", measures.mask_size_px.1));
        attributes.push(number("segue.jpeg_quality", measures.jpeg_quality.into()));
        attributes.push(number("segue.in_flight", measures.in_flight));
        attributes.push(number("segue.queue_depth", measures.queue_depth));
        if let Some(error) = record.clock_error_micros {
            attributes.push(number("segue.clock_error_micros", error));
        }
        if let Outcome::Dropped(_) = record.outcome {
            attributes.push(KeyValue::new("segue.reason", reason));
            span.status = Status::error(record.message.to_string());
        }
    }

    fn at(&self, micros: i32) -> SystemTime {
        UNIX_EPOCH + Duration::from_micros(self.record.received_at_micros.saturating_add_signed(micros.into()))
    }

    fn id(&self, slot: Slot) -> SpanId {
        SpanId::from_bytes(self.record.span_id(slot))
    }
}

/// From the first begin to the last end.
fn cover(spans: impl Iterator<Item = Span>) -> Span {
    let (mut start, mut end) = (i32::MAX, i32::MIN);
    for span in spans {
        start = start.min(span.start_micros);
        end = end.max(span.end_micros());
    }
    match start <= end {
        true => Span { start_micros: start, duration_micros: end.abs_diff(start) },
        false => Span::default(),
    }
}

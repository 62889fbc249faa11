//! A span for each request of the control plane. Frames have traces of their own, and whoever only watches has none.

use axum::{
    extract::{MatchedPath, Request},
    middleware::Next,
    response::Response,
};
use opentelemetry::{
    Context, SpanId, TraceFlags, TraceId,
    trace::{SpanContext, TraceContextExt, TraceState},
};
use tracing::{Instrument, Span, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::traceparent::TraceParent;
use crate::telemetry::{CONTROL, with_trace_id};

/// Asked for again and again by pages and programs that watch, or traced as frames.
const UNTRACED: [&str; 2] = ["/v1/traces", "/v1/segment"];

/// Runs the request within its span.
pub(super) async fn trace(request: Request, next: Next) -> Response {
    let Some(span) = span_of(&request) else { return next.run(request).await };
    let response = next.run(request).instrument(span.clone()).await;
    span.record("http.response.status_code", response.status().as_u16());
    if response.status().is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    response
}

fn span_of(request: &Request) -> Option<Span> {
    let route = request.extensions().get::<MatchedPath>()?.as_str();
    if !route.starts_with("/v1/") || UNTRACED.iter().any(|untraced| route.starts_with(untraced)) {
        return None;
    }
    let method = request.method().as_str();
    let span = tracing::info_span!(
        target: CONTROL, "http", otel.name = format!("{method} {route}"), otel.kind = "server", otel.status_code = Empty,
        http.request.method = method, http.route = route, http.response.status_code = Empty, trace_id = Empty
    );
    let parent = TraceParent::of(request.headers());
    if parent != TraceParent::default() {
        let context = SpanContext::new(
            TraceId::from_bytes(parent.trace_id),
            SpanId::from_bytes(parent.span_id),
            TraceFlags::new(parent.is_sampled.into()),
            true,
            TraceState::NONE,
        );
        // Only a span that has begun refuses a parent.
        let _ = span.set_parent(Context::new().with_remote_span_context(context));
    }
    Some(with_trace_id(span))
}

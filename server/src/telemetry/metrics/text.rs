//! The two forms of what Prometheus scrapes.

use std::fmt::Write;

/// How metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsFormat {
    /// OpenMetrics 1.0: with exemplars.
    OpenMetrics,
    /// Prometheus' own text format 0.0.4, which everything reads.
    Plain,
}

impl MetricsFormat {
    /// The one for whoever sends this `Accept`: OpenMetrics if it names that.
    pub fn accepted(accept: &str) -> Self {
        let is_open_metrics = |range: &str| {
            let mut parts = range.split(';').map(str::trim);
            let is_refused = |part: &str| part.strip_prefix("q=").and_then(|q| q.parse().ok()) == Some(0.0_f32);
            parts.next() == Some("application/openmetrics-text") && !parts.any(is_refused)
        };
        if accept.split(',').any(is_open_metrics) { Self::OpenMetrics } else { Self::Plain }
    }

    /// Its media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// `open_metrics` in this form.
    pub(super) fn of(self, open_metrics: String) -> String {
        match self {
            Self::OpenMetrics => open_metrics,
            // Writing to a text can't fail.
            Self::Plain => plain(&open_metrics).unwrap_or_default(),
        }
    }
}

/// What the older format has not is left out: units, exemplars, the mark at the end. There a counter is called as its samples are.
fn plain(open_metrics: &str) -> Result<String, std::fmt::Error> {
    let mut text = String::with_capacity(open_metrics.len());
    let mut help = "";
    for line in open_metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, "untyped"));
            let suffix = if kind == "counter" { "_total" } else { "" };
            let words = help.split_once(' ').map(|(_name, words)| words).unwrap_or_default();
            write!(text, "# HELP {name}{suffix} {words}\n# TYPE {name}{suffix} {kind}\n")?;
        } else if !line.starts_with('#') {
            // No label's value holds this: its quote would be escaped.
            let sample = line.split_once(" # {trace_id=\"").map_or(line, |(sample, _exemplar)| sample);
            writeln!(text, "{sample}")?;
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_is_for_those_who_ask_for_it() {
        let of_prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        let cases = [
            (of_prometheus, MetricsFormat::OpenMetrics),
            ("text/plain, application/openmetrics-text; version=1.0.0", MetricsFormat::OpenMetrics),
            ("application/openmetrics-text;q=0, text/plain", MetricsFormat::Plain),
            ("text/plain", MetricsFormat::Plain),
            ("*/*", MetricsFormat::Plain),
            ("", MetricsFormat::Plain),
        ];
        for (accept, format) in cases {
            assert_eq!(MetricsFormat::accepted(accept), format, "{accept:?}");
        }
    }

    #[test]
    fn the_plain_form_has_neither_units_nor_exemplars() -> std::fmt::Result {
        let open_metrics = "\
# HELP a_seconds How long.
# TYPE a_seconds histogram
# UNIT a_seconds seconds
a_seconds_bucket{le=\"1.0\",x=\"# {\"} 2 # {trace_id=\"07\"} 0.5 12.0
# HELP b Things
# TYPE b counter
b_total 3
# EOF
";
        let expected = "\
# HELP a_seconds How long.
# TYPE a_seconds histogram
a_seconds_bucket{le=\"1.0\",x=\"# {\"} 2
# HELP b_total Things
# TYPE b_total counter
b_total 3
";
        assert_eq!(plain(open_metrics)?, expected);
        Ok(())
    }
}

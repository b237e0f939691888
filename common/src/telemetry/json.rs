//! The JSON form of log entries.
//!
//! An entry is `{"timestamp":"2026-04-04 22:43:09,858","level":"INFO","logger":"app","message":"...", fields}`.
//! The fields of the entry come first, then those of its spans, from the outermost.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::span::Record;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use crate::json::write_plain;

/// The longest value of a field, in bytes. It bounds paths and headers, whose length the client chooses.
pub(super) const MAX_VALUE_LEN: usize = 1024;

/// A formatter that writes an entry as one line of JSON.
#[derive(Debug)]
pub(super) struct JsonFormat;

impl<S, N> FormatEvent<S, N> for JsonFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let now = Timestamp::now().to_zoned(TimeZone::UTC);
        let mut head = Vec::with_capacity(256);
        write_field(&mut head, "timestamp", &format_args!("{}", now.strftime("%Y-%m-%d %H:%M:%S,%3f")));
        write_field(&mut head, "level", level_name(*event.metadata().level()));
        write_field(&mut head, "logger", event.metadata().target());
        write_field(&mut head, "message", &fields.message);
        head[0] = b'{';
        writer.write_str(as_text(&head)?)?;
        writer.write_str(as_text(&fields.others)?)?;
        for span in context.event_scope().into_iter().flat_map(|spans| spans.from_root()) {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
                writer.write_str(fields)?;
            }
        }
        writeln!(writer, "}}")
    }
}

/// A formatter that stores the fields of a span in the form of an entry.
#[derive(Debug)]
pub(super) struct SpanFields;

impl<'writer> FormatFields<'writer> for SpanFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut read = Fields::default();
        fields.record(&mut read);
        writer.write_str(as_text(&read.others)?)
    }

    fn add_fields(&self, current: &'writer mut FormattedFields<Self>, fields: &Record<'_>) -> fmt::Result {
        self.format_fields(current.as_writer(), fields)
    }
}

/// Returns a level name of the original, which operators' tools search for.
fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        Level::DEBUG | Level::TRACE => "DEBUG",
    }
}

/// Writes `,"name":value`.
fn write_field(out: &mut Vec<u8>, name: &str, value: &(impl Serialize + ?Sized)) {
    out.push(b',');
    write_plain(name, out);
    out.push(b':');
    write_plain(value, out);
}

fn as_text(json: &[u8]) -> Result<&str, fmt::Error> {
    std::str::from_utf8(json).map_err(|_| fmt::Error)
}

/// A visitor that collects the message and the other fields of an entry.
#[derive(Default)]
struct Fields {
    message: String,
    /// JSON of the form `,"name":value` for each field.
    others: Vec<u8>,
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        write_field(&mut self.others, field.name(), &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        write_field(&mut self.others, field.name(), &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        write_field(&mut self.others, field.name(), &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        write_field(&mut self.others, field.name(), &value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let value = &value[..value.floor_char_boundary(MAX_VALUE_LEN)];
        if field.name() == "message" {
            self.message.push_str(value);
        } else {
            write_field(&mut self.others, field.name(), value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::prelude::*;

    use super::*;

    #[derive(Clone, Default)]
    pub(in super::super) struct Buffer(pub(in super::super) Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn entry_with_any_content_is_one_line_of_json() {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let layer = tracing_subscriber::fmt::layer().event_format(JsonFormat).fmt_fields(SpanFields);
        let layer = layer.with_writer(move || -> Buffer { writer.clone() });
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::warn!(target: "app", path = "/\"a\nb", status = 404, duration_ms = 4.07, "request finished");
            tracing::info!(long = "é".repeat(1000), "x");
            let token = tracing::field::Empty;
            let outer = tracing::error_span!("request", request_id = "a\"b", trace_id = "1", token);
            outer.record("token", "ops");
            let inner = outer.in_scope(|| tracing::error_span!("part", number = 7));
            inner.in_scope(|| tracing::info!(own = true, "y"));
            tracing::info!("z");
        });
        let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
        let entries: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(entries.len(), 4);
        assert_eq!(entries[0]["level"], "WARNING");
        assert_eq!(entries[0]["logger"], "app");
        assert_eq!(entries[0]["message"], "request finished");
        assert_eq!(entries[0]["path"], "/\"a\nb");
        assert_eq!(entries[0]["status"], 404);
        assert_eq!(entries[0]["duration_ms"], 4.07);
        assert_eq!(entries[0]["timestamp"].as_str().unwrap().len(), "2026-04-04 22:43:09,858".len());
        assert_eq!(entries[1]["long"].as_str().unwrap().len(), 1024);
        assert_eq!(
            text.lines().nth(2).unwrap().split_once(r#""message":"#).unwrap().1,
            r#""y","own":true,"request_id":"a\"b","trace_id":"1","token":"ops","number":7}"#
        );
        assert!(text.ends_with("\"message\":\"z\"}\n"), "{text}");
    }
}

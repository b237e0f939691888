//! The text form of log entries, for terminals. Each entry is one line, but the entries of a request share one line.

use std::fmt;

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tracing::field::{Field, Visit};
use tracing::span::Record;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use super::json::MAX_VALUE_LEN;
use crate::console::CONSOLE_TARGET;

/// The separator before each stored field of a span. Values are escaped, so no value contains the separator.
const FIELD_SEPARATOR: char = '\u{1f}';

/// Fields that correlate log entries with each other and with other systems. The text form prints them only for errors.
const CORRELATION_FIELDS: [&str; 3] = ["request_id", "trace_id", "span_id"];

/// A formatter that writes an entry as one line of text: time in UTC, level, request or message, and fields.
#[derive(Debug)]
pub(super) struct TextFormat {
    pub(super) has_colours: bool,
}

impl TextFormat {
    /// Returns `text` in the style `style` if colours are enabled, else `text` alone.
    fn styled(&self, style: Style, text: impl fmt::Display) -> String {
        if self.has_colours { format!("{style}{text}{style:#}") } else { text.to_string() }
    }

    fn level(&self, level: Level) -> String {
        let (name, colour) = match level {
            Level::ERROR => ("ERROR", AnsiColor::Red),
            Level::WARN => ("WARNING", AnsiColor::Yellow),
            Level::INFO => ("INFO", AnsiColor::Green),
            Level::DEBUG => ("DEBUG", AnsiColor::Blue),
            Level::TRACE => ("TRACE", AnsiColor::Blue),
        };
        self.styled(colour.on_default(), format_args!("{name:<7}"))
    }

    /// Returns a summary such as `404 GET /urls/7 1.2 ms`; `None` unless the fields describe an answered request.
    fn request(&self, fields: &Fields) -> Option<String> {
        let [method, path, status] = ["method", "path", "status"].map(|name| fields.get(name));
        let (method, path, status) = (method?, path?, status?);
        let colour = match status.as_bytes() {
            [b'2', ..] => AnsiColor::Green,
            [b'3', ..] => AnsiColor::Cyan,
            [b'4', ..] => AnsiColor::Yellow,
            _ => AnsiColor::Red,
        };
        let time = fields.get("duration_ms").and_then(|ms| ms.parse::<f64>().ok());
        let time = time.map(|ms| self.styled(Style::new().dimmed(), format_args!(" {ms:.1} ms")));
        Some(format!("{} {method} {path}{}", self.styled(colour.on_default(), status), time.unwrap_or_default()))
    }
}

impl<S, N> FormatEvent<S, N> for TextFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        if event.metadata().target() == CONSOLE_TARGET {
            return Ok(());
        }
        let is_of_request = event.metadata().target() == "app";
        let is_failure = fields.get("status").is_some_and(|status| status.starts_with('5'));
        let request = match fields.message.as_str() {
            "request started" if is_of_request => return Ok(()),
            // A request that failed has an entry "request failed" with the cause, so "request finished" is not printed.
            "request finished" if is_of_request && is_failure => return Ok(()),
            "request finished" | "request failed" if is_of_request => self.request(&fields),
            _ => None,
        };
        let summarised: &[&str] = if request.is_some() { &["method", "path", "status", "duration_ms"] } else { &[] };
        let text = request.unwrap_or_else(|| std::mem::take(&mut fields.message));
        let now = Timestamp::now().to_zoned(TimeZone::UTC).strftime("%H:%M:%SZ").to_string();
        let now = self.styled(Style::new().dimmed(), now);
        let level = *event.metadata().level();
        write!(writer, "{now} {} {text}", self.level(level))?;
        let own = fields.others.iter().map(|(name, value)| (*name, value.as_str()));
        let own = own.filter(|(name, _)| !summarised.contains(name));
        let spans = context.event_scope().into_iter().flat_map(|spans| spans.from_root());
        let stored: Vec<String> = spans
            .filter_map(|span| span.extensions().get::<FormattedFields<N>>().map(|fields| fields.fields.clone()))
            .collect();
        let of_spans = stored.iter().flat_map(|fields| fields.split(FIELD_SEPARATOR)).filter_map(|f| f.split_once('='));
        // Correlation fields are printed only for errors, since an operator looks up only errors in the log file.
        let of_spans = of_spans.filter(|(name, _)| level == Level::ERROR || !CORRELATION_FIELDS.contains(name));
        for (name, value) in own.chain(of_spans) {
            let name = self.styled(Style::new().dimmed(), format_args!("{name}="));
            if value.is_empty() || value.contains([' ', '"', '=']) {
                write!(writer, " {name}\"{}\"", value.replace('"', "\\\""))?;
            } else {
                write!(writer, " {name}{value}")?;
            }
        }
        writeln!(writer)
    }
}

/// A formatter that stores the fields of a span for [`TextFormat`].
#[derive(Debug)]
pub(super) struct TextFields;

impl<'writer> FormatFields<'writer> for TextFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut read = Fields::default();
        fields.record(&mut read);
        read.others.iter().try_for_each(|(name, value)| write!(writer, "{FIELD_SEPARATOR}{name}={value}"))
    }

    fn add_fields(&self, current: &'writer mut FormattedFields<Self>, fields: &Record<'_>) -> fmt::Result {
        self.format_fields(current.as_writer(), fields)
    }
}

/// A visitor that collects the fields of an entry, escaped for a terminal.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, String)>,
}

impl Fields {
    fn get(&self, name: &str) -> Option<&str> {
        self.others.iter().find(|(other, _)| *other == name).map(|(_, value)| value.as_str())
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        let value = escaped(&value[..value.floor_char_boundary(MAX_VALUE_LEN)]);
        if field.name() == "message" { self.message.push_str(&value) } else { self.others.push((field.name(), value)) }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// Replaces control characters by escapes. A client's text must not move the cursor, colour the terminal or add a line.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        // A direction mark reorders the text on the screen, so a line could look like another one.
        let is_direction = matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        );
        if c.is_control() || is_direction || matches!(c, '\u{2028}' | '\u{2029}') {
            escaped.extend(c.escape_default());
        } else {
            escaped.push(c);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::prelude::*;

    use super::super::json::tests::Buffer;
    use super::*;

    /// Runs `entries`, and returns the lines that it logs without their times.
    fn logged(has_colours: bool, entries: impl FnOnce()) -> Vec<String> {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let layer = tracing_subscriber::fmt::layer().event_format(TextFormat { has_colours }).fmt_fields(TextFields);
        let layer = layer.with_writer(move || -> Buffer { writer.clone() });
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), entries);
        let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
    }

    #[test]
    fn answered_request_is_one_line() {
        let lines = logged(false, || {
            let token = tracing::field::Empty;
            let span = tracing::error_span!("request", request_id = "abc", trace_id = "1", span_id = "2", token);
            span.record("token", "ops");
            let _entered = span.enter();
            tracing::info!(target: "app", method = "GET", path = "/urls/7", "request started");
            tracing::info!(target: "app", method = "GET", path = "/urls/7", status = 200, duration_ms = 1.25, "request finished");
            tracing::warn!(target: "app", method = "GET", path = "/x y", status = 404, duration_ms = 0.5, "request finished");
            tracing::error!(target: "app", method = "PUT", path = "/urls/7", status = 503, cause = "no disk", "request failed");
            tracing::warn!(target: "app", method = "PUT", path = "/urls/7", status = 503, duration_ms = 9.0, "request finished");
            tracing::info!(target: CONSOLE_TARGET, "a message of the console");
        });
        assert_eq!(
            lines,
            [
                "INFO    200 GET /urls/7 1.2 ms token=ops",
                "WARNING 404 GET /x y 0.5 ms token=ops",
                "ERROR   503 PUT /urls/7 cause=\"no disk\" request_id=abc trace_id=1 span_id=2 token=ops",
            ]
        );
    }

    #[test]
    fn entry_with_control_characters_is_one_printable_line() {
        let lines = logged(false, || {
            let error = "a\x1b[2Jb\r\nc\u{9b}31m\u{202e}é";
            tracing::error!(%error, quoted = "say \"it\"", empty = "", number = 3, "it\x1b[31m failed\nbadly");
            tracing::info!(target: "app", method = "GET", path = "/\x1b]0;x\x07", status = 404, "request finished");
        });
        assert_eq!(
            lines,
            [
                r#"ERROR   it\u{1b}[31m failed\nbadly error=a\u{1b}[2Jb\r\nc\u{9b}31m\u{202e}é quoted="say \"it\"" empty="" number=3"#,
                r"INFO    404 GET /\u{1b}]0;x\u{7}",
            ]
        );
    }

    #[test]
    fn direction_mark_or_line_separator_is_escaped() {
        // Every Unicode character with the property Bidi_Control, and those of the categories Zl and Zp.
        let escapes = ['\u{61c}', '\u{200e}', '\u{200f}']
            .into_iter()
            .chain('\u{2028}'..='\u{202e}')
            .chain('\u{2066}'..='\u{2069}');
        for c in escapes {
            assert_eq!(escaped(&format!("a{c}b")), format!("a\\u{{{:x}}}b", u32::from(c)));
        }
        let others = "\u{61b}\u{61d}\u{200d}\u{2010}\u{2027}\u{202f}\u{2065}\u{206a}é漢";
        assert_eq!(escaped(others), others);
    }

    #[test]
    fn colours_appear_only_if_enabled() {
        let log = || tracing::warn!(target: "app", method = "GET", path = "/x", status = 404, "request finished");
        assert_eq!(logged(true, log), ["\x1b[33mWARNING\x1b[0m \x1b[33m404\x1b[0m GET /x"]);
        assert_eq!(logged(false, log), ["WARNING 404 GET /x"]);
    }
}

//! The end of the log, for operators without a shell.

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use tern_common::json::{JsonText, Kind, MAX_DEPTH, ObjectWriter, WriteJson, write_array};
use tern_common::telemetry;
use tokio::task::spawn_blocking;
use utoipa::{IntoParams, ToSchema};

use crate::http::answer::JsonBody;
use crate::http::error::{Result, internal};
use crate::http::query::Query;
use crate::state::AppState;

const DEFAULT_LINES: usize = 100;
const MAX_LINES: usize = 1000;

/// An entry of the log
///
/// An entry may have further fields, according to its message.
#[derive(ToSchema)]
#[expect(dead_code, reason = "entries are sent as they stand in the file; this type describes their form")]
pub(crate) struct LogEntry {
    /// The time in UTC.
    #[schema(example = "2026-04-04 22:43:09,858")]
    timestamp: Option<String>,
    /// `DEBUG`, `INFO`, `WARNING` or `ERROR`.
    #[schema(example = "INFO")]
    level: Option<String>,
    #[schema(example = "app")]
    logger: Option<String>,
    /// The message, or the whole line if it is no entry.
    #[schema(example = "request finished")]
    message: String,
    /// The id of the request that was being answered.
    #[schema(example = "4bf92f3577b34da6a3ce929d0e0e4736")]
    request_id: Option<String>,
    /// The trace of the request.
    #[schema(example = "4bf92f3577b34da6a3ce929d0e0e4736")]
    trace_id: Option<String>,
    /// The id of the request within its trace.
    #[schema(example = "00f067aa0ba902b7")]
    span_id: Option<String>,
}

/// The part of the log to show
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct LogParameters {
    /// The most entries of the answer; 100 if the value is no number
    #[param(value_type = Option<u64>, minimum = 0, maximum = 1000, example = 100)]
    lines: Option<String>,
}

/// The end of the log, oldest entry first
///
/// `[]` if there is no log file that can be read, such as with a pipe.
#[utoipa::path(
    get,
    path = "/logs",
    tag = "operations",
    params(LogParameters),
    responses((status = 200, body = [LogEntry], description = "The entries"))
)]
pub(crate) async fn list_logs(
    State(state): State<Arc<AppState>>,
    Query(LogParameters { lines }): Query<LogParameters>,
) -> Result<JsonBody<Entries>> {
    let count = lines.as_deref().map_or(DEFAULT_LINES, parse_line_count);
    let lines = spawn_blocking(move || {
        let Some(file) = &state.log_file else { return Vec::new() };
        telemetry::tail(file, count).unwrap_or_else(|error| {
            let file = file.display();
            tracing::warn!(%file, %error, "reading the log file failed; GET /logs shows no entries; check LOG_FILE");
            Vec::new()
        })
    });
    Ok(JsonBody(Entries(lines.await.map_err(internal)?.into_iter().map(Line).collect())))
}

/// Returns the number of lines for any text, so that an operator gets an answer to a mistyped number, too.
fn parse_line_count(text: &str) -> usize {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return DEFAULT_LINES;
    }
    text.parse().unwrap_or(usize::MAX).min(MAX_LINES)
}

#[derive(Debug)]
pub(crate) struct Entries(Vec<Line>);

/// A line of the log. It is sent unchanged if it is a JSON object, and as a message otherwise.
#[derive(Debug)]
struct Line(String);

impl WriteJson for Entries {
    fn write_json(&self, out: &mut Vec<u8>) {
        write_array(&self.0, out);
    }
}

impl WriteJson for Line {
    fn write_json(&self, out: &mut Vec<u8>) {
        match JsonText::parse(self.0.as_bytes(), MAX_DEPTH - 1) {
            Ok(entry) if entry.kind() == Kind::Object => out.extend_from_slice(entry.as_str().as_bytes()),
            _ => ObjectWriter::begin(out).field("message", &self.0).end(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_count_that_is_no_number_is_a_hundred() {
        let check = |text: &str, expected: usize| assert_eq!(parse_line_count(text), expected, "{text:?}");
        check("5", 5);
        check("0", 0);
        check("1000", 1000);
        check("1001", 1000);
        check("99999999999999999999999", 1000);
        for text in ["", "abc", "-5", "1.5", "+5", " 5"] {
            check(text, 100);
        }
    }

    #[test]
    fn line_that_is_no_object_becomes_a_message() {
        let check = |line: &str, expected: &str| {
            let mut out = Vec::new();
            Line(line.to_owned()).write_json(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        check(r#"{"timestamp":"x","level":"INFO"}"#, r#"{"timestamp":"x","level":"INFO"}"#);
        check("plain \"text\"", r#"{"message":"plain \"text\""}"#);
        check("[1]", r#"{"message":"[1]"}"#);
        check("5", r#"{"message":"5"}"#);
        check("{", r#"{"message":"{"}"#);
    }
}

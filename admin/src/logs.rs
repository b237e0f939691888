//! The end of the log, for people without a shell.

use axum::Json;
use axum::extract::State;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tern_common::telemetry;
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

use crate::error::{Result, internal};
use crate::query::Parameters;
use crate::state::AppState;

const DEFAULT_LINES: usize = 100;
const MAX_LINES: usize = 1000;

/// An entry of the log
///
/// Entries have more fields than these, by what they tell of.
#[derive(ToSchema)]
#[expect(dead_code, reason = "entries are given as they stand in the file; this is their form")]
pub(crate) struct LogEntry {
    /// In UTC.
    #[schema(example = "2026-04-04 22:43:09,858")]
    timestamp: Option<String>,
    /// `DEBUG`, `INFO`, `WARNING` or `ERROR`.
    #[schema(example = "INFO")]
    level: Option<String>,
    #[schema(example = "app")]
    logger: Option<String>,
    /// All that there is of a line that is no entry.
    #[schema(example = "request finished")]
    message: String,
    /// Of the request that was being answered.
    #[schema(example = "4bf92f3577b34da6a3ce929d0e0e4736")]
    request_id: Option<String>,
    /// The trace that the request is a part of.
    #[schema(example = "4bf92f3577b34da6a3ce929d0e0e4736")]
    trace_id: Option<String>,
    /// Of the request within its trace.
    #[schema(example = "00f067aa0ba902b7")]
    span_id: Option<String>,
}

/// The end of the log, oldest entry first
///
/// `[]` where there is no log file.
#[utoipa::path(
    get,
    path = "/logs",
    tag = "operations",
    params((
        "lines" = Option<u64>,
        Query,
        description = "How many entries at most; 100 if it is no number",
        minimum = 0,
        maximum = 1000,
        example = 100
    )),
    responses((status = 200, body = [LogEntry], description = "The entries"))
)]
pub(crate) async fn list_logs(
    State(state): State<AppState>,
    parameters: Parameters,
) -> Result<Json<Vec<Box<RawValue>>>> {
    let count = parameters.text("lines").map_or(DEFAULT_LINES, wanted_lines);
    let lines = spawn_blocking(move || telemetry::tail(&state.log_file, count)).await.map_err(internal)?;
    let entries = lines.map_err(internal)?.into_iter().map(entry);
    Ok(Json(entries.collect::<Result<_, _>>().map_err(internal)?))
}

/// Somebody who looks at the log has trouble enough: whatever is asked for is answered.
fn wanted_lines(text: &str) -> usize {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return DEFAULT_LINES;
    }
    text.parse().unwrap_or(usize::MAX).min(MAX_LINES)
}

/// An object as it stands, its fields in the order in which they were written.
fn entry(line: String) -> serde_json::Result<Box<RawValue>> {
    if serde_json::from_str::<Map<String, Value>>(&line).is_ok() {
        RawValue::from_string(line)
    } else {
        serde_json::value::to_raw_value(&json!({ "message": line }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_cannot_be_counted_are_a_hundred() {
        let check = |text: &str, expected: usize| assert_eq!(wanted_lines(text), expected, "{text:?}");
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
    fn what_is_no_object_becomes_a_message() {
        let check = |line: &str, expected: &str| assert_eq!(entry(line.to_owned()).unwrap().get(), expected);
        check(r#"{"timestamp":"x","level":"INFO"}"#, r#"{"timestamp":"x","level":"INFO"}"#);
        check("plain \"text\"", r#"{"message":"plain \"text\""}"#);
        check("[1]", r#"{"message":"[1]"}"#);
        check("5", r#"{"message":"5"}"#);
        check("{", r#"{"message":"{"}"#);
    }
}

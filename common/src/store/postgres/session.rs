//! Settings of each session, whatever the database, the role or a pooler has.
//!
//! They are set by a statement and not by startup options, which poolers drop or refuse.

use std::time::Duration;

/// Settings that change an answer, or refuse work that would succeed, if an administrator chose others for the database
/// or the role.
///
/// `default_transaction_read_only` is not among them: it says that the database must not change.
const SETTINGS: [(&str, &str); 13] = [
    // Each change is one statement, or takes its locks in a fixed order. A stricter level would only refuse some.
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_deferrable", "off"),
    // A statement that waits for a lock is bounded by its own time.
    ("lock_timeout", "0"),
    // A process that stopped in the middle of a transaction must not hold its locks for ever.
    ("idle_in_transaction_session_timeout", "60s"),
    ("idle_session_timeout", "0"),
    ("transaction_timeout", "0"),
    // Compiling a statement costs more than any of ours takes.
    ("jit", "off"),
    ("TimeZone", "UTC"),
    ("DateStyle", "ISO"),
    ("IntervalStyle", "postgres"),
    ("bytea_output", "hex"),
    ("standard_conforming_strings", "on"),
    ("array_nulls", "on"),
];

/// Returns the statement that begins a session. Settings that the server does not know are left out.
pub(super) fn begin(statement_timeout: Duration) -> String {
    let timeout = statement_timeout.as_millis();
    let values: String = SETTINGS.iter().map(|(name, value)| format!(", ('{name}', '{value}')")).collect();
    format!(
        "SELECT set_config(name, value, false) FROM (VALUES ('statement_timeout', '{timeout}'){values}) AS wanted (name, value)
         WHERE current_setting(name, true) IS NOT NULL"
    )
}

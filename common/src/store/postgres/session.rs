//! Settings of each session, which override those of the database, the role or a pooler.
//!
//! A statement sets them instead of startup options, which poolers drop or refuse.

use std::time::Duration;

/// Settings that would change a result or make work fail if an administrator chose other values.
///
/// `default_transaction_read_only` is not overridden: an administrator sets it so that the database does not change.
const SETTINGS: [(&str, &str); 13] = [
    // Each change is one statement, or takes its locks in a fixed order. A stricter level would only refuse changes.
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_deferrable", "off"),
    // The statement timeout limits the wait for a lock.
    ("lock_timeout", "0"),
    // The server releases the locks of a process that stopped within a transaction.
    ("idle_in_transaction_session_timeout", "60s"),
    ("idle_session_timeout", "0"),
    ("transaction_timeout", "0"),
    // Compiling a statement takes longer than running any of Tern's.
    ("jit", "off"),
    ("TimeZone", "UTC"),
    ("DateStyle", "ISO"),
    ("IntervalStyle", "postgres"),
    ("bytea_output", "hex"),
    ("standard_conforming_strings", "on"),
    ("array_nulls", "on"),
];

/// Returns the statement that begins a session. It skips settings that the server does not know.
pub(super) fn begin(statement_timeout: Duration) -> String {
    let timeout = statement_timeout.as_millis();
    let values: String = SETTINGS.iter().map(|(name, value)| format!(", ('{name}', '{value}')")).collect();
    format!(
        "SELECT set_config(name, value, false) FROM (VALUES ('statement_timeout', '{timeout}'){values}) AS wanted (name, value)
         WHERE current_setting(name, true) IS NOT NULL"
    )
}

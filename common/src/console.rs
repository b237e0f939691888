//! Lines on standard error for the person who started the process. Standard output belongs to the log.

use std::io::{self, IsTerminal, Write};

/// The target of log entries that repeat a line of the console: they go to the log file, and not to a terminal.
pub const CONSOLE_TARGET: &str = "tern::said";

/// Writes one line that begins with the name of the process.
pub fn say(name: &str, line: &str) {
    // In one write: where both go to one stream, as under systemd, a line of the log would come in between.
    let line = format!("{name}: {line}\n");
    // The other end of a pipe may be closed. That is no reason to stop, least of all during a drain.
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Writes where a process is reached, once it serves: a line for each address, `tern: API  http://...`.
///
/// On a terminal they are a block of their own below the log. Below them stands each warning for the operator.
pub fn announce<'a>(name: &str, addresses: &[(&str, String)], warnings: impl IntoIterator<Item = &'a str>) {
    let (prefix, frame) = if io::stderr().is_terminal() { (" ".to_owned(), "\n") } else { (format!("{name}:"), "") };
    let lines = addresses.iter().map(|(label, address)| format!("{prefix} {label:<12} {address}\n"));
    let text = format!("{frame}{}{frame}", lines.collect::<String>());
    // The reader may be gone, as in `say`.
    let _ = io::stderr().write_all(text.as_bytes());
    warnings.into_iter().for_each(|warning| say(name, warning));
}

/// Moves to a new line behind the `^C` that a terminal shows.
pub(crate) fn end_interrupted_line() {
    if io::stderr().is_terminal() {
        let _ = io::stderr().write_all(b"\n");
    }
}

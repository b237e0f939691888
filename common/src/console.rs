//! Messages on standard error for the operator. Standard output is reserved for the log.

use std::io::{self, IsTerminal, Write};

/// The target of log entries that repeat a message of the console. The log on a terminal omits them.
pub const CONSOLE_TARGET: &str = "tern::console";

/// Writes a line to standard error, with the name of the process before it.
pub fn write_line(name: &str, line: &str) {
    // One write keeps the line whole where the log shares the stream, as under systemd.
    let line = format!("{name}: {line}\n");
    // The reader of a pipe may have closed it. The process continues, in particular during a drain.
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Writes the addresses of a process that serves, a line for each, such as `tern: API  http://...`; then the warnings.
///
/// On a terminal, blank lines separate the addresses from the log.
pub fn announce<'a>(name: &str, addresses: &[(&str, String)], warnings: impl IntoIterator<Item = &'a str>) {
    let (prefix, frame) = if io::stderr().is_terminal() { (" ".to_owned(), "\n") } else { (format!("{name}:"), "") };
    let lines = addresses.iter().map(|(label, address)| format!("{prefix} {label:<12} {address}\n"));
    let text = format!("{frame}{}{frame}", lines.collect::<String>());
    let _ = io::stderr().write_all(text.as_bytes());
    warnings.into_iter().for_each(|warning| write_line(name, warning));
}

/// Begins a new line after the `^C` that a terminal shows.
pub(crate) fn end_interrupted_line() {
    if io::stderr().is_terminal() {
        let _ = io::stderr().write_all(b"\n");
    }
}

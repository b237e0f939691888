//! Standard output, on a terminal and elsewhere; cells of tables; questions.

use std::borrow::Cow;
use std::io::{self, BufRead as _, BufWriter, IsTerminal as _, Stdout, Write};

use console::{Alignment, Term, pad_str};

use crate::failure::Failure;

/// The width of a terminal that reports none.
const USUAL_WIDTH: usize = 80;

#[derive(Debug)]
pub(crate) struct Output {
    out: BufWriter<Stdout>,
    /// The columns of the terminal; `None` where standard output is not a terminal.
    pub(crate) width: Option<usize>,
    pub(crate) is_json: bool,
}

impl Output {
    pub(crate) fn new(is_json: bool) -> Output {
        let width = io::stdout().is_terminal().then(|| {
            let size = Term::stdout().size_checked();
            size.map(|(_, columns)| usize::from(columns)).filter(|columns| *columns > 0).unwrap_or(USUAL_WIDTH)
        });
        Output { out: BufWriter::new(io::stdout()), width, is_json }
    }

    pub(crate) fn line(&mut self, line: &str) -> Result<(), Failure> {
        Ok(writeln!(self.out, "{line}")?)
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        Ok(self.out.write_all(bytes)?)
    }

    /// Writes what is left. Without this call, an error of the last write would be lost.
    pub(crate) fn finish(&mut self) -> Result<(), Failure> {
        Ok(self.out.flush()?)
    }
}

/// Writes a warning to standard error.
pub(crate) fn warn(message: &str) {
    // A closed standard error must not end the command.
    let _ = writeln!(io::stderr(), "tern: {message}");
}

/// Asks a question on the terminal; returns whether the answer is yes. Asks nothing where no terminal is.
pub(crate) fn confirm(question: &str) -> io::Result<bool> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(true);
    }
    write!(io::stderr(), "{question} [y/N] ")?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Returns a text of exactly `width` columns, with an ellipsis in place of what does not fit.
pub(crate) fn cell(text: &str, width: usize) -> String {
    pad_str(&printable(text), width, Alignment::Left, Some("…")).into_owned()
}

/// Returns a number of at least `width` columns, at the right.
pub(crate) fn number(number: u64, width: usize) -> String {
    format!("{:>width$}", grouped(number))
}

/// Cuts a text to `width` columns.
pub(crate) fn cut(text: &str, width: usize) -> String {
    console::truncate_str(&printable(text), width, "…").into_owned()
}

/// Replaces control characters, which a terminal would obey.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().any(char::is_control) {
        text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect::<String>().into()
    } else {
        text.into()
    }
}

/// Writes a number with a comma between groups of three digits.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let groups = digits.as_bytes()[first..].chunks(3).map(|group| String::from_utf8_lossy(group).into_owned());
    let groups: Vec<String> = (first > 0).then(|| digits[..first].to_owned()).into_iter().chain(groups).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cell_has_its_width_and_no_control_character() {
        let check = |text: &str, expected: &str| assert_eq!(cell(text, 5), expected, "{text:?}");
        check("abc", "abc  ");
        check("abcdef", "abcd…");
        check("\x1b[2J", "\u{fffd}[2J ");
        check("日本語", "日本…");
        check("", "     ");
    }

    #[test]
    fn number_is_grouped() {
        let check = |number: u64, expected: &str| assert_eq!(grouped(number), expected);
        check(0, "0");
        check(999, "999");
        check(1000, "1,000");
        check(1_234_567, "1,234,567");
    }
}

//! The shapes of known files: the names of their columns, and what each means.
//!
//! Names are compared without case, spaces, `_` and `-`, so one shape reads the CSV, the JSON and the table of a service.
//! A name with a dot is a key of a nested object.

mod services;
mod spreadsheet;

use crate::field::Field;
use crate::source::Source;

pub(crate) use services::SHAPES;
pub(crate) use spreadsheet::SPREADSHEET;

/// The columns of one kind of file.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) source: Source,
    /// The kind of file for a sentence, such as "an export of Kutt".
    pub(crate) name: &'static str,
    /// The columns by which the file is recognised; all must be there.
    pub(crate) marks: &'static [&'static str],
    pub(crate) fields: &'static [(&'static str, Field)],
    /// Columns that repeat others, or that mean nothing outside of the service.
    pub(crate) redundant: &'static [&'static str],
}

/// The most columns of a message.
const MAX_LISTED: usize = 20;

/// The header of a file of YOURLS that has none.
pub(crate) const HEADERLESS: [&str; 3] = ["url", "keyword", "title"];

/// Returns the name of a column in the form of shapes.
pub(crate) fn normalise(name: &str) -> String {
    let is_kept = |c: &char| !matches!(c, ' ' | '_' | '-' | '\u{feff}' | '\u{a0}' | '\t');
    name.chars().filter(is_kept).flat_map(char::to_lowercase).collect()
}

impl Shape {
    /// Returns the field of a column by its normalised name.
    pub(crate) fn field(&self, normal: &str) -> Option<Field> {
        self.fields.iter().find(|(known, _)| *known == normal).map(|&(_, field)| field)
    }

    /// Returns whether keys of a nested object under a normalised name have a meaning.
    pub(crate) fn is_nested(&self, normal: &str) -> bool {
        let begins = |known: &str| known.strip_prefix(normal).is_some_and(|rest| rest.starts_with('.'));
        self.fields.iter().any(|(known, _)| begins(known)) || self.redundant.iter().any(|known| begins(known))
    }

    /// Returns whether all marks are among normalised names.
    pub(crate) fn fits(&self, normal: &[String]) -> bool {
        self.marks.iter().all(|mark| normal.iter().any(|name| name == mark))
    }

    /// Returns the number of names that are fields.
    pub(crate) fn known(&self, normal: &[String]) -> usize {
        normal.iter().filter(|name| self.fields.iter().any(|(known, _)| known == name)).count()
    }

    pub(crate) fn has(&self, field: Field, names: &[String]) -> bool {
        names.iter().any(|name| self.field(&normalise(name)) == Some(field))
    }
}

/// Lists names for a message.
pub(crate) fn list(names: &[String]) -> String {
    let named: Vec<String> = names.iter().filter(|name| !name.is_empty()).map(|name| shorten(name)).collect();
    let more = if named.len() > MAX_LISTED { ", ..." } else { "" };
    format!("{}{more}", named[..named.len().min(MAX_LISTED)].join(", "))
}

/// Cuts a text of a file for a message, and escapes its control characters.
pub(crate) fn shorten(text: &str) -> String {
    let short: String = text.chars().take(60).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(60).is_some() { format!("{short}...") } else { short }
}

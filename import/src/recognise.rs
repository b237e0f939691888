//! The recognition of a file by the names of its columns.

use std::fmt;

use crate::error::FileError;
use crate::field::Field;
use crate::options::ColumnMap;
use crate::shapes::{SHAPES, SPREADSHEET, Shape, list, normalise};
use crate::source::Source;

/// The kind of file that was recognised, for a message before anything is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recognised {
    pub source: Source,
    /// The kind of file for a sentence, such as "a CSV export of Bitly".
    pub kind: &'static str,
    /// The columns that have a meaning, as the file names them.
    pub columns: Vec<String>,
}

impl fmt::Display for Recognised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, by {}", self.kind, list(&self.columns))
    }
}

impl Recognised {
    pub(crate) fn new(shape: &Shape, names: &[String]) -> Recognised {
        let known = names.iter().filter(|name| shape.field(&normalise(name)).is_some());
        Recognised { source: shape.source, kind: shape.name, columns: known.cloned().collect() }
    }
}

/// Finds the shape of a file by the names of its columns.
///
/// With `from`, the best shape of this source is taken. A spreadsheet is recognised only if `may_be_spreadsheet`.
///
/// # Errors
/// When no shape has its columns. The message lists those of the file, and the next step.
pub(crate) fn find(
    names: &[String],
    from: Option<Source>,
    columns: &ColumnMap,
    may_be_spreadsheet: bool,
) -> Result<&'static Shape, FileError> {
    if from == Some(Source::Csv) || from.is_none() && !columns.is_empty() {
        return Ok(&SPREADSHEET);
    }
    let normal: Vec<String> = names.iter().map(|name| normalise(name)).collect();
    let shapes = || SHAPES.iter().filter(|shape| from.is_none_or(|from| shape.source == from));
    // Of several shapes that fit, the first with the most marks is taken.
    let fitting = shapes().filter(|shape| shape.fits(&normal)).first_max_by_key(|shape| shape.marks.len());
    if let Some(shape) = fitting {
        return Ok(shape);
    }
    match from {
        Some(from) => {
            let close = shapes().filter(|shape| shape.has(Field::Target, names));
            close.first_max_by_key(|shape| shape.known(&normal)).ok_or_else(|| {
                let needs: Vec<String> = shapes().map(|shape| shape.marks.join(", ")).collect();
                let needs = needs.join(", or ");
                FileError::of_file(format!("has {}, and a file of {} has {needs}", seen(names), from.name()))
            })
        }
        None if may_be_spreadsheet && SPREADSHEET.has(Field::Target, names) && SPREADSHEET.known(&normal) > 1 => {
            Ok(&SPREADSHEET)
        }
        None => Err(FileError::of_file(format!(
            "is of no known service: it has {}. Name the service, or map the columns, such as code=Slug,target=URL",
            seen(names)
        ))),
    }
}

/// Returns the first shape of a source, for a file without rows.
pub(crate) fn first(from: Option<Source>) -> &'static Shape {
    SHAPES.iter().find(|shape| from.is_none_or(|from| shape.source == from)).unwrap_or(&SPREADSHEET)
}

fn seen(names: &[String]) -> String {
    if names.is_empty() { "no columns".to_owned() } else { format!("the columns {}", list(names)) }
}

/// The choice of the first of several largest items.
trait FirstMax: Iterator + Sized {
    fn first_max_by_key<K: Ord>(self, key: impl Fn(&Self::Item) -> K) -> Option<Self::Item> {
        self.reduce(|best, next| if key(&next) > key(&best) { next } else { best })
    }
}

impl<I: Iterator> FirstMax for I {}

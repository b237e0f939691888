//! The options of reading a file.

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;

use crate::field::Field;

/// The options of reading a file. The default reads every row of a file with columns of known names.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The zone of times that name none; UTC if `None`.
    pub timezone: Option<TimeZone>,
    /// The host whose links are read; links of other hosts are skipped. `None` reads the links of every host.
    pub domain: Option<String>,
    /// The columns that have other names than usual.
    pub columns: ColumnMap,
    /// The prefix of the tables in a dump that has several installations, such as `yourls_`.
    pub table_prefix: Option<String>,
    /// The order of day and month in dates with slashes or dashes; decided by the whole column if `None`.
    pub date_order: Option<DateOrder>,
    /// Whether to read the log of clicks after the links, if the file has one.
    pub with_clicks: bool,
}

/// The order of day and month in a date such as `03/02/2026`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateOrder {
    DayFirst,
    MonthFirst,
}

/// The error for a word that names no order of dates.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be day-first or month-first")]
pub struct UnknownDateOrder;

impl FromStr for DateOrder {
    type Err = UnknownDateOrder;

    fn from_str(word: &str) -> Result<DateOrder, UnknownDateOrder> {
        match word {
            "day-first" => Ok(DateOrder::DayFirst),
            "month-first" => Ok(DateOrder::MonthFirst),
            _ => Err(UnknownDateOrder),
        }
    }
}

impl fmt::Display for DateOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DateOrder::DayFirst => "day-first",
            DateOrder::MonthFirst => "month-first",
        })
    }
}

/// The names of columns for fields, such as `code=Slug,target=URL`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnMap(Vec<(Field, String)>);

impl ColumnMap {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Field, &str)> {
        self.0.iter().map(|(field, column)| (*field, column.as_str()))
    }
}

/// The error for a text that is no map of columns.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidColumnMap {
    #[error("{0:?} must be a field and its column, such as code=Slug")]
    Pair(String),
    #[error("{0:?} is no field: a field {error}", error = crate::field::UnknownField)]
    Field(String),
    #[error("{0} has two columns")]
    Repeated(String),
}

impl FromStr for ColumnMap {
    type Err = InvalidColumnMap;

    /// Reads pairs that are separated by commas. The name of a column may have any other character.
    fn from_str(text: &str) -> Result<ColumnMap, InvalidColumnMap> {
        let mut map = ColumnMap::default();
        for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
            let invalid = || InvalidColumnMap::Pair(pair.to_owned());
            let (word, column) = pair.split_once('=').ok_or_else(invalid)?;
            let (word, column) = (word.trim(), column.trim());
            let field = Field::from_str(word).map_err(|_| InvalidColumnMap::Field(word.to_owned()))?;
            if column.is_empty() {
                return Err(invalid());
            }
            if map.0.iter().any(|(other, _)| *other == field) {
                return Err(InvalidColumnMap::Repeated(word.to_owned()));
            }
            map.0.push((field, column.to_owned()));
        }
        Ok(map)
    }
}

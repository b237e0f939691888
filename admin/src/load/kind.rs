//! The kinds of rows in a CSV file.

use std::fmt;
use std::fs::File;

use tern_import::csv_file::CsvTable;

use crate::csv_rows::{EVENT_COLUMNS, PRODUCT_COLUMNS, URL_COLUMNS, USER_COLUMNS};

/// The kind of a file's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    User,
    Url,
    Event,
    Product,
}

impl Kind {
    pub(super) const ALL: [Kind; 4] = [Kind::User, Kind::Url, Kind::Event, Kind::Product];

    /// Finds the kind by a column that only its files have; `None` if there is no such column.
    pub(super) fn of(table: &CsvTable<File>) -> Option<Kind> {
        // Files of urls also have `user_id`, and files of events have `user_id` and `url_id`.
        if table.has("event_type") {
            Some(Kind::Event)
        } else if table.has("short_code") {
            Some(Kind::Url)
        } else if table.has("username") {
            Some(Kind::User)
        } else if table.has("price") || table.has("stock") {
            Some(Kind::Product)
        } else {
            None
        }
    }

    pub(super) fn columns(self) -> &'static [&'static str] {
        match self {
            Kind::User => USER_COLUMNS,
            Kind::Url => URL_COLUMNS,
            Kind::Event => EVENT_COLUMNS,
            Kind::Product => PRODUCT_COLUMNS,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

//! Files of other link services, and of Tern's own exports, read as links.
//!
//! [`open`] and [`read`] recognise a file by several of its columns at once, and return its rows one by one.
//! Rows of CSV, NDJSON, JSON and SQL are read as they are asked for, in constant memory.
//! The crate knows no store: it does not check codes and targets by Tern's rules.

mod address;
mod build;
mod bytes;
mod cells;
mod container;
mod count;
pub mod csv_file;
mod csv_source;
mod dates;
mod error;
mod field;
mod json;
mod options;
mod queue;
mod reader;
mod recognise;
mod roles;
mod row;
mod rules;
mod shapes;
mod source;
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;
mod switch;

pub use error::{FileError, Place};
pub use field::{Field, UnknownField};
pub use options::{ColumnMap, DateOrder, InvalidColumnMap, Options, UnknownDateOrder};
pub use reader::{Import, Rows, is_database, open, read};
pub use recognise::Recognised;
pub use row::{ImportedClick, ImportedLink, Row};
pub use source::{Source, UnknownSource};

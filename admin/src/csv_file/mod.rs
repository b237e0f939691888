//! CSV files: dialects, quotes and rows.

mod dialect;
mod quotes;
pub(crate) mod rows;
pub(crate) mod table;

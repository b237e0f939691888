//! CSV files: their dialects, their quotes, and the rows that they hold.

mod dialect;
mod quotes;
pub(crate) mod rows;
pub(crate) mod table;

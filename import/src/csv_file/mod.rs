//! CSV files: dialects, quotes and tables.

mod dialect;
mod quotes;
mod row_bytes;
mod table;

pub use table::{BadRow, CsvRow, CsvTable};

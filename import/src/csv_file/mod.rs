//! CSV files: dialects, quotes and tables.

mod dialect;
mod quotes;
mod table;

pub use table::{BadRow, CsvRow, CsvTable};

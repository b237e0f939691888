//! Imports: files of other link services become links.
//!
//! The crate `tern-import` reads the files. This module checks their rows by the rules of the API, decides about codes that are
//! taken, and writes the links in batches.

mod batch;
mod check;
mod clicks;
mod codes;
mod command;
mod decide;
mod importer;
mod job;
mod outcome;
mod plan;
mod seen;
mod undo;

pub use command::{ImportCommand, ImportSettings, run};
pub use job::{ImportError, Input, Report, import_file};
pub use outcome::{Counts, Outcome, RowOutcome, Summary};
pub use plan::{OnConflict, Plan, UnknownOwner, find_owner, find_tag};
pub use undo::{KeptLink, UndoError, Undone, undo};

//! The map of every redirector equals the table, whatever happens to the bus and the database.

#![expect(clippy::print_stdout, reason = "each test prints its figures")]

mod database;
mod ends;
mod healthy;
mod long_log;
mod random;
mod redis;

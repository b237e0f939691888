//! The map in every redirector equals the table, whatever happens to the bus and to the database.

#![expect(clippy::unwrap_used, reason = "a scene that cannot be set is a failed test")]

mod database;
mod healthy;
mod redis;

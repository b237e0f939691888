//! Journals and their shipper over a real store: each recorded click becomes exactly one event.

#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]

#[path = "../support/links.rs"]
mod links;

mod faults;
mod fixture;
mod journals;
mod planted_bug;

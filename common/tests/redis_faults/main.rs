//! The bus and the cache over Redis, where the conformance suites do not reach: faults, forgeries, kinds of addresses.

#![expect(clippy::unwrap_used, reason = "a scene that cannot be set is a failed test")]

mod addresses;
mod faults;
mod forgeries;
mod support;

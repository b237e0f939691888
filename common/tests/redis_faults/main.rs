//! Tests of the bus and the cache over Redis beyond conformance: faults, forgeries, kinds of addresses.

#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]

mod addresses;
mod faults;
mod forgeries;
mod support;

//! Tests of the bus and the cache over Redis: faults of Redis, forged messages and keys, and each kind of `REDIS_URL`.
//!
//! The conformance tests check the behaviour that every bus and every cache must have.

#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]

mod addresses;
mod faults;
mod forgeries;
mod support;

//! Real servers for tests, from Debian's packages: each has ports and a directory of its own and ends with the test.
//!
//! A server can be stopped, frozen, killed and restarted, for tests of faults. If a package is missing, the test fails
//! with the command that installs it.

#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]

pub mod child;
pub mod monitoring;
pub mod network;
pub mod nginx;
pub mod patroni;
pub mod pgbouncer;
pub mod postgres;
pub mod redis;
pub mod relay;
pub mod sentinels;
pub mod server;

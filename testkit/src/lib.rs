//! Real servers for tests: started from Debian's packages, on ports and in directories of their own, ended with the test.
//!
//! A server can be stopped, frozen, killed and started again, as a test of faults wants.
//! If a package is missing the test fails with the command that brings it.

#![expect(clippy::unwrap_used, reason = "a scene that cannot be set is a failed test")]

pub mod leash;
pub mod monitoring;
pub mod nginx;
pub mod postgres;
pub mod redis;
pub mod relay;
pub mod server;

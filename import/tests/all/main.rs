//! Files of each service, in each shape that people have.

#![expect(clippy::unwrap_used, reason = "a file that cannot be read is a failed test")]

mod bitly;
mod reading;
mod tern;

//! The `tern` binary as its users meet it: started as a process, spoken to over sockets.

#![expect(clippy::unwrap_used, reason = "a scene that cannot be set is a failed test")]

mod bad_start;
mod clicks;
mod first_light;
mod follow;
mod loading;
mod read_your_writes;
mod support;

//! Reaching a Redis: its address, its settings, and connections to it. What is said on them is not known here.

mod address;
mod config;
mod dial;
mod link;

pub use address::{Credentials, Endpoint, Password, RedisAddress, Topology};
pub use config::{Authorities, Prefix, RedisConfig};
pub(crate) use dial::{Connection, Dialer};
pub(crate) use link::Link;

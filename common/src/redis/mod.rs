//! Connections to Redis: address, settings, dialling and reconnecting. The callers choose the commands.

mod address;
mod config;
mod dial;
mod link;

pub use address::{Credentials, Endpoint, Password, RedisAddress, Topology};
pub use config::{Authorities, Prefix, RedisConfig};
pub(crate) use dial::{Connection, Dialer};
pub(crate) use link::Link;

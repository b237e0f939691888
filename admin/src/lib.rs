//! The admin API: users, links, events, products, logs and metrics.
//!
//! Handlers validate requests, change rows through the store's seam, and announce changes.
//! The crate contains no SQL and answers no redirects. An unknown path is a 404 unless [`router_over`] gets a router for it.

pub mod access;
mod compat;
pub mod config;
mod csv_rows;
mod dashboard;
mod description;
pub mod export_command;
mod fleet;
mod hidden_links;
mod http;
pub mod import;
mod list;
pub mod load;
mod local_range;
mod maintenance;
mod metrics;
mod operations_port;
pub mod ports;
mod qr_image;
mod readiness;
mod request_log;
mod resources;
mod router;
mod row;
mod shared_call;
mod state;
mod streams;
mod time_zone;
pub mod token_command;
mod visibility;
mod visible_wait;

pub use access::Access;
pub use config::AdminConfig;
pub use hidden_links::find_hidden_links;
pub use maintenance::maintain_store;
pub use metrics::Metrics;
pub use operations_port::operations_router;
pub use readiness::Readiness;
pub use router::{document, paths, router, router_over};
pub use state::{AppState, Seams};
pub use streams::Streams;
pub use token_command::TokenCommand;
pub use visibility::{Visibility, Visible};
pub use visible_wait::VisibleWait;

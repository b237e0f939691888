//! The control plane: everything a person or a program manages.
//!
//! Handlers validate, change rows through the store's seam, and announce what changed.
//! There is no SQL here, and nothing of redirects: an unknown path is a 404 unless [`router_over`] is given another
//! answer to it.

pub mod access;
pub mod config;
mod csv_file;
mod description;
mod http;
mod list;
pub mod load;
mod maintenance;
mod metrics;
mod operators;
pub mod ports;
mod readiness;
mod request_log;
mod resources;
mod router;
mod row;
mod shared_look;
mod state;
pub mod token_command;
mod visibility;
mod visible_wait;

pub use access::Access;
pub use config::AdminConfig;
pub use maintenance::keep_in_order;
pub use metrics::Metrics;
pub use operators::operators_router;
pub use readiness::Readiness;
pub use router::{document, paths, router, router_over};
pub use state::{AppState, Seams};
pub use token_command::TokenCommand;
pub use visibility::{Visibility, Visible};
pub use visible_wait::VisibleWait;

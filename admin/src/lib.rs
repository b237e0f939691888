//! The control plane: everything a person or a program manages.
//!
//! Handlers validate, change rows through the store's seam, and announce what changed.
//! There is no SQL here, and nothing of redirects: an unknown path is a 404 unless [`router_over`] is given another
//! answer to it.

pub mod access;
mod answer;
mod body;
mod bulk;
pub mod config;
mod csv_dialect;
mod csv_quotes;
mod csv_rows;
mod csv_table;
mod docs;
mod error;
mod events;
mod health;
mod ignored;
mod list;
pub mod load;
mod load_skips;
mod log_quota;
mod logs;
mod maintenance;
mod metrics;
mod openapi;
mod operators;
mod origin;
mod products;
mod query;
mod request_log;
mod request_trace;
mod router;
mod shared_look;
mod state;
mod stats;
pub mod token_command;
mod upload;
mod upload_room;
mod urls;
mod users;
mod visibility;
mod visible_wait;

pub use access::Access;
pub use config::AdminConfig;
pub use health::Readiness;
pub use maintenance::keep_in_order;
pub use metrics::Metrics;
pub use openapi::document;
pub use operators::operators_router;
pub use router::{areas, paths, router, router_over};
pub use state::AppState;
pub use token_command::TokenCommand;
pub use visibility::{Visibility, Visible};
pub use visible_wait::VisibleWait;

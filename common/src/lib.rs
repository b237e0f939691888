//! Domain types and seams that both planes share.
//!
//! The domain types are short codes, targets, links, clicks and events. A value of such a type is valid.
//! The seams are [`store`], [`bus`] and [`cache`]. Each consists of traits, and one conformance suite tests every
//! implementation.
//!
//! The crate depends on neither plane, on no HTTP library and not on `may`.

pub mod accept;
pub mod audit;
pub mod backoff;
pub mod budget;
pub mod bus;
pub mod cache;
pub mod click;
pub mod click_limit;
pub mod click_source;
pub mod client;
pub mod config;
pub mod console;
pub mod descriptors;
pub mod event;
pub mod id;
pub mod json;
pub mod lifecycle;
pub mod link_digest;
pub mod link_labels;
pub mod link_options;
pub mod link_state;
pub mod listening;
pub mod location;
pub mod missed_code;
pub mod own_addresses;
pub mod placeholders;
pub mod private_files;
pub mod probe;
pub mod process;
pub mod product;
pub mod redis;
pub mod routing;
pub mod seal;
mod seal_key;
pub mod served_link;
pub mod short_code;
pub mod short_text;
pub mod statistics;
pub mod store;
pub mod systemd;
pub mod tag_count;
pub mod target_url;
pub mod telemetry;
pub mod timestamp;
pub mod token;
pub mod url;
mod url_filter;
pub mod user;
pub mod visit;
pub mod visitor;

pub use click::{Click, ClickBatch, JournalId, JournalPosition, JournalState, ShipOutcome};
pub use click_limit::{ClickLimit, ClickTake, TakenClicks};
pub use click_source::ClickSource;
pub use id::Id;
pub use link_options::{LinkOptions, LinkOptionsChange, RedirectStatus};
pub use own_addresses::OwnAddresses;
pub use short_code::ShortCode;
pub use statistics::{
    Breakdown, ClickFilter, HourClicks, LinkSeries, PointClicks, SeriesQuery, Statistics, StatsQuery, StatsScope,
    TopLink,
};
pub use target_url::TargetUrl;
pub use timestamp::Timestamp;
pub use visit::{Visit, VisitQuery};
pub use visitor::Visitor;

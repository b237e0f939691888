//! The resources of the API, one file for each: types of requests, handlers, and their descriptions.

pub(crate) mod audit;
pub(crate) mod bulk;
pub(crate) mod bulk_urls;
pub(crate) mod events;
pub(crate) mod exports;
pub(crate) mod external_urls;
pub(crate) mod import_requests;
pub(crate) mod imports;
mod link_options;
pub(crate) mod live;
pub(crate) mod logs;
pub(crate) mod many_urls;
pub(crate) mod misses;
mod new_link;
pub(crate) mod operations;
pub(crate) mod products;
pub(crate) mod qr;
mod shown_stats;
pub(crate) mod shown_url;
pub(crate) mod stats;
pub(crate) mod system;
pub(crate) mod tags;
pub(crate) mod tokens;
pub(crate) mod trials;
pub(crate) mod url_requests;
pub(crate) mod urls;
pub(crate) mod users;

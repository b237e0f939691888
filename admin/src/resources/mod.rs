//! The resources of the API, one file for each: types of requests, handlers, and their descriptions.

pub(crate) mod audit;
pub(crate) mod bulk;
pub(crate) mod events;
mod link_options;
pub(crate) mod logs;
pub(crate) mod operations;
pub(crate) mod products;
pub(crate) mod shown_url;
pub(crate) mod stats;
pub(crate) mod tags;
mod url_requests;
pub(crate) mod urls;
pub(crate) mod users;

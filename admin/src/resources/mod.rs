//! A file for each resource: the types of its requests, its handlers, and their description.

pub(crate) mod bulk;
pub(crate) mod events;
pub(crate) mod logs;
pub(crate) mod operations;
pub(crate) mod products;
pub(crate) mod stats;
pub(crate) mod urls;
pub(crate) mod users;

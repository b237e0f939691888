//! Requests and answers in HTTP: bodies, queries, errors. No module of it knows a resource.

pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod error;
pub(crate) mod ignored;
pub(crate) mod query;
pub(crate) mod upload;
pub(crate) mod upload_quota;

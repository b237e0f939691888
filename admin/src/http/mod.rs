//! HTTP requests and answers of the admin API: bodies, queries, uploads, errors.
//!
//! No module here depends on a resource, such as users or urls.

pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod conditions;
pub(crate) mod error;
pub(crate) mod ignored;
pub(crate) mod query;
pub(crate) mod upload;
pub(crate) mod upload_quota;

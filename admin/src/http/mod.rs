//! Requests and answers in HTTP: bodies, queries, errors. The modules know no resource.

pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod conditions;
pub(crate) mod error;
pub(crate) mod ignored;
pub(crate) mod query;
pub(crate) mod upload;
pub(crate) mod upload_quota;

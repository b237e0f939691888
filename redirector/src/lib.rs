//! The data plane: answers `GET /<short_code>` from memory and does nothing else.

pub mod http;

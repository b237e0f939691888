//! Segments: the format of a journal's files, and the files themselves.

pub mod client_text;
pub mod file;
pub mod format;
pub mod record;

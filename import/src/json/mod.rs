//! JSON files: lists of links, pages of answers one behind another, and lines of objects.

mod objects;
mod source;

pub(crate) use source::JsonSource;

//! Dumps of databases as SQL: the rows of their `INSERT` statements, one by one.

mod clicks;
mod source;
mod statements;
mod tables;
mod tokens;

pub(crate) use source::SqlSource;
pub(crate) use tokens::Dialect;

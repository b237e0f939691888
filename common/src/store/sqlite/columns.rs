//! Conversions between Tern's types and SQLite's columns.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

use crate::event::Details;
use crate::product::Price;
use crate::{ClickLimit, Id, RedirectStatus, TargetUrl, Timestamp};

impl ToSql for Id {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.get().into())
    }
}

impl FromSql for Id {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Id> {
        let value = value.as_i64()?;
        Id::new(value).ok_or(FromSqlError::OutOfRange(value))
    }
}

impl ToSql for Timestamp {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.unix_seconds().into())
    }
}

impl FromSql for Timestamp {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Timestamp> {
        value.as_i64().map(Timestamp::from_unix_seconds)
    }
}

impl ToSql for TargetUrl {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_given().into())
    }
}

impl ToSql for RedirectStatus {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.code().into())
    }
}

impl FromSql for RedirectStatus {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<RedirectStatus> {
        let code = value.as_i64()?;
        code.try_into().map_err(|_| FromSqlError::OutOfRange(code))
    }
}

impl ToSql for ClickLimit {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.get().into())
    }
}

impl FromSql for ClickLimit {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<ClickLimit> {
        let value = value.as_i64()?;
        value.try_into().map_err(|_| FromSqlError::OutOfRange(value))
    }
}

impl FromSql for Price {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Price> {
        value.as_i64().map(Price::from_hundredths)
    }
}

impl FromSql for Details {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Details> {
        value.as_str().map(Details::stored)
    }
}

//! Tokens in SQLite.

use rusqlite::types::Type;
use rusqlite::{Connection, Error, Row, Transaction};

use super::users;
use crate::store::{Result, StoreError};
use crate::token::{NewToken, Token, TokenHash, TokenKey};
use crate::{Id, Timestamp};

/// Inserts a token that the token `author` created.
pub(super) fn insert(db: &Transaction<'_>, token: &NewToken, author: Option<&str>) -> Result<Token> {
    let NewToken { name, role, hash, expires_at, user_id } = token;
    if let Some(user_id) = *user_id
        && users::find(db, user_id)?.is_none()
    {
        return Err(StoreError::UnknownUser(user_id));
    }
    let sql = format!(
        "INSERT INTO tokens (name, role, hash, created_at, expires_at, user_id, created_by)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) RETURNING {}",
        Token::COLUMNS
    );
    let values = (name.as_str(), role.as_str(), hash.as_bytes(), Timestamp::now(), expires_at, user_id, author);
    Ok(db.prepare_cached(&sql)?.query_row(values, from_row)?)
}

pub(super) fn insert_first(db: &Transaction<'_>, token: &NewToken) -> Result<bool> {
    let is_empty = db.query_row("SELECT NOT EXISTS (SELECT 1 FROM tokens)", [], |row| row.get(0))?;
    if is_empty {
        insert(db, token, None)?;
    }
    Ok(is_empty)
}

pub(super) fn list(db: &Connection) -> Result<Vec<Token>> {
    let sql = format!("SELECT {} FROM tokens ORDER BY id", Token::COLUMNS);
    Ok(db.prepare_cached(&sql)?.query_map([], from_row)?.collect::<Result<_, _>>()?)
}

pub(super) fn revoke(db: &Transaction<'_>, key: &TokenKey, author: Option<&str>) -> Result<bool> {
    let (id, name) = match key {
        TokenKey::Id(id) => (Some(id), None),
        TokenKey::Name(name) => (None, Some(name.as_str())),
    };
    let sql = "UPDATE tokens SET revoked_at = ?3, revoked_by = ?4 WHERE (id = ?1 OR name = ?2) AND revoked_at IS NULL";
    Ok(db.prepare_cached(sql)?.execute((id, name, Timestamp::now(), author))? > 0)
}

pub(super) fn note_uses(db: &Transaction<'_>, uses: &[(Id, Timestamp)]) -> Result<()> {
    let sql = "UPDATE tokens SET last_used_at = max(coalesce(last_used_at, ?2), ?2) WHERE id = ?1";
    let mut statement = db.prepare_cached(sql)?;
    for used in uses {
        statement.execute(*used)?;
    }
    Ok(())
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Token> {
    let role: String = row.get(2)?;
    Ok(Token {
        id: row.get(0)?,
        name: row.get(1)?,
        role: role.parse().map_err(|error| Error::FromSqlConversionFailure(2, Type::Text, Box::new(error)))?,
        hash: TokenHash::from_bytes(row.get(3)?),
        created_at: row.get(4)?,
        expires_at: row.get(5)?,
        last_used_at: row.get(6)?,
        revoked_at: row.get(7)?,
        user_id: row.get(8)?,
        created_by: row.get(9)?,
        revoked_by: row.get(10)?,
    })
}

//! Tokens in PostgreSQL.

use deadpool_postgres::ClientWrapper;
use tokio_postgres::Row;

use super::{error, query};
use crate::store::author::author;
use crate::store::{Result, StoreError};
use crate::token::{NewToken, Token, TokenHash, TokenKey};
use crate::{Id, Timestamp};

pub(super) async fn insert(db: &ClientWrapper, token: &NewToken) -> Result<Token> {
    // A locked user is not deleted meanwhile, so that the deletion finds the token and revokes it.
    let sql = format!(
        "WITH owner AS MATERIALIZED (SELECT id FROM users WHERE id = $6 FOR KEY SHARE)
         INSERT INTO tokens (name, role, hash, created_at, expires_at, user_id, created_by)
         SELECT $1, $2, $3, $4, $5, $6, $7 WHERE $6::bigint IS NULL OR EXISTS (SELECT FROM owner)
         RETURNING {}",
        Token::COLUMNS
    );
    let author = author();
    let NewToken { name, role, hash, expires_at, user_id } = token;
    let values: query::Values<'_> = &[
        &name.as_str(),
        &role.as_str(),
        &hash.as_bytes().as_slice(),
        &Timestamp::now(),
        expires_at,
        user_id,
        &author.as_deref(),
    ];
    match (query::row(db, &sql, values).await?, user_id) {
        (Some(inserted), _) => from_row(&inserted),
        (None, Some(user_id)) => Err(StoreError::UnknownUser(*user_id)),
        (None, None) => Err(error::unexpected("empty result")),
    }
}

pub(super) async fn insert_first(db: &ClientWrapper, token: &NewToken) -> Result<bool> {
    // Two concurrent calls may both see no token. They insert the same name, so the second insert conflicts.
    let sql = "INSERT INTO tokens (name, role, hash, created_at, expires_at)
               SELECT $1, $2, $3, $4, $5 WHERE NOT EXISTS (SELECT FROM tokens) ON CONFLICT DO NOTHING";
    let NewToken { name, role, hash, expires_at, user_id: _ } = token;
    let values: query::Values<'_> =
        &[&name.as_str(), &role.as_str(), &hash.as_bytes().as_slice(), &Timestamp::now(), expires_at];
    Ok(query::execute(db, sql, values).await? > 0)
}

pub(super) async fn list(db: &ClientWrapper) -> Result<Vec<Token>> {
    let sql = format!("SELECT {} FROM tokens ORDER BY id", Token::COLUMNS);
    query::rows(db, &sql, &[]).await?.iter().map(from_row).collect()
}

pub(super) async fn revoke(db: &ClientWrapper, key: &TokenKey) -> Result<bool> {
    let (id, name) = match key {
        TokenKey::Id(id) => (Some(id), None),
        TokenKey::Name(name) => (None, Some(name.as_str())),
    };
    let sql = "UPDATE tokens SET revoked_at = $3, revoked_by = $4
               WHERE (id = $1 OR name = $2) AND revoked_at IS NULL";
    Ok(query::execute(db, sql, &[&id, &name, &Timestamp::now(), &author().as_deref()]).await? > 0)
}

pub(super) async fn note_uses(db: &ClientWrapper, uses: &[(Id, Timestamp)]) -> Result<()> {
    let (ids, times): (Vec<Id>, Vec<Timestamp>) = uses.iter().copied().unzip();
    let sql = "UPDATE tokens SET last_used_at = greatest(last_used_at, used_at)
               FROM unnest($1::bigint[], $2::timestamptz[]) AS used (token, used_at) WHERE id = token";
    query::execute(db, sql, &[&ids, &times]).await?;
    Ok(())
}

fn from_row(row: &Row) -> Result<Token> {
    let role: &str = row.try_get(2)?;
    let hash: Vec<u8> = row.try_get(3)?;
    Ok(Token {
        id: row.try_get(0)?,
        name: row.try_get(1)?,
        role: role.parse().map_err(|_| error::unexpected("role"))?,
        hash: TokenHash::from_bytes(hash.try_into().map_err(|_| error::unexpected("hash"))?),
        created_at: row.try_get(4)?,
        expires_at: row.try_get(5)?,
        last_used_at: row.try_get(6)?,
        revoked_at: row.try_get(7)?,
        user_id: row.try_get(8)?,
        created_by: row.try_get(9)?,
        revoked_by: row.try_get(10)?,
    })
}

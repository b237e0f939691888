//! Tokens and roles, which authorise the use of the API.
//!
//! A token is shown once, at its creation. The store has only its hash, so a reader of the database cannot use the API.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::json::deserialize_by_parse;
use crate::{Id, Timestamp};

deserialize_by_parse!(Role, TokenName);

/// The rights of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(example = "editor"))]
pub enum Role {
    /// May read users, links, events and products.
    Viewer,
    /// May also change users, links and events.
    Editor,
    /// May do everything, including reading the log.
    Admin,
    /// May read only the metrics, as Prometheus does.
    Metrics,
}

/// The error for a text that names no role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a role is viewer, editor, admin or metrics")]
pub struct UnknownRole;

impl Role {
    pub fn parse(text: &str) -> Result<Role, UnknownRole> {
        text.parse()
    }

    pub const ALL: [Role; 4] = [Role::Viewer, Role::Editor, Role::Admin, Role::Metrics];

    /// Returns whether a token with this role may be limited to a user. The other roles read data of all users.
    pub fn fits_a_user(self) -> bool {
        matches!(self, Role::Viewer | Role::Editor)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Editor => "editor",
            Role::Admin => "admin",
            Role::Metrics => "metrics",
        }
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Role, UnknownRole> {
        Role::ALL.into_iter().find(|role| role.as_str() == text).ok_or(UnknownRole)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The name of a token: 1 to 64 letters, digits, `.`, `_` or `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(value_type = String, pattern = "^[0-9A-Za-z._-]{1,64}$", example = "ci"))]
pub struct TokenName(String);

/// The error for a text that is no name of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name of a token has 1 to 64 letters, digits, '.', '_' or '-'")]
pub struct InvalidTokenName;

/// The key of a token to revoke: its id, or the name of a token that is not revoked. Digits alone are an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenKey {
    Id(Id),
    Name(TokenName),
}

impl FromStr for TokenKey {
    type Err = InvalidTokenName;

    fn from_str(text: &str) -> Result<TokenKey, InvalidTokenName> {
        Id::parse(text).map_or_else(|| text.parse().map(TokenKey::Name), |id| Ok(TokenKey::Id(id)))
    }
}

impl fmt::Display for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenKey::Id(id) => id.fmt(f),
            TokenKey::Name(name) => f.write_str(&name.0),
        }
    }
}

impl TokenName {
    const MAX_LEN: usize = 64;

    pub fn parse(text: &str) -> Result<TokenName, InvalidTokenName> {
        text.parse()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TokenName {
    type Err = InvalidTokenName;

    fn from_str(text: &str) -> Result<TokenName, InvalidTokenName> {
        let is_short = (1..=TokenName::MAX_LEN).contains(&text.len());
        let is_plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        (is_short && is_plain).then(|| TokenName(text.to_owned())).ok_or(InvalidTokenName)
    }
}

/// The secret text of a token: `tern_` and 256 random bits in base64url.
pub struct Secret(String);

impl Secret {
    /// The prefix of every token, by which people and scanners for leaked secrets recognise it.
    pub const PREFIX: &str = "tern_";

    /// Returns a random secret from the operating system's generator.
    ///
    /// # Panics
    /// If the operating system has no random bytes.
    pub fn generate() -> Secret {
        let mut random = [0u8; 32];
        getrandom::fill(&mut random).expect("the operating system has random bytes");
        Secret(format!("{}{}", Secret::PREFIX, URL_SAFE_NO_PAD.encode(random)))
    }

    /// Returns the secret text, which only the user of the token may see.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub fn hash(&self) -> TokenHash {
        TokenHash::of(self.0.as_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The SHA-256 of a token. A slow hash is unnecessary, since 256 random bits cannot be guessed.
#[derive(Clone, Copy, Debug)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// Returns the hash of a text that a client sent as a token.
    pub fn of(sent: &[u8]) -> TokenHash {
        TokenHash(Sha256::digest(sent).into())
    }

    pub const fn from_bytes(bytes: [u8; 32]) -> TokenHash {
        TokenHash(bytes)
    }

    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Compares two hashes in constant time.
    pub fn is(&self, other: &TokenHash) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

#[derive(Clone, Debug)]
pub struct NewToken {
    pub name: TokenName,
    pub role: Role,
    pub hash: TokenHash,
    pub expires_at: Option<Timestamp>,
    /// The user to whose rows the token is limited; `None` for a token without limits.
    pub user_id: Option<Id>,
}

/// A row of `tokens`.
#[derive(Clone, Debug)]
pub struct Token {
    pub id: Id,
    pub name: String,
    pub role: Role,
    pub hash: TokenHash,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    /// The time of the last use, to the minute.
    pub last_used_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    /// The user to whose rows the token is limited; `None` for a token without limits.
    pub user_id: Option<Id>,
    /// The name of the token that created this one; `None` for the command line and for an open API.
    pub created_by: Option<String>,
    /// The name of the token that revoked this one; `None` for the command line, an open API and the deletion of a user.
    pub revoked_by: Option<String>,
}

/// The state of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(example = "valid"))]
pub enum TokenState {
    Valid,
    Expired,
    Revoked,
}

impl Token {
    /// The columns of a row, in the order of the fields.
    pub(crate) const COLUMNS: &'static str =
        "id, name, role, hash, created_at, expires_at, last_used_at, revoked_at, user_id, created_by, revoked_by";

    pub fn state(&self, now: Timestamp) -> TokenState {
        if self.revoked_at.is_some() {
            TokenState::Revoked
        } else if self.expires_at.is_some_and(|expires_at| expires_at <= now) {
            TokenState::Expired
        } else {
            TokenState::Valid
        }
    }

    /// Returns the reason why the token is invalid at `now`; `None` if it is valid.
    pub fn refusal(&self, now: Timestamp) -> Option<&'static str> {
        match self.state(now) {
            TokenState::Valid => None,
            TokenState::Expired => Some("The token has expired"),
            TokenState::Revoked => Some("The token was revoked"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_is_long_unique_and_absent_from_its_debug_form() {
        let (one, other) = (Secret::generate(), Secret::generate());
        assert_eq!(one.reveal().len(), "tern_".len() + 43);
        assert_ne!(one.reveal(), other.reveal());
        assert_eq!(format!("{one:?}"), "Secret(..)");
        assert!(one.hash().is(&TokenHash::of(one.reveal().as_bytes())));
        assert!(!one.hash().is(&other.hash()));
    }

    #[test]
    fn token_name_with_a_wrong_length_or_character_is_refused() {
        for good in ["ci", "a.b-c_9", &"x".repeat(64)] {
            assert!(good.parse::<TokenName>().is_ok(), "{good:?}");
        }
        for bad in ["", "a b", "é", "a/b", "a\n", &"x".repeat(65)] {
            assert!(bad.parse::<TokenName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn token_key_of_digits_is_an_id() {
        let key = |text: &str| text.parse::<TokenKey>();
        assert_eq!(key("7"), Ok(TokenKey::Id(Id::new(7).unwrap())));
        assert_eq!(key("7a").unwrap().to_string(), "7a");
        assert!(matches!(key("0"), Ok(TokenKey::Name(_))));
        assert_eq!(key("a b"), Err(InvalidTokenName));
    }

    #[test]
    fn expired_or_revoked_token_is_refused() {
        let at = Timestamp::from_unix_seconds;
        let token = |expires_at, revoked_at| Token {
            id: Id::new(1).unwrap(),
            name: "ci".to_owned(),
            role: Role::Viewer,
            hash: TokenHash::of(b""),
            created_at: at(0),
            expires_at,
            last_used_at: None,
            revoked_at,
            user_id: None,
            created_by: None,
            revoked_by: None,
        };
        assert_eq!(token(None, None).refusal(at(100)), None);
        assert_eq!(token(Some(at(101)), None).refusal(at(100)), None);
        assert!(token(Some(at(100)), None).refusal(at(100)).is_some());
        assert!(token(None, Some(at(1))).refusal(at(100)).is_some());
    }
}

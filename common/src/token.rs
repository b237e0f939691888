//! Tokens: who may use the API, and for what.
//!
//! A token is shown once, when it is made. Only its hash is kept: whoever reads the database cannot use the API.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{Id, Timestamp};

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Reads users, links, events and products.
    Viewer,
    /// Changes them too.
    Editor,
    /// Everything, the log among it.
    Admin,
    /// Reads the metrics and nothing else: what a Prometheus needs.
    Metrics,
}

/// A text is the name of no role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a role is viewer, editor, admin or metrics")]
pub struct UnknownRole;

impl Role {
    pub const ALL: [Role; 4] = [Role::Viewer, Role::Editor, Role::Admin, Role::Metrics];

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

/// What people call a token: 1 to 64 letters, digits, `.`, `_` or `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenName(String);

/// A text cannot name a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name of a token has 1 to 64 letters, digits, '.', '_' or '-'")]
pub struct InvalidTokenName;

impl TokenName {
    const MAX_LEN: usize = 64;

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

/// A token as its holder sends it: `tern_` and 256 random bits in base64url.
pub struct Secret(String);

impl Secret {
    /// The beginning of every token, by which scanners for leaked secrets, and people, know it.
    pub const PREFIX: &str = "tern_";

    /// A new one, from the operating system's generator.
    ///
    /// # Panics
    /// If the operating system has no randomness to give.
    pub fn generate() -> Secret {
        let mut random = [0u8; 32];
        getrandom::fill(&mut random).expect("the operating system gives random bytes");
        Secret(format!("{}{}", Secret::PREFIX, URL_SAFE_NO_PAD.encode(random)))
    }

    /// The token itself, for its holder alone.
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

/// SHA-256 of a token. With 256 random bits in it, nothing slower is needed to keep it from being guessed.
#[derive(Clone, Copy, Debug)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// Of whatever somebody sent for a token.
    pub fn of(sent: &[u8]) -> TokenHash {
        TokenHash(Sha256::digest(sent).into())
    }

    pub const fn from_bytes(bytes: [u8; 32]) -> TokenHash {
        TokenHash(bytes)
    }

    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Compares in a time that tells nothing of where the two differ.
    pub fn is(&self, other: &TokenHash) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// A token to be made now.
#[derive(Clone, Debug)]
pub struct NewToken {
    pub name: TokenName,
    pub role: Role,
    pub hash: TokenHash,
    pub expires_at: Option<Timestamp>,
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
    /// To the minute.
    pub last_used_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
}

impl Token {
    /// Why the token is good for nothing now, if it is not.
    pub fn refusal(&self, now: Timestamp) -> Option<&'static str> {
        if self.revoked_at.is_some() {
            Some("The token was revoked")
        } else if self.expires_at.is_some_and(|expires_at| expires_at <= now) {
            Some("The token has expired")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_long_differs_and_is_told_to_nobody() {
        let (one, other) = (Secret::generate(), Secret::generate());
        assert_eq!(one.reveal().len(), "tern_".len() + 43);
        assert_ne!(one.reveal(), other.reveal());
        assert_eq!(format!("{one:?}"), "Secret(..)");
        assert!(one.hash().is(&TokenHash::of(one.reveal().as_bytes())));
        assert!(!one.hash().is(&other.hash()));
    }

    #[test]
    fn names() {
        for good in ["ci", "a.b-c_9", &"x".repeat(64)] {
            assert!(good.parse::<TokenName>().is_ok(), "{good:?}");
        }
        for bad in ["", "a b", "é", "a/b", "a\n", &"x".repeat(65)] {
            assert!(bad.parse::<TokenName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_token_ends_with_its_time_or_when_it_is_revoked() {
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
        };
        assert_eq!(token(None, None).refusal(at(100)), None);
        assert_eq!(token(Some(at(101)), None).refusal(at(100)), None);
        assert!(token(Some(at(100)), None).refusal(at(100)).is_some());
        assert!(token(None, Some(at(1))).refusal(at(100)).is_some());
    }
}

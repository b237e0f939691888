//! Seals: signatures of texts that processes of one installation exchange through a Redis with other writers.
//!
//! The key is a random secret in the database, and Redis never receives it. A seal is an HMAC-SHA-256 over the text and
//! over the name of its channel or key, so it is invalid under another name.

use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use hmac::Mac;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

pub use crate::seal_key::SealKey;
use crate::store::LinkFeed;

/// The interval at which the key is read again.
const REFRESH_INTERVAL: Duration = Duration::from_secs(60);

/// The shortest interval between two reads of the key, while it is unknown and after an invalid seal.
const MIN_REFRESH_INTERVAL: Duration = Duration::from_millis(500);

/// The length of a seal in bytes.
pub const SEAL_LEN: usize = 32;

/// The last two keys that were read from the database.
///
/// Seals of the previous key are valid as well, so that a change of the key invalidates no message on its way.
#[derive(Debug, Default)]
pub struct Seal {
    keys: RwLock<Keys>,
    mismatch: Notify,
}

#[derive(Clone, Copy, Debug, Default)]
struct Keys {
    current: Option<SealKey>,
    previous: Option<SealKey>,
}

impl Seal {
    /// Returns a seal whose key never changes.
    pub fn with_key(key: SealKey) -> Arc<Seal> {
        let seal = Seal::default();
        seal.set(key);
        Arc::new(seal)
    }

    /// Reads the key from `store` repeatedly, until the last clone is dropped.
    /// Before the first read, no text can be sealed and no seal is valid.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn follow(store: Arc<dyn LinkFeed>) -> Arc<Seal> {
        let seal = Arc::new(Seal::default());
        tokio::spawn(follow(Arc::downgrade(&seal), store));
        seal
    }

    /// Returns the seal of `content` under `name`; `None` until the key is known.
    pub fn sign(&self, name: &str, content: &[u8]) -> Option<[u8; SEAL_LEN]> {
        Some(self.keys().current?.mac(name, content).finalize().into_bytes().into())
    }

    /// Returns whether `seal` is the seal of `content` under `name`. Compares in constant time.
    pub fn verify(&self, name: &str, content: &[u8], seal: &[u8]) -> bool {
        let Keys { current, previous } = self.keys();
        let is_valid =
            [current, previous].into_iter().flatten().any(|key| key.mac(name, content).verify_slice(seal).is_ok());
        if !is_valid {
            self.mismatch.notify_one();
        }
        is_valid
    }

    fn set(&self, key: SealKey) {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        if keys.current != Some(key) {
            *keys = Keys { current: Some(key), previous: keys.current };
        }
    }

    fn keys(&self) -> Keys {
        *self.keys.read().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn follow(seal: Weak<Seal>, store: Arc<dyn LinkFeed>) {
    loop {
        let read = store.seal_key().await;
        let Some(seal) = seal.upgrade() else { return };
        match read {
            Ok(key) => seal.set(key),
            Err(error) => tracing::debug!(%error, "seal key could not be read; the last key remains in use; retrying"),
        }
        sleep(MIN_REFRESH_INTERVAL).await;
        if seal.keys().current.is_some() {
            // An invalid seal may come from a newer key.
            let _ = timeout(REFRESH_INTERVAL, seal.mismatch.notified()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seal_is_valid_only_for_its_content_and_name() {
        let seal = Seal::with_key(SealKey::random());
        let made = seal.sign("channel", b"text").unwrap();
        assert!(seal.verify("channel", b"text", &made));
        for (name, content) in [("channel", "other"), ("other", "text"), ("channe", "ltext"), ("", "channel\0text")] {
            assert!(!seal.verify(name, content.as_bytes(), &made), "{name:?} {content:?}");
        }
        assert!(!seal.verify("channel", b"text", &made[..31]));
        assert!(!seal.verify("channel", b"text", &[]));
        assert!(!Seal::with_key(SealKey::random()).verify("channel", b"text", &made));
    }

    #[test]
    fn seal_of_the_previous_key_is_valid_until_the_next_change() {
        let seal = Seal::with_key(SealKey::random());
        let made = seal.sign("name", b"text").unwrap();
        seal.set(SealKey::random());
        assert!(seal.verify("name", b"text", &made));
        assert_ne!(seal.sign("name", b"text").unwrap(), made);
        seal.set(SealKey::random());
        assert!(!seal.verify("name", b"text", &made));
    }

    #[test]
    fn seal_without_a_key_neither_signs_nor_verifies() {
        let seal = Seal::default();
        assert_eq!(seal.sign("name", b"text"), None);
        assert!(!seal.verify("name", b"text", &[0; SEAL_LEN]));
    }
}

//! Seals: what processes of one Tern prove to each other through a Redis that others may write to.
//!
//! The key is a random secret in the database, which Redis never sees. A sealed text carries an HMAC-SHA-256 over itself
//! and over the name of its channel or key, so that it is worth nothing under another name.

use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use hmac::Mac;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

pub use crate::seal_key::SealKey;
use crate::store::LinkFeed;

/// How often the key is read again.
const REFRESH: Duration = Duration::from_secs(60);

/// Between two reads, whatever asks for them: until the key is known, and after a seal that does not fit.
const REFRESH_APART: Duration = Duration::from_millis(500);

/// Bytes of a seal.
pub const SEAL_LEN: usize = 32;

/// The key that the database holds, as it was last read, and the one before it.
///
/// Seals of the one before it are valid too, so that a change of the key invalidates nothing that is under way.
#[derive(Debug, Default)]
pub struct Seal {
    keys: RwLock<Keys>,
    misfit: Notify,
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

    /// Follows the key in `store` until the last clone is dropped. Until it is read, nothing is sealed and no seal fits.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn follow(store: Arc<dyn LinkFeed>) -> Arc<Seal> {
        let seal = Arc::new(Seal::default());
        tokio::spawn(follow(Arc::downgrade(&seal), store));
        seal
    }

    /// Seals `content` under `name`; `None` while the key is not known.
    pub fn sign(&self, name: &str, content: &[u8]) -> Option<[u8; SEAL_LEN]> {
        Some(self.keys().current?.mac(name, content).finalize().into_bytes().into())
    }

    /// Tells whether `seal` is that of `content` under `name`. Compares in constant time.
    pub fn fits(&self, name: &str, content: &[u8], seal: &[u8]) -> bool {
        let Keys { current, previous } = self.keys();
        let fits =
            [current, previous].into_iter().flatten().any(|key| key.mac(name, content).verify_slice(seal).is_ok());
        if !fits {
            self.misfit.notify_one();
        }
        fits
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
            Err(error) => tracing::debug!(%error, "the key of seals could not be read"),
        }
        sleep(REFRESH_APART).await;
        if seal.keys().current.is_some() {
            // A seal that does not fit may be of a key that is newer than ours.
            let _ = timeout(REFRESH, seal.misfit.notified()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seal_fits_its_content_under_its_name_alone() {
        let seal = Seal::with_key(SealKey::random());
        let made = seal.sign("channel", b"text").unwrap();
        assert!(seal.fits("channel", b"text", &made));
        for (name, content) in [("channel", "other"), ("other", "text"), ("channe", "ltext"), ("", "channel\0text")] {
            assert!(!seal.fits(name, content.as_bytes(), &made), "{name:?} {content:?}");
        }
        assert!(!seal.fits("channel", b"text", &made[..31]));
        assert!(!seal.fits("channel", b"text", &[]));
        assert!(!Seal::with_key(SealKey::random()).fits("channel", b"text", &made));
    }

    #[test]
    fn seal_of_the_key_before_fits_until_the_key_changes_again() {
        let seal = Seal::with_key(SealKey::random());
        let made = seal.sign("name", b"text").unwrap();
        seal.set(SealKey::random());
        assert!(seal.fits("name", b"text", &made));
        assert_ne!(seal.sign("name", b"text").unwrap(), made);
        seal.set(SealKey::random());
        assert!(!seal.fits("name", b"text", &made));
    }

    #[test]
    fn unknown_key_seals_nothing_and_fits_nothing() {
        let seal = Seal::default();
        assert_eq!(seal.sign("name", b"text"), None);
        assert!(!seal.fits("name", b"text", &[0; SEAL_LEN]));
    }
}

//! The secret key of seals, which the store has.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// A secret that the processes of one installation share.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SealKey([u8; 32]);

impl SealKey {
    pub const fn from_bytes(bytes: [u8; 32]) -> SealKey {
        SealKey(bytes)
    }

    /// # Panics
    /// If the operating system has no random bytes.
    pub fn random() -> SealKey {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).expect("the operating system has random bytes");
        SealKey(bytes)
    }

    pub(crate) fn mac(&self, name: &str, content: &[u8]) -> Hmac<Sha256> {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&self.0).expect("a key may have any length");
        // A name contains no zero byte, so different pairs of name and content are different texts.
        mac.update(name.as_bytes());
        mac.update(&[0]);
        mac.update(content);
        mac
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(..)")
    }
}

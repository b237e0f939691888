//! New codes for links whose own code is taken, refused or absent.
//!
//! A new code follows from the link and its owner, so that a second import of the same row finds the link of the first.

use sha2::{Digest, Sha256};
use tern_common::{Id, ShortCode};

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Bytes below this multiple of 62 give each character of the alphabet equally often.
const UNBIASED: u8 = 248;

/// Returns the code of `length` characters that is the choice number `choice` for a link.
/// `own` is the code that the link had, or the empty text.
pub(super) fn derived_code(length: usize, owner: Id, own: &str, target: &str, choice: u32) -> ShortCode {
    for round in 0_u32.. {
        let mut text = String::with_capacity(length);
        for block in 0_u32.. {
            let digest = Sha256::new()
                .chain_update(owner.get().to_le_bytes())
                .chain_update(choice.to_le_bytes())
                .chain_update(round.to_le_bytes())
                .chain_update(block.to_le_bytes())
                .chain_update(own)
                .chain_update([0])
                .chain_update(target)
                .finalize();
            let characters = digest.iter().filter(|byte| **byte < UNBIASED).map(|byte| BASE62[usize::from(byte % 62)]);
            text.extend(characters.take(length - text.len()).map(char::from));
            if text.len() == length {
                break;
            }
        }
        // A reserved word needs another round.
        if let Ok(code) = ShortCode::parse(&text) {
            return code;
        }
    }
    unreachable!("each round has another text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_code_follows_from_link_owner_and_choice() {
        let id = |id| Id::new(id).unwrap();
        let code = derived_code(6, id(1), "abc", "https://example.com/", 0);
        assert_eq!(code.as_str().len(), 6);
        assert_eq!(code, derived_code(6, id(1), "abc", "https://example.com/", 0));
        for other in [
            derived_code(6, id(2), "abc", "https://example.com/", 0),
            derived_code(6, id(1), "xyz", "https://example.com/", 0),
            derived_code(6, id(1), "abc", "https://example.com/x", 0),
            derived_code(6, id(1), "abc", "https://example.com/", 1),
        ] {
            assert_ne!(code, other);
        }
        assert_eq!(derived_code(64, id(1), "", "https://example.com/", 0).as_str().len(), 64);
    }
}

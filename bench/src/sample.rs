//! Links to measure with: always the same, and as many as one likes.

use std::fmt::Write;

use tern_common::served_link::LinkRow;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const CODES: u64 = 62u64.pow(6);

/// The code of the `n`th link: six characters in no visible order, different for each `n` below 62^6.
pub fn code(n: u64) -> [u8; 6] {
    // Odd and no multiple of 31, so a permutation.
    let mut mixed = ((u128::from(n) * 34_359_738_337) % u128::from(CODES)) as u64;
    std::array::from_fn(|_| {
        let digit = BASE62[(mixed % 62) as usize];
        mixed /= 62;
        digit
    })
}

pub fn text(code: &[u8; 6]) -> &str {
    std::str::from_utf8(code).unwrap_or_default()
}

/// Every eighth link is deactivated.
pub fn is_active(n: u64) -> bool {
    n % 8 != 7
}

/// Calls `take` with the links `0..count`, whose targets have 36 to 75 bytes; `version` is part of them.
pub fn each(range: std::ops::Range<u64>, version: u64, mut take: impl FnMut(LinkRow<&str>)) {
    let mut target = String::new();
    for n in range {
        target.clear();
        // Writing to a string cannot fail.
        let _ = write!(target, "https://www.example.com/{:08}/{version}/", n % 100_000_000);
        target.extend(std::iter::repeat_n('x', (n * 7 % 40) as usize));
        let code = code(n);
        let (url_id, owner_id) = (n as i64 + 1, 1 + (n % 1_000) as i64);
        take(LinkRow { url_id, owner_id, is_active: is_active(n), ..LinkRow::plain(text(&code), target.as_str()) });
    }
}

/// Numbers below `below`, in no order, always the same.
pub fn numbers(below: u64) -> impl Iterator<Item = u64> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    std::iter::from_fn(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        Some(((u128::from(state) * u128::from(below)) >> 64) as u64)
    })
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Hit,
    Miss,
    Gone,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Hit, Kind::Miss, Kind::Gone];
}

/// Codes to ask a map of `links` links for.
pub fn queries(kind: Kind, links: u64, count: usize) -> Vec<[u8; 6]> {
    let wanted = numbers(links).map(|n| match kind {
        Kind::Hit => n - u64::from(!is_active(n)),
        Kind::Miss => n + links,
        Kind::Gone => (n | 7).min(links - 1 - (links % 8)),
    });
    wanted.take(count).map(code).collect()
}

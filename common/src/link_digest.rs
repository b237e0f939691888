//! Digests of links, which the store and a redirector compute alike, and their sums.
//!
//! A bucket has the links of 4,096 consecutive ids. Its sum is the exclusive or of their digests. An audit compares the
//! sums of the store with those of the map. The function `link_digest` of the PostgreSQL schema computes the same digests.

use std::collections::HashMap;
use std::io::Write;

use md5::{Digest, Md5};

use crate::Id;
use crate::served_link::{LinkEncoder, LinkRow, ServedLink};

/// The sums of the buckets that have links.
pub type LinkSums = HashMap<Bucket, u64>;

/// The number of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(i64);

impl Bucket {
    /// The number of ids in a bucket.
    pub const IDS: i64 = 1 << Bucket::SHIFT;
    const SHIFT: u32 = 12;

    /// Returns the bucket with a number of the store.
    pub const fn new(number: i64) -> Bucket {
        Bucket(number)
    }

    /// Returns the bucket of a url.
    pub const fn of(url_id: Id) -> Bucket {
        Bucket(url_id.get() >> Bucket::SHIFT)
    }

    pub const fn first_id(self) -> i64 {
        self.0 << Bucket::SHIFT
    }

    pub const fn last_id(self) -> i64 {
        self.first_id() + (Bucket::IDS - 1)
    }
}

/// The key of the digests in one database.
///
/// The exclusive or of digests is no secure hash. Without the key, the author of a forged snapshot file cannot match it.
#[derive(Clone, PartialEq, Eq)]
pub struct DigestKey(String);

impl DigestKey {
    pub fn new(key: String) -> DigestKey {
        DigestKey(key)
    }
}

impl std::fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DigestKey(..)")
    }
}

/// Computes digests of links, and reuses its memory.
#[derive(Debug)]
pub struct LinkDigester {
    key: DigestKey,
    text: Vec<u8>,
    encoder: LinkEncoder,
}

impl LinkDigester {
    pub fn new(key: DigestKey) -> LinkDigester {
        LinkDigester { key, text: Vec::new(), encoder: LinkEncoder::default() }
    }

    /// Returns the digest of a link.
    ///
    /// `None` if its bytes are not those into which its fields are encoded, so that the link is damaged.
    pub fn digest(&mut self, link: ServedLink<'_>) -> Option<u64> {
        let row = link.to_row()?;
        // A plain link has no bytes beside its fields.
        let is_sound = link.is_plain() || self.encoder.check(&row) == Ok(link);
        is_sound.then(|| self.digest_row(&row))
    }

    /// Returns the digest of a row.
    pub fn digest_row(&mut self, row: &LinkRow<impl AsRef<str>>) -> u64 {
        self.text.clear();
        write_fields(row, &self.key, &mut self.text).expect("a vector accepts all bytes");
        let digest = short_md5(&self.text);
        if !row.is_exhausted {
            return digest;
        }
        self.text.clear();
        write!(self.text, "{}exhausted {}", self.key.0, row.url_id).expect("a vector accepts all bytes");
        digest ^ short_md5(&self.text)
    }
}

/// Writes the fields of a row except `is_exhausted`, which has a digest of its own, since it changes apart from the row.
fn write_fields(row: &LinkRow<impl AsRef<str>>, key: &DigestKey, out: &mut Vec<u8>) -> std::io::Result<()> {
    // Each field is named, so that a new one has to be added here and to the function `link_digest` of PostgreSQL.
    let LinkRow {
        url_id,
        owner_id,
        short_code,
        original_url,
        is_active,
        expires_at,
        starts_at,
        expired_url,
        redirect_status,
        forward_query,
        max_clicks,
        is_exhausted: _,
        rules,
        split,
    } = row;
    let (code, target) = (short_code.as_ref(), original_url.as_ref());
    let active = if *is_active { 't' } else { 'f' };
    write!(out, "{}{url_id} {owner_id} {active} {code} {target}", key.0)?;
    if let Some(end) = expires_at {
        write!(out, "\ne{}", end.unix_seconds())?;
    }
    if let Some(start) = starts_at {
        write!(out, "\ns{}", start.unix_seconds())?;
    }
    if let Some(target) = expired_url {
        write!(out, "\nu{}", target.as_ref())?;
    }
    if let Some(status) = redirect_status {
        write!(out, "\nr{status}")?;
    }
    if let Some(forward) = forward_query {
        write!(out, "\nq{forward}")?;
    }
    if let Some(limit) = max_clicks {
        write!(out, "\nm{limit}")?;
    }
    if let Some(rules) = rules {
        write!(out, "\nR{rules}")?;
    }
    if let Some(split) = split {
        write!(out, "\nS{split}")?;
    }
    Ok(())
}

/// Returns the first 64 bits of the MD5 of a text.
fn short_md5(text: &[u8]) -> u64 {
    let digest = Md5::digest(text);
    u64::from_be_bytes(*digest.first_chunk().expect("an MD5 has 16 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::served_link::text_range;

    #[test]
    fn digest_of_a_link_is_that_of_its_row_unless_its_bytes_are_damaged() {
        let mut digester = LinkDigester::new(DigestKey::new("0123456789abcdef".to_owned()));
        let plain = LinkRow::plain("CODE12", "https://example.com/");
        let split = r#"[{"target":"https://a.example/","weight":1},{"target":"https://münchen.example/ü","weight":2}]"#;
        let rules = r#"[{"target":"https://a.example/","if":[{"type":"country","value":"AT"}]}]"#;
        let rich = LinkRow {
            original_url: "https://münchen.example/{1}",
            expires_at: Some(crate::Timestamp::from_unix_seconds(2_000)),
            starts_at: Some(crate::Timestamp::from_unix_seconds(-1)),
            expired_url: Some("https://münchen.example/ü"),
            redirect_status: Some(307),
            forward_query: Some(false),
            max_clicks: Some(7),
            is_exhausted: true,
            rules: Some(rules.to_owned()),
            split: Some(split.to_owned()),
            ..plain.clone()
        };
        let seen = [plain, rich].map(|row| {
            let bytes = LinkEncoder::default().encode(&row).unwrap().bytes().to_vec();
            let mut digest = |bytes: &[u8]| {
                LinkRow::decode(bytes)?;
                let text = std::str::from_utf8(&bytes[text_range(bytes.first_chunk()?)]).ok()?;
                digester.digest(ServedLink::decode(bytes, text))
            };
            let whole = digest(&bytes).unwrap();
            for at in 0..bytes.len() {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1;
                assert_ne!(digest(&damaged), Some(whole), "byte {at} of {row:?}");
            }
            assert_eq!(digester.digest_row(&row), whole);
            whole
        });
        // As `link_digest` and `exhaustion_digest` of PostgreSQL compute them.
        assert_eq!(seen.map(u64::cast_signed), [-4_317_791_544_207_668_745, -2_001_990_527_170_491_079]);
    }

    #[test]
    fn bucket_has_4096_ids() {
        let bucket = |id| Bucket::of(Id::new(id).unwrap());
        assert_eq!((bucket(1), bucket(4095), bucket(4096)), (Bucket(0), Bucket(0), Bucket(1)));
        assert_eq!((Bucket(1).first_id(), Bucket(1).last_id()), (4096, 8191));
        assert_eq!(bucket(i64::MAX).last_id(), i64::MAX);
    }
}

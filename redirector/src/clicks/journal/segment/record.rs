//! The record of the journal's format: one click as bytes. The module does no I/O.
//!
//! Integers are little-endian. A record begins at a multiple of 8:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 4 | length of the record without padding; 0 where there is none |
//! | 4 | 4 | CRC-32C of the journal's id and the record from offset 8 to its end |
//! | 8 | 8 | sequence: the journal's records are numbered from 1 |
//! | 16 | 8 | time of the answer, microseconds since the Unix epoch |
//! | 24 | 8 | id of the url |
//! | 32 | 8 | id of its owner |
//! | 40 | 1 | length of the short code |
//! | 41 | 1 | the client's network: 0 unknown, 4, or 6 |
//! | 42 | 2 | length of the target |
//! | 44 | 2 | length of the user agent |
//! | 46 | 2 | length of the referrer |
//! | 48 | 8 | the network: 3 bytes of an IPv4 address, or 6 of an IPv6 address, then zeros |
//! | 56 | | short code, target, user agent, referrer |
//!
//! The checksum covers the journal's id, so that bytes of another journal never pass. Older bytes of the same journal have
//! a lower sequence.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, UNIX_EPOCH};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use tern_common::click::JournalId;
use tern_common::visitor::Signs;
use tern_common::{Click, Id, ShortCode, TargetUrl, Visitor};

use super::client_text;

/// Bytes before the texts.
const FIXED: usize = 56;

/// The most bytes of a user agent that are stored. More bytes do not distinguish browsers any better.
pub const MAX_USER_AGENT: usize = 256;
/// The most bytes of a referrer that are stored.
pub const MAX_REFERRER: usize = 512;

/// Bytes of the longest record, with padding.
pub const MAX_LEN: usize =
    (FIXED + ShortCode::MAX_LEN + TargetUrl::MAX_LEN + MAX_USER_AGENT + MAX_REFERRER).next_multiple_of(ALIGNMENT);

/// The alignment of records: each begins at a multiple of this offset.
pub const ALIGNMENT: usize = 8;

/// A click that the redirect path records. It borrows its texts, and has only those data of the client that may be stored.
#[derive(Clone, Copy, Debug)]
pub struct NewClick<'a> {
    pub url_id: Id,
    pub owner_id: Id,
    pub short_code: &'a str,
    /// The target as the admin wrote it, not in its header form.
    pub original_url: &'a str,
    /// Microseconds since the Unix epoch.
    pub at_micros: u64,
    pub client: Network,
    /// The header fields as the client sent them.
    pub user_agent: &'a [u8],
    pub referrer: &'a [u8],
}

/// The network of a client: /24 of IPv4, /48 of IPv6. The rest of the address is not stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Network {
    kind: u8,
    prefix: [u8; 8],
}

impl Network {
    pub fn of(client: IpAddr) -> Network {
        let mut prefix = [0; 8];
        match client {
            IpAddr::V4(address) if address.is_unspecified() => Network::default(),
            IpAddr::V4(address) => {
                prefix[..3].copy_from_slice(&address.octets()[..3]);
                Network { kind: 4, prefix }
            }
            IpAddr::V6(address) => {
                prefix[..6].copy_from_slice(&address.octets()[..6]);
                Network { kind: 6, prefix }
            }
        }
    }

    fn to_net(self) -> Option<IpNet> {
        let [a, b, c, ..] = self.prefix;
        match self.kind {
            4 => Ipv4Net::new(Ipv4Addr::new(a, b, c, 0), 24).ok().map(IpNet::V4),
            6 => {
                let mut octets = [0; 16];
                octets[..6].copy_from_slice(&self.prefix[..6]);
                Ipv6Net::new(Ipv6Addr::from(octets), 48).ok().map(IpNet::V6)
            }
            _ => None,
        }
    }
}

/// The value that the checksums of one journal start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(u32);

impl Seed {
    pub fn new(journal: JournalId) -> Seed {
        Seed(crc32c::crc32c(&journal.0.to_le_bytes()))
    }
}

impl<'a> NewClick<'a> {
    fn texts(&self) -> [&'a [u8]; 4] {
        let cut = |text: &'a [u8], max: usize| &text[..text.len().min(max)];
        [
            cut(self.short_code.as_bytes(), ShortCode::MAX_LEN),
            cut(self.original_url.as_bytes(), TargetUrl::MAX_LEN),
            cut(self.user_agent, MAX_USER_AGENT),
            cut(client_text::without_query(self.referrer), MAX_REFERRER),
        ]
    }

    /// Returns the bytes of the click's record, with padding.
    pub fn record_len(&self) -> usize {
        (FIXED + self.texts().iter().map(|text| text.len()).sum::<usize>()).next_multiple_of(ALIGNMENT)
    }

    /// Writes the click's record to the start of `bytes`, which must have room for it.
    pub fn write(&self, bytes: &mut [u8], seed: Seed, sequence: u64) {
        let texts = self.texts();
        let mut end = FIXED;
        for text in texts {
            bytes[end..end + text.len()].copy_from_slice(text);
            end += text.len();
        }
        let [code, target, user_agent, referrer] = texts.map(|text| text.len());
        bytes[8..16].copy_from_slice(&sequence.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.at_micros.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.url_id.get().to_le_bytes());
        bytes[32..40].copy_from_slice(&self.owner_id.get().to_le_bytes());
        bytes[40] = narrow(code);
        bytes[41] = self.client.kind;
        bytes[42..44].copy_from_slice(&narrow::<u16>(target).to_le_bytes());
        bytes[44..46].copy_from_slice(&narrow::<u16>(user_agent).to_le_bytes());
        bytes[46..48].copy_from_slice(&narrow::<u16>(referrer).to_le_bytes());
        bytes[48..56].copy_from_slice(&self.client.prefix);
        let checksum = crc32c::crc32c_append(seed.0, &bytes[8..end]);
        bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
        bytes[..4].copy_from_slice(&narrow::<u32>(end).to_le_bytes());
    }
}

/// Converts the length of a text. The constants above bound lengths, so each fits.
fn narrow<T: TryFrom<usize> + Default>(len: usize) -> T {
    T::try_from(len).unwrap_or_default()
}

/// A record whose checksum is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub sequence: u64,
    /// Bytes of the record, with padding.
    pub len: usize,
    content: &'a [u8],
}

/// Returns the bytes of the record at the start of `bytes`, with padding, and its number, both unchecked. `None` where no
/// record begins.
pub fn length(bytes: &[u8]) -> Option<(usize, u64)> {
    let len = u32_at(bytes, 0)? as usize;
    let is_record = (FIXED..=MAX_LEN).contains(&len);
    u64_at(bytes, 8).filter(|_| is_record).map(|sequence| (len.next_multiple_of(ALIGNMENT), sequence))
}

/// Reads the record at the start of `bytes`. `None` if they do not begin with a record of this journal.
pub fn read(bytes: &[u8], seed: Seed) -> Option<Record<'_>> {
    let (len, sequence) = length(bytes)?;
    let content = bytes.get(..u32_at(bytes, 0)? as usize)?;
    let checksum = crc32c::crc32c_append(seed.0, &content[8..]);
    (u32_at(content, 4)? == checksum).then_some(Record { sequence, len, content })
}

impl Record<'_> {
    /// Returns the click. `None` if this build cannot read the record.
    pub fn to_click(self) -> Option<Click> {
        let bytes = self.content;
        let id = |offset| Id::new(u64_at(bytes, offset)?.cast_signed());
        let length = |offset| Some(usize::from(u16::from_le_bytes(array_at(bytes, offset)?)));
        let mut rest = bytes.get(FIXED..)?;
        let mut cut = |len: usize| {
            let (text, after) = rest.split_at_checked(len)?;
            rest = after;
            Some(text)
        };
        let short_code = cut(usize::from(*bytes.get(40)?))?;
        let original_url = cut(length(42)?)?;
        let user_agent = cut(length(44)?)?;
        let referrer = cut(length(46)?)?;
        Some(Click {
            url_id: id(24)?,
            owner_id: id(32)?,
            short_code: std::str::from_utf8(short_code).ok()?.to_owned(),
            original_url: std::str::from_utf8(original_url).ok()?.to_owned(),
            at: UNIX_EPOCH.checked_add(Duration::from_micros(u64_at(bytes, 16)?))?,
            client: Network { kind: *bytes.get(41)?, prefix: array_at(bytes, 48)? }.to_net(),
            user_agent: client_text::clean(user_agent),
            referrer: client_text::clean(referrer).map(client_text::without_user),
            visitor: Visitor::of_request(&Signs { user_agent, ..Signs::default() }),
            source: None,
            is_counted_only: false,
        })
    }
}

fn array_at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    array_at(bytes, offset).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    array_at(bytes, offset).map(u64::from_le_bytes)
}

/// Returns a click without a client.
#[cfg(test)]
pub fn click_on(target: &str) -> NewClick<'_> {
    NewClick {
        url_id: Id::new(1).expect("it is positive"),
        owner_id: Id::new(1).expect("it is positive"),
        short_code: "CODE12",
        original_url: target,
        at_micros: 0,
        client: Network::default(),
        user_agent: b"curl/8",
        referrer: b"",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SEED: Seed = Seed(7);

    fn answered<'a>(target: &'a str, user_agent: &'a [u8], referrer: &'a [u8]) -> NewClick<'a> {
        NewClick {
            url_id: Id::new(7).unwrap(),
            owner_id: Id::new(3).unwrap(),
            short_code: "CODE12",
            original_url: target,
            at_micros: 1_700_000_000_123_456,
            client: Network::of("203.0.113.77".parse().unwrap()),
            user_agent,
            referrer,
        }
    }

    fn written(click: &NewClick<'_>, sequence: u64) -> Vec<u8> {
        let mut bytes = vec![0; click.record_len()];
        click.write(&mut bytes, SEED, sequence);
        bytes
    }

    fn click_in(bytes: &[u8]) -> Click {
        read(bytes, SEED).unwrap().to_click().unwrap()
    }

    #[test]
    fn written_record_is_read_unchanged() {
        let click = answered("https://example.com/ä", b"Mozilla/5.0", b"https://news.example/");
        let bytes = written(&click, 41);
        let record = read(&bytes, SEED).unwrap();
        assert_eq!((record.sequence, record.len), (41, bytes.len()));
        let expected = Click {
            url_id: click.url_id,
            owner_id: click.owner_id,
            short_code: "CODE12".to_owned(),
            original_url: "https://example.com/ä".to_owned(),
            at: UNIX_EPOCH + Duration::from_micros(click.at_micros),
            client: Some("203.0.113.0/24".parse().unwrap()),
            user_agent: Some("Mozilla/5.0".to_owned()),
            referrer: Some("https://news.example/".to_owned()),
            visitor: Visitor::of_user_agent(b"Mozilla/5.0"),
            source: None,
            is_counted_only: false,
        };
        assert_eq!(record.to_click(), Some(expected));
    }

    #[test]
    fn journalled_referrer_has_no_query_and_no_fragment() {
        let check = |sent: &str, stored: Option<&str>| {
            let bytes = written(&answered("https://example.com/", b"", sent.as_bytes()), 1);
            assert_eq!(click_in(&bytes).referrer.as_deref(), stored, "{sent:?}");
            assert!(!String::from_utf8_lossy(&bytes).contains("secret"), "not even in the journal: {sent:?}");
        };
        check("https://news.example:8443/a/b?token=secret#there", Some("https://news.example:8443/a/b"));
        check("https://news.example/a#secret?b", Some("https://news.example/a"));
        // The query does not count towards the bound.
        let long = format!("https://news.example/{}", "a".repeat(480));
        check(&format!("{long}?{}", "secret".repeat(100)), Some(&long));
    }

    #[test]
    fn client_address_is_reduced_to_its_network() {
        let check = |client: &str, stored: Option<&str>| {
            let network = Network::of(client.parse().unwrap());
            assert_eq!(network.to_net().map(|net| net.to_string()).as_deref(), stored, "{client}");
        };
        check("203.0.113.77", Some("203.0.113.0/24"));
        check("2001:db8:1:2:3:4:5:6", Some("2001:db8:1::/48"));
        check("0.0.0.0", None);
    }

    #[test]
    fn texts_of_the_client_are_bounded_and_cleaned() {
        let click = click_in(&written(&answered("https://example.com/", &[b'a'; 9000], b"\xff\t ok\x7f "), 1));
        assert_eq!(click.user_agent.unwrap().len(), MAX_USER_AGENT);
        assert_eq!(click.referrer.as_deref(), Some("\u{fffd} ok"));
        let click = click_in(&written(&answered("https://example.com/", b" \t", b""), 1));
        assert_eq!((click.user_agent, click.referrer), (None, None));
        let longest = "a".repeat(TargetUrl::MAX_LEN);
        let click = NewClick { short_code: &"c".repeat(64), ..answered(&longest, &[b'a'; 300], &[b'b'; 600]) };
        assert_eq!(click.record_len(), MAX_LEN);
        assert_eq!(click_in(&written(&click, 1)).original_url, longest);
    }

    #[test]
    fn record_of_another_journal_is_not_read() {
        let bytes = written(&answered("https://example.com/", b"", b""), 1);
        for journal in [JournalId(1), JournalId(2)] {
            assert_eq!(read(&bytes, Seed::new(journal)), None);
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_not_read_as_a_record(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert_eq!(read(&bytes, SEED), None);
        }

        #[test]
        fn record_with_a_flipped_bit_is_not_read(bit in 0usize..8 * 100, sequence: u64) {
            let mut bytes = written(&answered("https://example.com/a/b/c", b"curl/8", b""), sequence);
            let bit = bit % (8 * bytes.len());
            bytes[bit / 8] ^= 1 << (bit % 8);
            // The checksum does not cover the padding.
            let intact = read(&bytes, SEED).is_some_and(|record| {
                record.sequence == sequence && record.to_click().unwrap().original_url == "https://example.com/a/b/c"
            });
            let padding = bit / 8 >= FIXED + "CODE12https://example.com/a/b/ccurl/8".len();
            prop_assert_eq!(intact, padding);
        }
    }
}

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
//! | 41 | 1 | the client's network: 0 unknown, 4, or 6; plus 128 if the record has the bytes from 56 to 63 |
//! | 42 | 2 | length of the target |
//! | 44 | 2 | length of the user agent |
//! | 46 | 2 | length of the referrer |
//! | 48 | 8 | the network: 3 bytes of an IPv4 address, or 6 of an IPv6 address, then zeros |
//! | 56 | 1 | marks: 1 prefetch, 2 QR code, 4 minimal |
//! | 57 | 3 | primary subtag of the first preferred language, then zeros |
//! | 60 | 2 | country that a proxy named; zeros if none did |
//! | 62 | 1 | length of the `utm_source` of a forwarded query |
//! | 63 | 1 | what chose the target: 0 where the link has neither rules nor a split; otherwise as in [`Choice`] |
//! | 64 | | short code, target, user agent, referrer, `utm_source` |
//!
//! A minimal record has the text form of the visitor in place of the user agent, and an origin in place of the referrer.
//! Records of the previous version lack the bytes from 56 to 63 and the `utm_source`, so their texts begin at 56.
//!
//! The checksum covers the journal's id, so that bytes of another journal never pass. Older bytes of the same journal have
//! a lower sequence.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, UNIX_EPOCH};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use tern_common::click::JournalId;
use tern_common::click_source::{QR, decoded_source};
use tern_common::routing::Choice;
use tern_common::visitor::Signs;
use tern_common::{Click, Id, ShortCode, TargetUrl, Visitor};

use super::client_text;

/// Bytes before the texts.
const FIXED: usize = 64;

/// Bytes before the texts of a record of the previous version.
const FORMER_FIXED: usize = 56;

/// The bit of the network's byte that records of the previous version lack.
const HAS_FIELDS: u8 = 128;

const PREFETCH: u8 = 1;
const FROM_QR: u8 = 2;
const MINIMAL: u8 = 4;

/// The most bytes of a user agent that are stored. More bytes do not distinguish browsers any better.
pub const MAX_USER_AGENT: usize = 256;
/// The most bytes of a referrer that are stored.
pub const MAX_REFERRER: usize = 512;
/// The most bytes of the `utm_source` of a forwarded query that are stored, as the client sent it.
pub const MAX_SOURCE: usize = 192;

/// Bytes of the longest record, with padding.
pub const MAX_LEN: usize =
    (FIXED + ShortCode::MAX_LEN + TargetUrl::MAX_LEN + MAX_USER_AGENT + MAX_REFERRER + MAX_SOURCE)
        .next_multiple_of(ALIGNMENT);

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
    /// The reason for this target, if the link has rules or a split.
    pub choice: Option<Choice>,
    /// Microseconds since the Unix epoch.
    pub at_micros: u64,
    pub client: Network,
    pub sent: Sent<'a>,
}

/// The part of a request that its click stores, as the client sent it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent<'a> {
    /// The user agent, or the text form of the visitor if the click is minimal.
    pub user_agent: &'a [u8],
    /// The referrer, or its origin if the click is minimal.
    pub referrer: &'a [u8],
    /// The `utm_source` of a forwarded query, still encoded.
    pub source: &'a [u8],
    /// The primary subtag of the first preferred language.
    pub language: [u8; 3],
    /// The country that a trusted proxy named.
    pub country: [u8; 2],
    /// Whether a browser loaded the page in advance.
    pub is_prefetch: bool,
    /// Whether the request has the mark of a QR code.
    pub is_from_qr: bool,
    /// Whether no user agent, path of a referrer or network may be stored.
    pub is_minimal: bool,
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
    fn texts(&self) -> [&'a [u8]; 5] {
        let cut = |text: &'a [u8], max: usize| &text[..text.len().min(max)];
        [
            cut(self.short_code.as_bytes(), ShortCode::MAX_LEN),
            cut(self.original_url.as_bytes(), TargetUrl::MAX_LEN),
            cut(self.sent.user_agent, MAX_USER_AGENT),
            cut(client_text::without_query(self.sent.referrer), MAX_REFERRER),
            cut(self.sent.source, MAX_SOURCE),
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
        let [code, target, user_agent, referrer, source] = texts.map(|text| text.len());
        let Sent { language, country, is_prefetch, is_from_qr, is_minimal, .. } = self.sent;
        let mark = |is_set, mark| if is_set { mark } else { 0 };
        bytes[8..16].copy_from_slice(&sequence.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.at_micros.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.url_id.get().to_le_bytes());
        bytes[32..40].copy_from_slice(&self.owner_id.get().to_le_bytes());
        bytes[40] = narrow(code);
        bytes[41] = self.client.kind | HAS_FIELDS;
        bytes[42..44].copy_from_slice(&narrow::<u16>(target).to_le_bytes());
        bytes[44..46].copy_from_slice(&narrow::<u16>(user_agent).to_le_bytes());
        bytes[46..48].copy_from_slice(&narrow::<u16>(referrer).to_le_bytes());
        bytes[48..56].copy_from_slice(&self.client.prefix);
        bytes[56] = mark(is_prefetch, PREFETCH) | mark(is_from_qr, FROM_QR) | mark(is_minimal, MINIMAL);
        bytes[57..60].copy_from_slice(&language);
        bytes[60..62].copy_from_slice(&country);
        bytes[62] = narrow(source);
        bytes[63] = self.choice.map_or(0, Choice::to_byte);
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
    let is_record = (FORMER_FIXED..=MAX_LEN).contains(&len);
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
        let network = *bytes.get(41)?;
        let has_fields = network & HAS_FIELDS != 0;
        let fields = if has_fields { array_at(bytes, FORMER_FIXED)? } else { [0; FIXED - FORMER_FIXED] };
        let [marks, a, b, c, d, e, source_len, choice] = fields;
        let mut rest = bytes.get(if has_fields { FIXED } else { FORMER_FIXED }..)?;
        let mut cut = |len: usize| {
            let (text, after) = rest.split_at_checked(len)?;
            rest = after;
            Some(text)
        };
        let short_code = cut(usize::from(*bytes.get(40)?))?;
        let original_url = cut(length(42)?)?;
        let user_agent = cut(length(44)?)?;
        let referrer = cut(length(46)?)?;
        let source = cut(usize::from(source_len))?;
        let is_minimal = marks & MINIMAL != 0;
        let is_prefetch = marks & PREFETCH != 0;
        let visitor = if is_minimal {
            Visitor::parse(std::str::from_utf8(user_agent).ok()?)
        } else {
            Visitor::of_request(&Signs { user_agent, is_prefetch, language: [a, b, c], country: [d, e] })
        };
        Some(Click {
            url_id: id(24)?,
            owner_id: id(32)?,
            short_code: std::str::from_utf8(short_code).ok()?.to_owned(),
            original_url: std::str::from_utf8(original_url).ok()?.to_owned(),
            at: UNIX_EPOCH.checked_add(Duration::from_micros(u64_at(bytes, 16)?))?,
            client: Network { kind: network & !HAS_FIELDS, prefix: array_at(bytes, 48)? }.to_net(),
            user_agent: client_text::clean(user_agent).filter(|_| !is_minimal),
            referrer: client_text::clean(referrer).map(client_text::without_user),
            visitor,
            source: if marks & FROM_QR != 0 { Some(QR.to_owned()) } else { decoded_source(source) },
            choice: Choice::of_byte(choice),
            is_minimal,
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
        choice: None,
        at_micros: 0,
        client: Network::default(),
        sent: Sent { user_agent: b"curl/8", ..Sent::default() },
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;

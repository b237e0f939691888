//! A link as bytes. Knows nothing of where they lie.
//!
//! Flags (1 byte); length of the code (1); length of the target (2); where a flag says so, length of the location (4);
//! id of the url and of its owner, 4 bytes each, or 8 where a flag says so; code; target; location, where it differs
//! from the target. Integers are little-endian. For nearly every link that is 12 bytes beside code and target.

use std::ops::Range;

use tern_common::Id;

use super::LinkView;

/// As much of a record as tells how long it is. Every record is at least as long.
pub(super) const HEAD: usize = 8;

const ACTIVE: u8 = 1;
const WIDE_IDS: u8 = 2;
const OTHER_LOCATION: u8 = 4;

/// Where the parts of a record are.
struct Layout {
    flags: u8,
    ids: usize,
    code: usize,
    target: usize,
    location: usize,
    end: usize,
}

impl Layout {
    #[inline]
    fn of(head: &[u8]) -> Layout {
        let flags = head[0];
        let code_len = usize::from(head[1]);
        let target_len = usize::from(u16::from_le_bytes([head[2], head[3]]));
        let (location_len, ids) = if flags & OTHER_LOCATION == 0 {
            (0, 4)
        } else {
            (u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize, 8)
        };
        let code = ids + if flags & WIDE_IDS == 0 { 8 } else { 16 };
        let target = code + code_len;
        let location = target + target_len;
        Layout { flags, ids, code, target, location, end: location + location_len }
    }
}

/// The length of the record that begins with `head`, which holds [`HEAD`] bytes at least.
#[inline]
pub(super) fn len(head: &[u8]) -> usize {
    Layout::of(head).end
}

/// Where the text of the record is: the code, the target, and the location if it differs.
#[inline]
pub(super) fn text(record: &[u8]) -> Range<usize> {
    let layout = Layout::of(record);
    layout.code..layout.end
}

#[inline]
pub(super) fn code(record: &[u8]) -> &[u8] {
    let layout = Layout::of(record);
    &record[layout.code..layout.target]
}

/// A record to be: nothing else gets into the map.
#[derive(Debug, Default)]
pub(super) struct Encoded(Vec<u8>);

impl Encoded {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Becomes the record of `link`. Keeps its room from one to the next.
    pub(super) fn set(&mut self, link: LinkView<'_>) {
        let LinkView { code, url_id, owner_id, active, given, other_location } = link;
        let narrow = |id: Id| u32::try_from(id.get()).ok();
        let ids = narrow(url_id).zip(narrow(owner_id));
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        let flags =
            flag(active, ACTIVE) | flag(ids.is_none(), WIDE_IDS) | flag(other_location.is_some(), OTHER_LOCATION);
        let code_len = u8::try_from(code.len()).expect("a short code has at most 64 bytes");
        let target_len = u16::try_from(given.len()).expect("a target has at most 8192 bytes").to_le_bytes();
        self.0.clear();
        self.0.extend([flags, code_len, target_len[0], target_len[1]]);
        if let Some(location) = other_location {
            let len = u32::try_from(location.len()).expect("a location has not many times the target's bytes");
            self.0.extend(len.to_le_bytes());
        }
        match ids {
            Some((url_id, owner_id)) => self.0.extend((u64::from(owner_id) << 32 | u64::from(url_id)).to_le_bytes()),
            None => self.0.extend((i128::from(owner_id.get()) << 64 | i128::from(url_id.get())).to_le_bytes()),
        }
        self.0.extend(code.as_bytes());
        self.0.extend(given.as_bytes());
        self.0.extend(other_location.unwrap_or_default().as_bytes());
    }
}

/// The record as a link. `text` is the record's text, as a string.
#[inline]
pub(super) fn decode<'a>(record: &'a [u8], text: &'a str) -> LinkView<'a> {
    let layout = Layout::of(record);
    let part = |from: usize, to: usize| &text[from - layout.code..to - layout.code];
    let (url_id, owner_id) = if layout.flags & WIDE_IDS == 0 {
        let id = |at| i64::from(u32::from_le_bytes(bytes(record, at)));
        (id(layout.ids), id(layout.ids + 4))
    } else {
        let id = |at| i64::from_le_bytes(bytes(record, at));
        (id(layout.ids), id(layout.ids + 8))
    };
    let id = |id| Id::new(id).expect("records are made of links, whose ids are positive");
    let has_other = layout.flags & OTHER_LOCATION != 0;
    LinkView {
        code: part(layout.code, layout.target),
        url_id: id(url_id),
        owner_id: id(owner_id),
        active: layout.flags & ACTIVE != 0,
        given: part(layout.target, layout.location),
        other_location: has_other.then(|| part(layout.location, layout.end)),
    }
}

#[inline]
fn bytes<const N: usize>(record: &[u8], at: usize) -> [u8; N] {
    *record[at..].first_chunk().expect("a record is as long as its head says")
}

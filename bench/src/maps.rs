//! The maps that are compared, each used as one would use it.

use std::sync::Arc;

use foldhash::fast::RandomState;
use tern_common::served_link::LinkRow;
use tern_common::{ShortCode, TargetUrl};
use tern_redirector::link_map::{LinkMap, LinkMapWriter, MapPin, Replacement};

use crate::sample;

/// A map from code to link, read by many and written by one.
pub trait Map: Sized {
    const NAME: &'static str;
    type Reader: Reader;

    /// With the first `links` links of the sample.
    fn load(links: u64) -> Self;
    fn reader(&self) -> Self::Reader;
    fn put(&mut self, link: LinkRow<&str>);
}

pub trait Reader: Send + 'static {
    /// Appends the location to `into` if the link is there and active, as a reply does.
    fn answer(&self, code: &str, into: &mut Vec<u8>) -> bool;
}

/// Ours.
#[derive(Debug)]
pub struct Ours(pub LinkMapWriter);

impl Map for Ours {
    const NAME: &'static str = "ours";
    type Reader = Arc<LinkMap>;

    fn load(links: u64) -> Ours {
        let (_, mut writer) = LinkMap::new();
        writer.commit(replacement(links, 0));
        Ours(writer)
    }

    fn reader(&self) -> Arc<LinkMap> {
        Arc::clone(self.0.map())
    }

    fn put(&mut self, link: LinkRow<&str>) {
        self.0.put(&link).expect("the sample is sound");
    }
}

/// The first `links` links of the sample, ready to be committed.
pub fn replacement(links: u64, version: u64) -> Replacement {
    let mut replacement = Replacement::default();
    sample::each(0..links, version, |link| replacement.put(&link).expect("the sample is sound"));
    replacement
}

impl Reader for Arc<LinkMap> {
    #[inline]
    fn answer(&self, code: &str, into: &mut Vec<u8>) -> bool {
        MapPin::scope(|pin| match self.find(pin, code) {
            Some(link) if link.active => {
                into.extend_from_slice(link.location().as_bytes());
                true
            }
            _ => false,
        })
    }
}

/// A link as the maps hold it that know no encoding.
#[derive(Debug)]
pub struct Link {
    #[expect(dead_code, reason = "only its room is measured")]
    ids: (i64, i64),
    target: TargetUrl,
    active: bool,
}

impl Link {
    fn of(row: LinkRow<&str>) -> (ShortCode, Link) {
        let code = ShortCode::parse(row.short_code).expect("the sample is sound");
        let target = TargetUrl::parse(row.original_url).expect("the sample is sound");
        (code, Link { ids: (row.url_id, row.owner_id), target, active: row.is_active })
    }
}

/// Copies where the link leads, as a reply does.
#[inline]
fn answered(link: Option<&Link>, into: &mut Vec<u8>) -> bool {
    let active = link.filter(|link| link.active);
    if let Some(link) = active {
        into.extend_from_slice(link.target.location().as_bytes());
    }
    active.is_some()
}

/// Map of `papaya` with a counted reference to each link, as `0011-papaya-is-the-first-link-map` describes it.
///
/// The reference let the queue of clicks share the link.
#[derive(Debug)]
pub struct Papaya(Arc<papaya::HashMap<ShortCode, Arc<Link>, RandomState>>);

impl Map for Papaya {
    const NAME: &'static str = "papaya";
    type Reader = Arc<papaya::HashMap<ShortCode, Arc<Link>, RandomState>>;

    fn load(links: u64) -> Papaya {
        let map = papaya::HashMap::builder().hasher(RandomState::default()).capacity(links as usize).build();
        let mut loaded = Papaya(Arc::new(map));
        sample::each(0..links, 0, |link| loaded.put(link));
        loaded
    }

    fn reader(&self) -> Self::Reader {
        Arc::clone(&self.0)
    }

    fn put(&mut self, link: LinkRow<&str>) {
        let (code, link) = Link::of(link);
        self.0.pin().insert(code, Arc::new(link));
    }
}

impl Reader for Arc<papaya::HashMap<ShortCode, Arc<Link>, RandomState>> {
    #[inline]
    fn answer(&self, code: &str, into: &mut Vec<u8>) -> bool {
        answered(self.pin().get(code).map(|link| &**link), into)
    }
}

/// Takes a lock of a shard for each look-up.
#[derive(Debug)]
pub struct Dash(Arc<dashmap::DashMap<ShortCode, Link, RandomState>>);

impl Map for Dash {
    const NAME: &'static str = "dashmap";
    type Reader = Arc<dashmap::DashMap<ShortCode, Link, RandomState>>;

    fn load(links: u64) -> Dash {
        let map = dashmap::DashMap::with_capacity_and_hasher(links as usize, RandomState::default());
        let mut loaded = Dash(Arc::new(map));
        sample::each(0..links, 0, |link| loaded.put(link));
        loaded
    }

    fn reader(&self) -> Self::Reader {
        Arc::clone(&self.0)
    }

    fn put(&mut self, link: LinkRow<&str>) {
        let (code, link) = Link::of(link);
        self.0.insert(code, link);
    }
}

impl Reader for Arc<dashmap::DashMap<ShortCode, Link, RandomState>> {
    #[inline]
    fn answer(&self, code: &str, into: &mut Vec<u8>) -> bool {
        answered(self.get(code).as_deref(), into)
    }
}

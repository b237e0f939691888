//! The lock-free map from short code to link. It knows nothing of HTTP, of the bus, of SQL.
//!
//! Any number of threads read; one [`LinkMapWriter`] writes, and the replica owns it.
//!
//! Reads hold an epoch guard, which is a thread-local: it must not live across a coroutine's yield,
//! and so a reader gets a look at the link inside a closure, and nothing to take along but a counted reference.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use foldhash::fast::RandomState;
use tern_common::ShortCode;
use tern_common::link::Link;

/// A link under its code.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    pub code: ShortCode,
    pub link: Link,
}

/// Every link, for reading.
#[derive(Debug)]
pub struct LinkMap {
    links: papaya::HashMap<ShortCode, Arc<Entry>, RandomState>,
    /// Whether the map has ever been filled: before that, an absent code says nothing.
    /// Written by the writer after its first load, read at each miss.
    loaded: AtomicBool,
}

/// The right to change a map. There is one for each.
#[derive(Debug)]
pub struct LinkMapWriter(Arc<LinkMap>);

impl LinkMap {
    pub fn new() -> (Arc<LinkMap>, LinkMapWriter) {
        let links = papaya::HashMap::builder().hasher(RandomState::default()).build();
        let map = Arc::new(LinkMap { links, loaded: AtomicBool::new(false) });
        (Arc::clone(&map), LinkMapWriter(map))
    }

    /// Shows `look` what is under `code`. `look` must not yield.
    pub fn find<R>(&self, code: &str, look: impl FnOnce(Option<&Arc<Entry>>) -> R) -> R {
        let links = self.links.pin();
        look(links.get(code))
    }

    /// Shows `look` every link. `look` must not yield, and what it sees may change meanwhile.
    pub fn all<R>(&self, look: impl FnOnce(&mut dyn Iterator<Item = &Entry>) -> R) -> R {
        let links = self.links.pin();
        look(&mut links.values().map(AsRef::as_ref))
    }

    pub fn is_loaded(&self) -> bool {
        self.loaded.load(Ordering::Acquire)
    }

    /// How many links there are, active or not.
    pub fn len(&self) -> usize {
        self.links.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl LinkMapWriter {
    pub fn put(&mut self, code: ShortCode, link: Link) {
        self.0.links.pin().insert(code.clone(), Arc::new(Entry { code, link }));
    }

    /// Answers "gone" for the code from now on, if it is there.
    pub fn deactivate(&mut self, code: &str) {
        let before = self.0.find(code, |entry| entry.cloned());
        if let Some(before) = before {
            self.put(before.code.clone(), Link { active: false, ..before.link.clone() });
        }
    }

    pub fn remove(&mut self, code: &str) {
        self.0.links.pin().remove(code);
    }

    /// Makes the map hold `links` and nothing else, and counts as loaded from then on.
    /// Readers go on meanwhile; each code changes once, at its own moment.
    pub fn replace(&mut self, links: HashMap<ShortCode, Link>) {
        let map = self.0.links.pin();
        map.retain(|code, _| links.contains_key(code));
        for (code, link) in links {
            map.insert(code.clone(), Arc::new(Entry { code, link }));
        }
        drop(map);
        self.0.loaded.store(true, Ordering::Release);
    }

    pub fn map(&self) -> &Arc<LinkMap> {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use tern_common::{Id, TargetUrl};

    use super::*;

    fn link(n: i64) -> Link {
        let target = TargetUrl::parse(&format!("https://example.com/{n}")).unwrap();
        Link { url_id: Id::new(n).unwrap(), owner_id: Id::new(1).unwrap(), target, active: true }
    }

    fn code(n: i64) -> ShortCode {
        ShortCode::parse(&format!("code{n}")).unwrap()
    }

    fn found(map: &LinkMap, code: &str) -> Option<i64> {
        map.find(code, |entry| entry.map(|entry| entry.link.url_id.get()))
    }

    #[test]
    fn a_put_replaces_and_a_removal_removes() {
        let (map, mut writer) = LinkMap::new();
        assert!(!map.is_loaded());
        writer.put(code(1), link(1));
        writer.put(code(2), link(2));
        writer.put(code(1), link(3));
        assert_eq!((found(&map, "code1"), found(&map, "code2"), found(&map, "CODE1")), (Some(3), Some(2), None));
        writer.deactivate("code2");
        writer.deactivate("absent");
        assert!(!map.find("code2", |entry| entry.unwrap().link.active));
        writer.remove("code1");
        writer.remove("absent");
        assert_eq!((found(&map, "code1"), map.len()), (None, 1));
    }

    #[test]
    fn a_replacement_leaves_nothing_of_before() {
        let (map, mut writer) = LinkMap::new();
        writer.put(code(1), link(1));
        writer.put(code(2), link(2));
        writer.replace(HashMap::from([(code(2), link(20)), (code(3), link(30))]));
        assert!(map.is_loaded());
        assert_eq!((found(&map, "code1"), found(&map, "code2"), found(&map, "code3")), (None, Some(20), Some(30)));
        writer.replace(HashMap::new());
        assert!(map.is_empty() && map.is_loaded());
    }

    #[test]
    fn readers_never_miss_a_link_that_is_always_there() {
        let (map, mut writer) = LinkMap::new();
        let all = || (1..=500).map(|n| (code(n), link(n))).collect::<HashMap<_, _>>();
        writer.replace(all());
        let reads = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for n in (1..=500).cycle().take(100_000) {
                        assert_eq!(found(&map, code(n).as_str()), Some(n));
                        reads.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            while reads.load(Ordering::Relaxed) < 150_000 {
                writer.replace(all());
                writer.put(code(7), link(7));
                writer.put(code(501), link(501));
                writer.remove("code501");
            }
        });
    }
}

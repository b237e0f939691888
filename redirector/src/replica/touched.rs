//! The codes that deltas change during an audit, and their links from before.
//!
//! The writer of the map inserts a code before it changes the link. A walk of the map that reads a changed link therefore
//! finds its code here.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tern_common::Id;
use tern_common::link_digest::{DigestKey, LinkDigester};

use crate::link_map::{LinkMap, MapPin};

/// Most codes that are kept, so that a transaction of millions of links does not fill the memory.
const MOST: usize = 100_000;

/// The codes that were changed since an audit began. The writer of the map inserts, and the audit reads.
#[derive(Debug)]
pub(super) struct Touched {
    /// Whether there is any code, so that a walk of an unchanged map takes no lock.
    is_any: AtomicBool,
    /// Whether there were more codes than are kept. None is kept any more, so the audit can correct nothing.
    is_overfull: AtomicBool,
    codes: Mutex<Codes>,
}

#[derive(Debug)]
struct Codes {
    /// `None` for an audit without sums.
    digester: Option<LinkDigester>,
    /// The links before the first change; `None` if there was none.
    links: HashMap<String, Option<Original>>,
}

/// A link as it was when the audit began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Original {
    pub(super) url_id: Id,
    /// `None` if the link was damaged.
    pub(super) digest: Option<u64>,
}

impl Touched {
    pub(super) fn new(key: Option<DigestKey>) -> Touched {
        let codes = Codes { digester: key.map(LinkDigester::new), links: HashMap::new() };
        Touched { is_any: AtomicBool::new(false), is_overfull: AtomicBool::new(false), codes: Mutex::new(codes) }
    }

    /// Inserts a code whose link is not changed yet.
    pub(super) fn insert(&self, code: &str, map: &LinkMap) {
        if self.is_overfull() {
            return;
        }
        let mut codes = self.lock();
        let Codes { digester, links } = &mut *codes;
        if links.len() == MOST {
            *links = HashMap::new();
            self.is_overfull.store(true, Ordering::Release);
        } else if !links.contains_key(code) {
            let original = digester.as_mut().and_then(|digester| {
                MapPin::scope(|pin| {
                    let link = map.find(pin, code)?;
                    Some(Original { url_id: link.url_id, digest: digester.digest(link) })
                })
            });
            links.insert(code.to_owned(), original);
            self.is_any.store(true, Ordering::Release);
        }
    }

    pub(super) fn is_overfull(&self) -> bool {
        self.is_overfull.load(Ordering::Acquire)
    }

    pub(super) fn contains(&self, code: &str) -> bool {
        self.is_any.load(Ordering::Acquire) && self.lock().links.contains_key(code)
    }

    /// Calls `look` with each link that was changed or removed.
    pub(super) fn for_each_original(&self, look: impl FnMut(Original)) {
        self.lock().links.values().copied().flatten().for_each(look);
    }

    fn lock(&self) -> MutexGuard<'_, Codes> {
        self.codes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

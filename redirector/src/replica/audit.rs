//! Anti-entropy: now and then the whole map is compared with the store, and what differs is counted and put right.
//!
//! Nothing stops meanwhile. The store is read at one moment, the map over a while, so codes that change in between look
//! different without being so. They are told apart by the feed itself: whatever changed between the start of the audit
//! and a delta taken after its end has been in a delta. A code that looks different and was in none of them has been
//! wrong all the time.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use foldhash::quality::RandomState;
use tern_common::served_link::{LinkEncoder, LinkRow, ServedLink};
use tern_common::store::{LinkFeed, StoreError};

use crate::link_map::{LinkMap, MapPin};

/// How soon an audit that failed is begun again, if the next one is not due before.
pub(super) const AUDIT_RETRY: Duration = Duration::from_secs(10);

/// What the store has under each code that looked different; `None` where it has nothing.
pub(super) type Suspects = HashMap<String, Option<LinkRow>>;

/// One comparison of the map with the store.
#[derive(Debug, Default)]
pub(super) struct Audit {
    /// Codes that deltas brought since the audit began.
    touched: HashSet<String>,
    suspects: Option<Suspects>,
    is_void: bool,
}

impl Audit {
    /// The map was replaced during the audit: whatever it finds is about a map that is no more.
    pub(super) fn void(&mut self) {
        self.is_void = true;
    }

    /// A delta brought this code.
    pub(super) fn touch(&mut self, code: &str) {
        self.touched.insert(code.to_owned());
    }

    /// The comparison is done. A delta that is asked for from now on ends the audit.
    pub(super) fn found(&mut self, suspects: Suspects) {
        self.suspects = Some(suspects);
    }

    pub(super) fn awaits_delta(&self) -> bool {
        self.suspects.is_some()
    }

    /// The codes that are wrong, and what is right.
    pub(super) fn conclude(self) -> Suspects {
        let mut suspects = self.suspects.filter(|_| !self.is_void).unwrap_or_default();
        suspects.retain(|code, _| !self.touched.contains(code));
        suspects
    }
}

/// Reads every link of the store and compares it with the map.
pub(super) async fn compare(store: Arc<dyn LinkFeed>, map: Arc<LinkMap>) -> Result<Suspects, StoreError> {
    let mut snapshot = store.snapshot().await?;
    let mut suspects = Suspects::new();
    // Eight bytes a link, instead of every code: two codes on one hash can only hide each other from this audit,
    // and the next one has another hash.
    let hasher = RandomState::default();
    let mut seen = HashSet::new();
    let mut encoder = LinkEncoder::default();
    while let Some(rows) = snapshot.rows.recv().await {
        for row in rows? {
            seen.insert(hasher.hash_one(row.short_code.as_str()));
            // What cannot be served is left as it is served, here as in a delta.
            let Ok(link) = encoder.check(&row) else { continue };
            if MapPin::scope(|pin| map.find(pin, link.code) != Some(link)) {
                suspects.insert(row.short_code.clone(), Some(row));
            }
        }
    }
    let superfluous = |held: ServedLink<'_>| {
        if !seen.contains(&hasher.hash_one(held.code)) {
            suspects.insert(held.code.to_owned(), None);
        }
        Ok::<_, Infallible>(())
    };
    let Ok(()) = tokio::task::block_in_place(|| map.for_each(superfluous));
    Ok(suspects)
}

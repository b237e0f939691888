//! Audits: the whole map is regularly compared with the store, and differences are counted and corrected.
//!
//! The sums of the map are compared with those that the store has, both at the position where the audit began. Only links
//! of buckets whose sums differ are read. A store without sums is read whole.
//!
//! Changes are applied meanwhile. A link that is read from the store may therefore differ without a fault. Each change
//! between the start of the audit and a delta after its end is in a delta. A code that differs and is in none of these
//! deltas was wrong before. An audit beside very many changes finds nothing, since it cannot keep their codes.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use foldhash::quality::RandomState;
use prometheus::IntCounter;
use tern_common::link_digest::{Bucket, DigestKey};
use tern_common::served_link::{LinkEncoder, LinkRow, ServedLink};
use tern_common::store::{Cursor, LinkFeed, LinkRows, StoreError};

use super::map_sums;
use super::touched::Touched;
use crate::link_map::{LinkMap, MapPin};

/// Pause after a failed audit, if the next one is not due earlier.
pub(super) const AUDIT_RETRY: Duration = Duration::from_secs(10);

/// Codes that looked different, with the row of the store. `None` stands for no row.
pub(super) type Suspects = HashMap<String, Option<LinkRow>>;

/// One comparison of the map with the store.
#[derive(Debug)]
pub(super) struct Audit {
    /// Codes in the deltas since the audit began.
    touched: Arc<Touched>,
    suspects: Option<Suspects>,
    is_void: bool,
}

impl Audit {
    pub(super) fn new(touched: Arc<Touched>) -> Audit {
        Audit { touched, suspects: None, is_void: false }
    }

    /// Voids the audit, because the map was replaced meanwhile.
    pub(super) fn void(&mut self) {
        self.is_void = true;
    }

    /// Notes that a delta contained this code, before the change is applied to the map.
    pub(super) fn touch(&self, code: &str, map: &LinkMap) {
        self.touched.insert(code, map);
    }

    /// Sets the result of the comparison. A delta that is requested from now on concludes the audit.
    pub(super) fn set_suspects(&mut self, suspects: Suspects) {
        self.suspects = Some(suspects);
    }

    pub(super) fn awaits_delta(&self) -> bool {
        self.suspects.is_some()
    }

    /// Returns the codes that differ, with the row of the store. Returns `None` if the comparison proves nothing.
    pub(super) fn conclude(self) -> Option<Suspects> {
        let mut suspects = self.suspects.filter(|_| !self.is_void && !self.touched.is_overfull())?;
        suspects.retain(|code, _| !self.touched.contains(code));
        Some(suspects)
    }
}

/// Data of an audit that begins.
pub(super) struct AuditStart {
    /// The position of the map. The map equals the store there, if nothing is wrong.
    pub(super) at: Cursor,
    pub(super) map: Arc<LinkMap>,
    pub(super) touched: Arc<Touched>,
    /// The key of the digests; `None` for a store without sums.
    pub(super) key: Option<DigestKey>,
    /// Counts the rows that are read.
    pub(super) rows: IntCounter,
}

/// Compares the map with the store.
pub(super) async fn compare(store: Arc<dyn LinkFeed>, start: AuditStart) -> Result<Suspects, StoreError> {
    let AuditStart { at, map, touched, key, rows: counter } = start;
    let Some(key) = key else {
        return compare_links(store.snapshot().await?.rows, &map, &counter, |_| true).await;
    };
    let sums = store.link_sums(&at).await?;
    let buckets = tokio::task::block_in_place(|| map_sums::differing(&sums, &map, &touched, key));
    if buckets.is_empty() {
        return Ok(Suspects::new());
    }
    tracing::info!(buckets = buckets.len(), "sums of links differ from those of the store; their links are compared");
    let rows = store.links_in(buckets.iter().copied().collect()).await?;
    compare_links(rows, &map, &counter, |bucket| buckets.contains(&bucket)).await
}

/// Compares rows of the store with the links of the map that are in the same buckets.
async fn compare_links(
    mut rows: LinkRows,
    map: &LinkMap,
    counter: &IntCounter,
    is_read: impl Fn(Bucket) -> bool,
) -> Result<Suspects, StoreError> {
    let mut suspects = Suspects::new();
    // Eight bytes for each link instead of its code. Two codes with one hash can hide each other from this audit, and
    // the next one has another hash.
    let hasher = RandomState::default();
    let mut seen = HashSet::new();
    let mut encoder = LinkEncoder::default();
    while let Some(rows) = rows.recv().await {
        let rows = rows?;
        counter.inc_by(rows.len() as u64);
        for row in rows {
            seen.insert(hasher.hash_one(row.short_code.as_str()));
            // A row that cannot be served leaves the old link, as in a delta.
            let Ok(link) = encoder.check(&row) else { continue };
            if MapPin::scope(|pin| map.find(pin, link.code) != Some(link)) {
                suspects.insert(row.short_code.clone(), Some(row));
            }
        }
    }
    let superfluous = |link: ServedLink<'_>| {
        if is_read(Bucket::of(link.url_id)) && !seen.contains(&hasher.hash_one(link.code)) {
            suspects.insert(link.code.to_owned(), None);
        }
        Ok::<_, Infallible>(())
    };
    let Ok(()) = tokio::task::block_in_place(|| map.for_each(superfluous));
    Ok(suspects)
}

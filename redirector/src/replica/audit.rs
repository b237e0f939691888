//! Audits: the whole map is regularly compared with the store, and differences are counted and corrected.
//!
//! Changes are applied meanwhile. The store is read at one moment and the map over a period, so a code that changes in
//! between looks different. Deltas identify such codes: each change between the start of the audit and a delta after
//! its end is in a delta. A code that looks different and is in none of these deltas was wrong before.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use foldhash::quality::RandomState;
use tern_common::served_link::{LinkEncoder, LinkRow, ServedLink};
use tern_common::store::{LinkFeed, StoreError};

use crate::link_map::{LinkMap, MapPin};

/// Pause after a failed audit, if the next one is not due earlier.
pub(super) const AUDIT_RETRY: Duration = Duration::from_secs(10);

/// Codes that looked different, with the row of the store. `None` stands for no row.
pub(super) type Suspects = HashMap<String, Option<LinkRow>>;

/// One comparison of the map with the store.
#[derive(Debug, Default)]
pub(super) struct Audit {
    /// Codes in the deltas since the audit began.
    touched: HashSet<String>,
    suspects: Option<Suspects>,
    is_void: bool,
}

impl Audit {
    /// Voids the audit, because the map was replaced meanwhile.
    pub(super) fn void(&mut self) {
        self.is_void = true;
    }

    /// Notes that a delta contained this code.
    pub(super) fn touch(&mut self, code: &str) {
        self.touched.insert(code.to_owned());
    }

    /// Sets the result of the comparison. A delta that is requested from now on concludes the audit.
    pub(super) fn set_suspects(&mut self, suspects: Suspects) {
        self.suspects = Some(suspects);
    }

    pub(super) fn awaits_delta(&self) -> bool {
        self.suspects.is_some()
    }

    /// Returns the codes that differ, with the row of the store.
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
    // Eight bytes for each link instead of its code. Two codes with one hash can hide each other from this audit, and
    // the next one has another hash.
    let hasher = RandomState::default();
    let mut seen = HashSet::new();
    let mut encoder = LinkEncoder::default();
    while let Some(rows) = snapshot.rows.recv().await {
        for row in rows? {
            seen.insert(hasher.hash_one(row.short_code.as_str()));
            // A row that cannot be served leaves the old link, as in a delta.
            let Ok(link) = encoder.check(&row) else { continue };
            if MapPin::scope(|pin| map.find(pin, link.code) != Some(link)) {
                suspects.insert(row.short_code.clone(), Some(row));
            }
        }
    }
    let superfluous = |link: ServedLink<'_>| {
        if !seen.contains(&hasher.hash_one(link.code)) {
            suspects.insert(link.code.to_owned(), None);
        }
        Ok::<_, Infallible>(())
    };
    let Ok(()) = tokio::task::block_in_place(|| map.for_each(superfluous));
    Ok(suspects)
}

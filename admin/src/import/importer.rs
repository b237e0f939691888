//! The import of rows in batches, each of which is whole or not there at all.
//!
//! New links of a batch are one load of the store, which is one transaction. Changes of links are another one.
//! An import that was killed is continued by a second one, which skips the links that are there.

use std::collections::HashMap;

use tern_common::ShortCode;
use tern_common::store::{AdminStore, Load, LoadError, LoadOutcome, NumberedRow, StoreError};
use tern_common::url::UrlRow;
use tern_import::{ImportedClick, Row};

use super::batch::load_batch;
use super::check::CheckedLink;
use super::clicks::{LinksOfClicks, add_clicks};
use super::decide::{Decision, decide, with_remarks};
use super::outcome::{Outcome, RowOutcome, Summary};
use super::plan::{OnConflict, Plan};
use super::seen::SeenCodes;

/// The rows of one batch. Other writers of SQLite wait while one is inserted.
pub(super) const BATCH_ROWS: usize = 5_000;

/// An import under way.
pub(super) struct Importer<'a> {
    store: &'a dyn AdminStore,
    plan: &'a Plan,
    seen: Option<SeenCodes>,
    links_of_clicks: LinksOfClicks,
    pub(super) summary: Summary,
    /// Rows whose code is taken.
    pub(super) conflicts: u64,
}

/// A link that is created, and the place of its outcome.
struct Creation {
    at: usize,
    row: u64,
    url: UrlRow,
    is_renamed: bool,
    remarks: Vec<String>,
}

impl<'a> Importer<'a> {
    pub(super) fn new(store: &'a dyn AdminStore, plan: &'a Plan) -> Importer<'a> {
        // Otherwise the store knows the codes of earlier rows.
        let needs_codes = plan.is_dry_run || plan.on_conflict == OnConflict::Overwrite;
        Importer {
            store,
            plan,
            seen: needs_codes.then(SeenCodes::default),
            links_of_clicks: LinksOfClicks::default(),
            summary: Summary::default(),
            conflicts: 0,
        }
    }

    /// Imports the rows of a batch, and returns an outcome for each link in their order.
    pub(super) async fn import(&mut self, rows: Vec<Row>) -> Result<Vec<RowOutcome>, LoadError> {
        let mut outcomes: Vec<Option<RowOutcome>> = Vec::with_capacity(rows.len());
        let (mut links, mut places, mut clicks) = (Vec::new(), Vec::new(), Vec::new());
        for row in rows {
            match row {
                Row::Link(mut link) => {
                    self.note_dropped(std::mem::take(&mut link.dropped));
                    let (row, short_code) = (link.row, link.short_code.clone());
                    match CheckedLink::of(*link, &self.plan.own_addresses) {
                        Ok(link) => {
                            places.push(outcomes.len());
                            links.push(link);
                            outcomes.push(None);
                        }
                        Err(reason) => {
                            let (outcome, reason) = (Outcome::Invalid, Some(reason));
                            outcomes.push(Some(RowOutcome { row, outcome, short_code, reason }));
                        }
                    }
                }
                Row::Click(click) => clicks.push(click),
                Row::Skipped { row, short_code, reason } => {
                    let (outcome, reason) = (Outcome::Skipped, Some(reason));
                    outcomes.push(Some(RowOutcome { row, outcome, short_code, reason }));
                }
                Row::Invalid { row, short_code, reason } => {
                    let (outcome, reason) = (Outcome::Invalid, Some(reason));
                    outcomes.push(Some(RowOutcome { row, outcome, short_code, reason }));
                }
            }
        }
        let given: Vec<String> = links.iter().map(|link| link.code.text().to_owned()).collect();
        let decisions = decide(self.store, self.plan, self.seen.as_mut(), links).await?;
        self.carry_out(decisions, &places, &given, &mut outcomes).await?;
        self.import_clicks(clicks).await?;
        let outcomes: Vec<RowOutcome> = outcomes.into_iter().flatten().collect();
        outcomes.iter().for_each(|outcome| self.summary.counts.add(outcome.outcome));
        Ok(outcomes)
    }

    fn note_dropped(&mut self, names: Vec<std::sync::Arc<str>>) {
        for name in names {
            if !self.summary.dropped.contains(&*name) {
                self.summary.dropped.insert(name.to_string());
            }
        }
    }

    async fn carry_out(
        &mut self,
        decisions: Vec<Decision>,
        places: &[usize],
        given: &[String],
        outcomes: &mut [Option<RowOutcome>],
    ) -> Result<(), LoadError> {
        let (mut creations, mut changes, mut changed) = (Vec::new(), Vec::new(), Vec::new());
        for ((decision, at), given) in decisions.into_iter().zip(places.iter().copied()).zip(given) {
            match decision {
                Decision::Done(outcome) => outcomes[at] = Some(outcome),
                Decision::Conflict(outcome) => {
                    self.conflicts += 1;
                    self.links_of_clicks.note(given, outcome.short_code.as_deref());
                    outcomes[at] = Some(outcome);
                }
                Decision::Create { row, url, is_renamed, remarks } => {
                    self.links_of_clicks.note(given, Some(url.short_code.as_str()));
                    creations.push(Creation { at, row, url: *url, is_renamed, remarks });
                }
                Decision::Overwrite { row, id, code, change, remarks } => {
                    changes.push((id, *change));
                    changed.push((at, row, code, remarks));
                }
            }
        }
        self.create(creations, outcomes).await?;
        let refusals = if self.plan.is_dry_run || changes.is_empty() {
            vec![None; changed.len()]
        } else {
            let results = self.store.change_urls(changes).await?.value;
            results.into_iter().map(|result| result.err().map(|error| error.to_string())).collect()
        };
        for ((at, row, code, remarks), refusal) in changed.into_iter().zip(refusals) {
            let outcome = if refusal.is_none() { Outcome::Overwritten } else { Outcome::Skipped };
            let reason = with_remarks(refusal.as_deref(), &remarks);
            outcomes[at] = Some(RowOutcome { row, outcome, short_code: Some(code), reason });
        }
        Ok(())
    }

    /// Creates links in one transaction, and in another one those whose external id is taken.
    async fn create(
        &mut self,
        mut creations: Vec<Creation>,
        outcomes: &mut [Option<RowOutcome>],
    ) -> Result<(), LoadError> {
        let mut refused = HashMap::new();
        if !self.plan.is_dry_run {
            refused = self.load(&creations, |_| true).await?;
            let taken = StoreError::ExternalIdTaken.to_string();
            let again: Vec<usize> = (0..creations.len())
                .filter(|n| refused.get(n).is_some_and(|reason: &String| reason.starts_with("External id")))
                .collect();
            if !again.is_empty() {
                for n in &again {
                    refused.remove(n);
                    creations[*n].url.labels.external_id = None;
                    creations[*n].remarks.push(format!("the external id was left out: {taken}"));
                }
                refused.extend(self.load(&creations, |n| again.contains(&n)).await?);
            }
        }
        for (n, Creation { at, row, url, is_renamed, remarks }) in creations.into_iter().enumerate() {
            let short_code = Some(url.short_code.as_str().to_owned());
            let (outcome, reason) = match refused.remove(&n) {
                // Another client took the code since the decision.
                Some(reason) if reason.starts_with("Short code") => (Outcome::Skipped, Some(reason)),
                Some(reason) => (Outcome::Invalid, Some(reason)),
                None if is_renamed => (Outcome::Renamed, None),
                None => (Outcome::Created, None),
            };
            let reason = with_remarks(reason.as_deref(), &remarks);
            outcomes[at] = Some(RowOutcome { row, outcome, short_code, reason });
        }
        Ok(())
    }

    /// Loads the chosen links, and returns the reasons for those that the store refused.
    async fn load(
        &self,
        creations: &[Creation],
        is_chosen: impl Fn(usize) -> bool,
    ) -> Result<HashMap<usize, String>, LoadError> {
        let chosen = creations.iter().enumerate().filter(|(n, _)| is_chosen(*n));
        let rows: Vec<_> =
            chosen.map(|(n, creation)| NumberedRow { line: n as u64, row: creation.url.clone() }).collect();
        if rows.is_empty() {
            return Ok(HashMap::new());
        }
        let codes: Vec<(usize, ShortCode)> =
            rows.iter().map(|row| (row.line as usize, row.row.short_code.clone())).collect();
        let (loaded, skipped) = load_batch(self.store, Load::Urls, rows).await?;
        let mut refused: HashMap<usize, String> =
            skipped.into_iter().map(|row| (row.line as usize, row.reason)).collect();
        if !matches!(loaded, LoadOutcome::Partly { there: 0, .. }) {
            // Another client created the same link since the decision.
            let found = self.store.find_urls_by_codes(codes.iter().map(|(_, code)| code.clone()).collect()).await?;
            let tag = self.plan.tag.as_str();
            let foreign: Vec<String> = found
                .into_iter()
                .filter(|url| url.tags.iter().all(|own| own != tag))
                .map(|url| url.short_code)
                .collect();
            for (n, _) in codes.iter().filter(|(_, code)| foreign.iter().any(|text| text == code.as_str())) {
                refused.insert(*n, StoreError::ShortCodeTaken.to_string());
            }
        }
        Ok(refused)
    }

    async fn import_clicks(&mut self, clicks: Vec<ImportedClick>) -> Result<(), LoadError> {
        if clicks.is_empty() {
            return Ok(());
        }
        let all = clicks.len() as u64;
        let added = add_clicks(self.store, self.plan, &self.links_of_clicks, self.seen.as_ref(), clicks).await?;
        self.summary.counts.clicks += added.events;
        self.summary.other_clicks += all - added.of_links;
        Ok(())
    }
}

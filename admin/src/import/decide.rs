//! Decides what becomes of the links of one batch, from the links that the store has under their codes.

use std::collections::HashMap;

use tern_common::link_labels::{LinkLabelsChange, Tag};
use tern_common::store::{self, AdminStore};
use tern_common::url::{Url, UrlChange, UrlRow};
use tern_common::{Id, ShortCode};
use tern_import::Source;

use super::check::{CheckedLink, GivenCode};
use super::codes::derived_code;
use super::outcome::{Outcome, RowOutcome};
use super::plan::{ALL_TAGS, OnConflict, Plan};
use super::seen::SeenCodes;

/// The most codes that are derived for a link. If all exist already, the codes are too short.
const CHOICES: u32 = 10;

/// The decision about one link.
#[derive(Debug)]
pub(super) enum Decision {
    /// Create this link. The remarks explain a new code first.
    Create {
        row: u64,
        url: Box<UrlRow>,
        is_renamed: bool,
        remarks: Vec<String>,
    },
    /// Change the link with this id.
    Overwrite {
        row: u64,
        id: Id,
        code: String,
        change: Box<UrlChange>,
        remarks: Vec<String>,
    },
    Done(RowOutcome),
    /// Do nothing, since the code is taken.
    Conflict(RowOutcome),
}

/// The links that have a code, in the store and in the batch.
#[derive(Default)]
struct Holders {
    stored: HashMap<String, Url>,
    /// The targets of the links that the batch creates, by their codes.
    created: HashMap<String, String>,
}

/// A link that waits for a new code.
struct Nameless {
    at: usize,
    link: CheckedLink,
    why: Option<String>,
}

/// Decides about links, in their order.
pub(super) async fn decide(
    store: &dyn AdminStore,
    plan: &Plan,
    seen: Option<&mut SeenCodes>,
    links: Vec<CheckedLink>,
) -> store::Result<Vec<Decision>> {
    let mut batch = Batch { plan, seen, holders: Holders::default(), decisions: Vec::new(), nameless: Vec::new() };
    let codes = links.iter().filter_map(|link| match &link.code {
        GivenCode::Valid(code) => Some(code.clone()),
        GivenCode::Refused { .. } | GivenCode::Absent => None,
    });
    batch.holders.look_up(store, codes.collect()).await?;
    for link in links {
        batch.decide(link);
    }
    batch.name(store).await?;
    Ok(batch.decisions.into_iter().flatten().collect())
}

struct Batch<'a> {
    plan: &'a Plan,
    seen: Option<&'a mut SeenCodes>,
    holders: Holders,
    decisions: Vec<Option<Decision>>,
    nameless: Vec<Nameless>,
}

impl Holders {
    async fn look_up(&mut self, store: &dyn AdminStore, codes: Vec<ShortCode>) -> store::Result<()> {
        if !codes.is_empty() {
            let found = store.find_urls_by_codes(codes).await?;
            self.stored.extend(found.into_iter().map(|url| (url.short_code.clone(), url)));
        }
        Ok(())
    }
}

impl Batch<'_> {
    fn conflict(&mut self, link: &CheckedLink, reason: &str) {
        self.decisions.push(Some(Decision::Conflict(outcome_of(link, Outcome::Skipped, reason))));
    }

    fn wait_for_code(&mut self, link: CheckedLink, why: Option<String>) {
        self.nameless.push(Nameless { at: self.decisions.len(), link, why });
        self.decisions.push(None);
    }

    fn is_of_earlier_row(&self, code: &str) -> bool {
        self.holders.created.contains_key(code) || self.seen.as_ref().is_some_and(|seen| seen.has(code))
    }

    /// Remembers that a row has the code.
    fn see(&mut self, code: &str) {
        if let Some(seen) = &mut self.seen {
            seen.add(code);
        }
    }

    fn create(&mut self, mut link: CheckedLink, code: ShortCode, why: Option<String>) -> Decision {
        self.see(code.as_str());
        self.holders.created.insert(code.as_str().to_owned(), link.target.as_given().to_owned());
        let tags = link.tags_with(&self.plan.tag);
        let url = Box::new(link.url_row(code, self.plan.owner, tags));
        let is_renamed = why.is_some();
        let remarks = why.into_iter().chain(std::mem::take(&mut link.remarks)).collect();
        Decision::Create { row: link.row, url, is_renamed, remarks }
    }

    /// Decides about a link, or postpones it until the given codes of the batch are known.
    fn decide(&mut self, link: CheckedLink) {
        let renames = self.plan.on_conflict == OnConflict::Rename;
        let code = match &link.code {
            GivenCode::Absent => return self.wait_for_code(link, None),
            GivenCode::Refused { text, reason } if renames => {
                let why = format!("the code {text:?} is refused: {reason}");
                return self.wait_for_code(link, Some(why));
            }
            GivenCode::Refused { text, reason } => {
                let advice = "an import that renames on conflicts gives the link a new code";
                let reason = format!("the code {text:?} is refused: {reason}; {advice}");
                return self.decisions.push(Some(Decision::Done(outcome_of(&link, Outcome::Invalid, &reason))));
            }
            GivenCode::Valid(code) => code.clone(),
        };
        let text = code.as_str();
        let is_earlier = self.is_of_earlier_row(text);
        let Some(stored) = self.holders.stored.get(text).filter(|_| !is_earlier) else {
            if !is_earlier {
                let decision = self.create(link, code, None);
                return self.decisions.push(Some(decision));
            }
            let is_same = self.holders.created.get(text).is_some_and(|target| target == link.target.as_given());
            let reason = if is_same { "an earlier row is the same link" } else { "an earlier row has this code" };
            if renames && !is_same {
                return self.wait_for_code(link, Some(format!("{reason}: {text}")));
            }
            return self.conflict(&link, reason);
        };
        let is_own = stored.user_id == self.plan.owner;
        let is_same = is_own && stored.original_url == link.target.as_given();
        match self.plan.on_conflict {
            OnConflict::Overwrite if is_own => {
                let stored = stored.clone();
                self.see(text);
                self.overwrite(link, &stored);
            }
            OnConflict::Overwrite => self.conflict(&link, "the code is taken by a link of another user"),
            OnConflict::Rename if !is_same => self.wait_for_code(link, Some(format!("the code {text} is taken"))),
            _ if is_same => self.conflict(&link, EXISTS),
            _ => self.conflict(&link, "the code is taken by another link"),
        }
    }

    /// Changes a link to the values that the row gives. What the row lacks remains.
    fn overwrite(&mut self, mut link: CheckedLink, stored: &Url) {
        let is_whole = self.plan.source == Source::Tern;
        let given = |is_given: bool| is_given || is_whole;
        let options = &link.options;
        let is_imported = stored.tags.iter().any(|tag| tag.starts_with(ALL_TAGS));
        let mut change = UrlChange {
            title: given(link.title.is_some()).then(|| link.title.clone()),
            is_active: Some(link.is_active),
            original_url: Some(link.target.clone()),
            labels: LinkLabelsChange {
                notes: given(link.notes.is_some()).then(|| link.notes.clone()),
                external_id: given(link.external_id.is_some()).then(|| link.external_id.clone()),
                ..LinkLabelsChange::default()
            },
            // The clicks of an earlier import may have become events.
            imported_clicks: (!is_imported && given(link.clicks > 0)).then_some(link.clicks),
            ..UrlChange::default()
        };
        change.options.starts_at = given(options.starts_at.is_some()).then_some(options.starts_at);
        change.options.expires_at = given(options.expires_at.is_some()).then_some(options.expires_at);
        change.options.expired_url = given(options.expired_url.is_some()).then(|| options.expired_url.clone());
        change.options.redirect_status = given(options.redirect_status.is_some()).then_some(options.redirect_status);
        change.options.forward_query = given(options.forward_query.is_some()).then_some(options.forward_query);
        // An export of Tern has the clicks that were left, which would be too few for the link that it came from.
        change.options.max_clicks = (options.max_clicks.is_some() && !is_whole).then_some(options.max_clicks);
        change.options.rules = given(!options.rules.is_empty()).then(|| options.rules.clone());
        change.options.split = given(!options.split.is_empty()).then(|| options.split.clone());
        let own_tags = || stored.tags.iter().map(String::as_str).filter(|tag| !tag.starts_with(ALL_TAGS));
        let file_tags = || link.tags.iter().map(|tag| tag.as_str()).filter(|tag| !tag.starts_with(ALL_TAGS));
        let has_tags = (link.tags.is_empty() && !is_whole) || own_tags().eq(file_tags());
        let has_target = stored.original_url == link.target.as_given();
        if has_tags && has_target && change.is_fulfilled_by(stored) {
            return self.conflict(&link, EXISTS);
        }
        if has_tags {
            link.tags = stored.tags.iter().filter_map(|tag| Tag::parse(tag).ok()).collect();
        }
        change.labels.tags = Some(link.tags_with(&self.plan.tag));
        let code = stored.short_code.clone();
        let (row, remarks) = (link.row, link.remarks);
        self.decisions.push(Some(Decision::Overwrite { row, id: stored.id, code, change: Box::new(change), remarks }));
    }

    /// Gives new codes to the links that wait for one.
    async fn name(&mut self, store: &dyn AdminStore) -> store::Result<()> {
        for choice in 0..CHOICES {
            if self.nameless.is_empty() {
                return Ok(());
            }
            let Plan { owner, short_code_length, .. } = *self.plan;
            let code = |link: &CheckedLink| {
                derived_code(short_code_length, owner, link.code.text(), link.target.as_given(), choice)
            };
            let waiting = std::mem::take(&mut self.nameless);
            self.holders.look_up(store, waiting.iter().map(|waiting| code(&waiting.link)).collect()).await?;
            for Nameless { at, link, why } in waiting {
                let code = code(&link);
                let target = link.target.as_given();
                let stored = self.holders.stored.get(code.as_str());
                let is_same = stored.is_some_and(|url| url.user_id == owner && url.original_url == target);
                let is_earlier = self.is_of_earlier_row(code.as_str());
                let is_repeated = is_same || self.holders.created.get(code.as_str()).is_some_and(|own| own == target);
                if is_repeated {
                    let outcome = outcome_of(&link, Outcome::Skipped, "the link was imported already under this code");
                    let short_code = Some(code.as_str().to_owned());
                    self.decisions[at] = Some(Decision::Conflict(RowOutcome { short_code, ..outcome }));
                } else if stored.is_none() && !is_earlier {
                    self.decisions[at] = Some(self.create(link, code, why));
                } else {
                    self.nameless.push(Nameless { at, link, why });
                }
            }
        }
        for Nameless { at, link, .. } in std::mem::take(&mut self.nameless) {
            let reason = "no free short code was found: SHORT_CODE_LENGTH is too small for so many links";
            self.decisions[at] = Some(Decision::Done(outcome_of(&link, Outcome::Invalid, reason)));
        }
        Ok(())
    }
}

const EXISTS: &str = "the link exists already";

fn outcome_of(link: &CheckedLink, outcome: Outcome, reason: &str) -> RowOutcome {
    let short_code = Some(link.code.text().to_owned()).filter(|text| !text.is_empty());
    RowOutcome { row: link.row, outcome, short_code, reason: with_remarks(Some(reason), &link.remarks) }
}

/// Joins the reason for an outcome and the remarks about a row.
pub(super) fn with_remarks(reason: Option<&str>, remarks: &[String]) -> Option<String> {
    let all: Vec<&str> = reason.into_iter().chain(remarks.iter().map(String::as_str)).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

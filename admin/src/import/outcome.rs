//! The outcome of each row of an import, and their sums.

use std::collections::BTreeSet;

use serde::Serialize;
use utoipa::ToSchema;

/// The outcome of a row
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(example = "created")]
pub enum Outcome {
    /// A link was created under the row's code, or under a new one if the row has none.
    Created,
    /// Nothing was done.
    Skipped,
    /// A link was created under another code than the row's.
    Renamed,
    /// The link with the row's code has the values of the row now.
    Overwritten,
    /// The row cannot be a link.
    Invalid,
}

/// The outcome of a row
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RowOutcome {
    /// The number of the row in its file, from 1. A row with several links has an outcome for each.
    #[schema(example = 7)]
    pub row: u64,
    pub outcome: Outcome,
    /// The code of the link, or that of the row.
    #[schema(required, example = "summer")]
    pub short_code: Option<String>,
    /// The reason for the outcome, and the values that were left out.
    #[schema(required, example = "the link exists already")]
    pub reason: Option<String>,
}

/// The numbers of outcomes
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Counts {
    #[schema(example = 398)]
    pub created: u64,
    #[schema(example = 1)]
    pub skipped: u64,
    #[schema(example = 0)]
    pub renamed: u64,
    #[schema(example = 0)]
    pub overwritten: u64,
    #[schema(example = 1)]
    pub invalid: u64,
    /// Clicks that became events.
    #[schema(example = 0)]
    pub clicks: u64,
}

/// The sums of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub counts: Counts,
    /// The names of fields of the file that Tern has no place for, each once.
    pub dropped: BTreeSet<String>,
    /// Clicks that belong to no link of the import.
    pub other_clicks: u64,
}

impl Counts {
    pub(super) fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Created => self.created += 1,
            Outcome::Skipped => self.skipped += 1,
            Outcome::Renamed => self.renamed += 1,
            Outcome::Overwritten => self.overwritten += 1,
            Outcome::Invalid => self.invalid += 1,
        }
    }

    /// Returns whether a link has the tag of the import now.
    pub fn has_written(&self) -> bool {
        self.created + self.renamed + self.overwritten > 0
    }

    /// Returns the outcomes that rows had, as the rest of a sentence.
    pub fn sentence(&self) -> String {
        let Counts { created, skipped, renamed, overwritten, invalid, clicks: _ } = *self;
        let all = [
            (created, "created"),
            (renamed, "renamed"),
            (overwritten, "overwritten"),
            (skipped, "skipped"),
            (invalid, "invalid"),
        ];
        let counted: Vec<String> =
            all.iter().filter(|(n, _)| *n > 0).map(|(n, outcome)| format!("{n} {outcome}")).collect();
        if counted.is_empty() { "no links".to_owned() } else { counted.join(", ") }
    }
}

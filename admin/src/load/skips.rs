//! Rows that a load skips: the report of each, and the ids that rows of later files must not refer to.

use std::collections::HashSet;
use std::io::{self, Write};

use anyhow::anyhow;
use indicatif::ProgressBar;
use tern_common::Id;
use tern_common::store::SkippedRow;
use tokio::sync::mpsc;

use crate::load::kind::Kind;

/// The most ids of skipped users and links that one run remembers, some 64 MiB of memory.
const MAX_IDS: usize = 4_000_000;

/// The ids of users and links that were skipped.
///
/// The database may have strangers with these ids, who must not get what belongs to the skipped rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct SkippedIds {
    users: HashSet<Id>,
    urls: HashSet<Id>,
}

/// The rows of one file that were skipped.
#[derive(Debug, Default)]
pub(crate) struct Skips {
    pub(crate) count: u64,
    pub(crate) ids: SkippedIds,
    /// The error at the first row that could not be reported. No later row of the file is reported.
    pub(crate) unreported: Option<io::Error>,
}

/// The report of the rows of one file that are skipped.
pub(crate) struct Report<'a> {
    pub(crate) name: &'a str,
    pub(crate) out: &'a mut (dyn Write + Send),
    pub(crate) progress: ProgressBar,
}

impl SkippedIds {
    /// Refuses a row of a user who was skipped.
    pub(crate) fn check_user(&self, id: Id) -> Result<(), String> {
        if self.users.contains(&id) { Err(format!("User {id} was skipped")) } else { Ok(()) }
    }

    /// Refuses a row of a link that was skipped.
    pub(crate) fn check_url(&self, id: Id) -> Result<(), String> {
        if self.urls.contains(&id) { Err(format!("URL {id} was skipped")) } else { Ok(()) }
    }

    pub(crate) fn extend(&mut self, others: SkippedIds) {
        self.users.extend(others.users);
        self.urls.extend(others.urls);
    }

    /// Returns the ids of a kind that rows of other kinds refer to.
    fn of(&mut self, kind: Kind) -> Option<&mut HashSet<Id>> {
        match kind {
            Kind::User => Some(&mut self.users),
            Kind::Url => Some(&mut self.urls),
            Kind::Event | Kind::Product => None,
        }
    }
}

impl Report<'_> {
    /// Writes a line for each row until the load has ended.
    /// An error of the writer does not end the load, whose rows are counted to the end.
    ///
    /// # Errors
    /// When there are too many ids. A load that has more rows to skip fails then.
    pub(crate) async fn follow(&mut self, mut rows: mpsc::Receiver<SkippedRow>, kind: Kind) -> anyhow::Result<Skips> {
        let mut skips = Skips::default();
        while let Some(SkippedRow { line, id, reason }) = rows.recv().await {
            skips.count += 1;
            if skips.unreported.is_none() {
                let (name, out) = (self.name, &mut *self.out);
                let written = self.progress.suspend(|| writeln!(out, "{name}: line {line} skipped: {reason}"));
                skips.unreported = written.err();
            }
            if let (Some(id), Some(ids)) = (id, skips.ids.of(kind)) {
                ids.insert(id);
                if ids.len() > MAX_IDS {
                    return Err(anyhow!("has over {MAX_IDS} rows to skip; is it the right file?"));
                }
            }
        }
        Ok(skips)
    }
}

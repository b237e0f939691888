//! The report of rows that a load skips, and their ids, to which rows of later files must not refer.

use std::collections::HashSet;
use std::io::{self, Write};

use anyhow::anyhow;
use indicatif::ProgressBar;
use tern_common::Id;
use tern_common::store::SkippedRow;
use tokio::sync::mpsc;

use crate::load::kind::Kind;

/// The most ids of skipped users or links of one run: seven eighths of the 2^22 slots of a set, which take 36 MiB of memory.
const MAX_IDS: usize = 3_670_016;

/// The ids of users and links that were skipped.
///
/// The database may have other users and links with these ids, which must not get rows of the skipped ones.
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
    /// The error of the first report that failed. No later row of the file is reported.
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

    pub(crate) fn extend(&mut self, later: SkippedIds) {
        self.users.extend(later.users);
        self.urls.extend(later.urls);
    }

    /// Returns the ids of this kind, if rows of other kinds can refer to them.
    fn of(&mut self, kind: Kind) -> Option<&mut HashSet<Id>> {
        match kind {
            Kind::User => Some(&mut self.users),
            Kind::Url => Some(&mut self.urls),
            Kind::Event | Kind::Product => None,
        }
    }
}

impl Report<'_> {
    /// Writes a line for each row until the load ends.
    /// An error of the writer does not end the load, and all rows are counted.
    ///
    /// # Errors
    /// When there are too many ids. The load fails then at its next skipped row.
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

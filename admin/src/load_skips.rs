//! Rows that a load skips: the report of each, and the ids that rows of later files must not refer to.

use std::collections::HashSet;
use std::io::Write;

use indicatif::ProgressBar;
use tern_common::Id;
use tern_common::store::{LoadError, SkippedRow};
use tokio::sync::mpsc;

use crate::load::Kind;

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
    /// Writes a line for each row until the load has ended. Returns the number of rows, and their ids.
    ///
    /// # Errors
    /// When the report cannot be written or there are too many ids. The load ends then, too.
    pub(crate) async fn follow(
        &mut self,
        mut rows: mpsc::Receiver<SkippedRow>,
        kind: Kind,
    ) -> Result<(u64, SkippedIds), LoadError> {
        let (mut count, mut ids) = (0, SkippedIds::default());
        while let Some(SkippedRow { line, id, reason }) = rows.recv().await {
            count += 1;
            let (name, out) = (self.name, &mut *self.out);
            let written = self.progress.suspend(|| writeln!(out, "{name}: line {line} skipped: {reason}"));
            written.map_err(|error| LoadError::File(format!("a skipped row cannot be reported: {error}")))?;
            if let (Some(id), Some(ids)) = (id, ids.of(kind)) {
                ids.insert(id);
                if ids.len() > MAX_IDS {
                    return Err(LoadError::File(format!("has over {MAX_IDS} rows to skip; is it the right file?")));
                }
            }
        }
        Ok((count, ids))
    }
}

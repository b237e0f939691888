//! The memory that the API required a token once: a backup from before the first token must not open it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::bail;

const TEXT: &str =
    "Tern's API required a token here. Without this file, a database without a token opens it to this machine.\n";

/// Whether a token was ever seen, by this process or, as far as a file says, by one before it.
#[derive(Debug)]
pub(super) struct Closed {
    was_seen: AtomicBool,
    /// `None` remembers it only while the process runs.
    note: Option<PathBuf>,
}

impl Closed {
    pub(super) fn read(note: Option<PathBuf>) -> Closed {
        Closed { was_seen: AtomicBool::new(note.as_ref().is_some_and(|note| note.exists())), note }
    }

    /// Makes sure that the next process remembers what this one does.
    ///
    /// # Errors
    /// When a token was seen and the file is not there, since the directory cannot be written.
    pub(super) fn ensure_kept(&self) -> anyhow::Result<()> {
        match &self.note {
            Some(note) if self.is_noted() && !note.exists() => bail!(
                "cannot write {}, without which a backup that has no token opens the API again; give the directory to this user, \
                 or set TERN_DATA_DIR to one that it may write to",
                std::path::absolute(note).unwrap_or_else(|_| note.clone()).display()
            ),
            _ => Ok(()),
        }
    }

    pub(super) fn is_noted(&self) -> bool {
        self.was_seen.load(Ordering::Relaxed)
    }

    /// Remembers that there is a token, and leaves the file the first time.
    pub(super) fn note(&self) {
        if self.was_seen.swap(true, Ordering::Relaxed) {
            return;
        }
        let Some(note) = &self.note else { return };
        let directory = note.parent().unwrap_or(Path::new("."));
        let written = std::fs::create_dir_all(directory).and_then(|()| std::fs::write(note, TEXT));
        if let Err(error) = written {
            let file = note.display();
            tracing::warn!(%file, %error, "the file could not be written; a backup without a token will open the API again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn note_that_cannot_be_written_is_an_error_at_the_start_once_there_is_a_token() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "where a directory should be").unwrap();
        for (note, is_kept) in
            [(file.join("tokens-required"), false), (directory.path().join("a/tokens-required"), true)]
        {
            let closed = Closed::read(Some(note));
            assert!(closed.ensure_kept().is_ok(), "no token was seen yet");
            closed.note();
            assert_eq!(closed.ensure_kept().is_ok(), is_kept);
        }
    }
}

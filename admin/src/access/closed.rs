//! The memory that the API required a token once: a backup from before the first token must not open it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

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

//! The record that the API required a token, so that a backup from before the first token does not open the API.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::bail;

const TEXT: &str =
    "Tern's API required a token here. Without this file, a database without a token opens it to this machine.\n";

/// The record that a token was seen, by this process or by an earlier one that left the file.
#[derive(Debug)]
pub(super) struct TokenRequirement {
    was_seen: AtomicBool,
    /// The file of the record; with `None` only the running process remembers it.
    file: Option<PathBuf>,
}

impl TokenRequirement {
    pub(super) fn read(file: Option<PathBuf>) -> TokenRequirement {
        TokenRequirement { was_seen: AtomicBool::new(file.as_ref().is_some_and(|file| file.exists())), file }
    }

    /// Checks that the record is in the file if a token was seen.
    ///
    /// # Errors
    /// When the file could not be written.
    pub(super) fn ensure_recorded(&self) -> anyhow::Result<()> {
        match &self.file {
            Some(file) if self.was_seen() && !file.exists() => bail!(
                "cannot write {}; without this file a backup that has no token opens the API again; give the directory to this \
                 user, or set TERN_DATA_DIR to one that it may write to",
                std::path::absolute(file).unwrap_or_else(|_| file.clone()).display()
            ),
            _ => Ok(()),
        }
    }

    pub(super) fn was_seen(&self) -> bool {
        self.was_seen.load(Ordering::Relaxed)
    }

    /// Records that there is a token. Writes the file the first time.
    pub(super) fn record(&self) {
        if self.was_seen.swap(true, Ordering::Relaxed) {
            return;
        }
        let Some(file) = &self.file else { return };
        let directory = file.parent().unwrap_or(Path::new("."));
        let written = std::fs::create_dir_all(directory).and_then(|()| std::fs::write(file, TEXT));
        if let Err(error) = written {
            let file = file.display();
            tracing::warn!(%file, %error, "recording that the API requires a token failed; a backup without a token will open the API again; check the directory");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_that_cannot_be_written_is_an_error_once_a_token_was_seen() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "a file in place of a directory").unwrap();
        for (path, is_written) in
            [(file.join("tokens-required"), false), (directory.path().join("a/tokens-required"), true)]
        {
            let requirement = TokenRequirement::read(Some(path));
            assert!(requirement.ensure_recorded().is_ok(), "no token was seen yet");
            requirement.record();
            assert_eq!(requirement.ensure_recorded().is_ok(), is_written);
        }
    }
}

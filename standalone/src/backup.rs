//! The commands `backup` and `restore`: copies of the data directory of the embedded store.
//!
//! A copy has the database, the mark that the API needs tokens, and the clicks that the store refused. While no server
//! runs, it also has the journals, whose clicks may not be in the database yet. A running server still ships its own.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use tern_common::Timestamp;
use tern_common::console::write_line;
use tern_common::private_files::FileLock;
use tern_common::process::MissingInput;
use tern_common::store::sqlite::{Contents, check_database, copy_database};

use crate::config::{Config, NAME};
use crate::serve::SERVE_LOCK;

const DATABASE: &str = "tern.db";
const CLICKS: &str = "clicks";
const REQUIREMENT: &str = "tokens-required";
const SNAPSHOT: &str = "links.snapshot";

/// The file of refused clicks, beside the journals.
const PARKED: &str = "parked.ndjson";

/// The time in which a server that ends releases its lock.
const LOCK_WAIT: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub struct RestoreCommand {
    /// Directory that `tern backup` wrote
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Restore into a data directory that is not empty; its database is set aside in it
    #[arg(long)]
    replace: bool,
}

/// Copies the data directory to a new directory, also while a server runs.
pub fn backup(config: &Config, directory: &Path) -> anyhow::Result<()> {
    refuse_shared_store(config)?;
    if config.lacks_store()? {
        return Err(MissingInput(format!("there is no store at {} (TERN_DATA_DIR) to copy", config.place())).into());
    }
    let shown = directory.display();
    fs::create_dir_all(directory).with_context(|| format!("cannot create {shown}"))?;
    if let Some(name) = names(directory, &[])?.first() {
        bail!("{shown} is not empty (it has {name}); name a new directory for each backup");
    }
    // No server starts while the journals are copied.
    let lock = FileLock::take(&config.data_dir.join(SERVE_LOCK), Duration::ZERO);
    let is_served = match &lock {
        Ok(_) => false,
        Err(error) if error.kind() == ErrorKind::WouldBlock => true,
        Err(error) => bail!("cannot lock {} (TERN_DATA_DIR): {error}", config.data_dir.display()),
    };
    let contents =
        make_whole(&directory.join(DATABASE), |hidden| Ok(copy_database(&config.data_dir.join(DATABASE), hidden)?))?;
    copy_if_there(&config.data_dir.join(REQUIREMENT), &directory.join(REQUIREMENT))?;
    let clicks = config.data_dir.join(CLICKS);
    let copied = directory.join(CLICKS);
    fs::create_dir_all(&copied).with_context(|| format!("cannot create {}", copied.display()))?;
    copy_if_there(&clicks.join(PARKED), &copied.join(PARKED))?;
    if !is_served {
        copy_journals(&clicks, &copied)?;
    }
    sync_directory(directory)?;
    write_line(NAME, &format!("backup: {} in {shown}", describe(&contents)));
    if is_served {
        write_line(
            NAME,
            "a server runs: clicks that it has not stored yet are in its journals, and in the next backup",
        );
    }
    Ok(())
}

/// Copies a backup into the data directory, in which no server may run.
pub fn restore(config: &Config, command: &RestoreCommand) -> anyhow::Result<()> {
    refuse_shared_store(config)?;
    let backup = &command.directory;
    if !backup.join(DATABASE).try_exists().with_context(|| format!("cannot read {}", backup.display()))? {
        return Err(MissingInput(format!(
            "{} is no backup: it has no {DATABASE}; nothing was changed",
            backup.display()
        ))
        .into());
    }
    let data = &config.data_dir;
    let shown = data.display();
    fs::create_dir_all(data).with_context(|| format!("cannot create {shown} (TERN_DATA_DIR)"))?;
    let _lock = FileLock::take(&data.join(SERVE_LOCK), LOCK_WAIT).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock => anyhow::anyhow!("a server runs on {shown} (TERN_DATA_DIR); stop it first"),
        _ => anyhow::Error::new(error).context(format!("cannot lock {shown} (TERN_DATA_DIR)")),
    })?;
    let present = names(data, &[SERVE_LOCK])?;
    if !command.replace && !present.is_empty() {
        bail!(
            "{shown} (TERN_DATA_DIR) is not empty: it has {}; set TERN_DATA_DIR to a new directory, or set its database \
             aside with --replace; nothing was changed",
            present.join(", ")
        );
    }
    let mut aside = None;
    let contents = make_whole(&data.join(DATABASE), |hidden| {
        fs::copy(backup.join(DATABASE), hidden).with_context(|| format!("cannot write {}", hidden.display()))?;
        let contents = check_database(hidden)?;
        // The copy is whole: the former database goes only now.
        aside = set_aside(data)?;
        Ok(contents)
    })?;
    copy_if_there(&backup.join(REQUIREMENT), &data.join(REQUIREMENT))?;
    let (copied, clicks) = (backup.join(CLICKS), data.join(CLICKS));
    fs::create_dir_all(&clicks).with_context(|| format!("cannot create {}", clicks.display()))?;
    copy_journals(&copied, &clicks)?;
    let parked = if clicks.join(PARKED).exists() { "parked-from-backup.ndjson" } else { PARKED };
    copy_if_there(&copied.join(PARKED), &clicks.join(parked))?;
    sync_directory(data)?;
    if let Some(aside) = aside {
        write_line(NAME, &format!("the former database is in {}", aside.display()));
    }
    write_line(NAME, &format!("restored: {} in {}", describe(&contents), config.place()));
    Ok(())
}

fn refuse_shared_store(config: &Config) -> anyhow::Result<()> {
    if config.database.is_some() {
        bail!("the store is {}; copy it with the tools of PostgreSQL, such as pg_dump", config.place());
    }
    Ok(())
}

fn describe(Contents { users, links, events }: &Contents) -> String {
    format!("{users} users, {links} links, {events} events")
}

/// Lists the names in a directory except some, in order.
fn names(directory: &Path, except: &[&str]) -> anyhow::Result<Vec<String>> {
    let read = || {
        let entries = fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        entries.collect::<io::Result<Vec<String>>>()
    };
    let mut names = read().with_context(|| format!("cannot read {}", directory.display()))?;
    names.retain(|name| !except.contains(&name.as_str()));
    names.sort_unstable();
    Ok(names)
}

/// Makes a database under a hidden name and renames it, so that it is there whole or not at all.
fn make_whole<T>(path: &Path, make: impl FnOnce(&Path) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let hidden = path.with_extension("new");
    let made = make(&hidden).and_then(|made| {
        File::open(&hidden).and_then(|file| file.sync_all())?;
        fs::rename(&hidden, path)?;
        Ok(made)
    });
    // A part of a database must not look like one, and takes room.
    made.inspect_err(|_| drop(fs::remove_file(&hidden)))
}

/// Moves the database of a directory and what is derived from it to a directory of its own; returns that.
fn set_aside(data: &Path) -> anyhow::Result<Option<PathBuf>> {
    let files = [DATABASE, "tern.db-wal", "tern.db-shm", SNAPSHOT];
    let files: Vec<&str> = files.into_iter().filter(|name| data.join(name).exists()).collect();
    if files.is_empty() {
        return Ok(None);
    }
    let time = Timestamp::now().to_string().replace(':', "-");
    let aside = data.join(format!("replaced-{time}"));
    fs::create_dir(&aside).with_context(|| format!("cannot create {}", aside.display()))?;
    for name in files {
        fs::rename(data.join(name), aside.join(name)).with_context(|| format!("cannot set {name} aside"))?;
    }
    Ok(Some(aside))
}

/// Copies the directories of journals that the target does not have.
fn copy_journals(from: &Path, to: &Path) -> anyhow::Result<()> {
    let entries = match fs::read_dir(from) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.with_context(|| format!("cannot read {}", from.display()))?,
    };
    for entry in entries {
        let entry = entry?;
        let (journal, copy) = (entry.path(), to.join(entry.file_name()));
        if !journal.is_dir() || copy.exists() {
            continue;
        }
        fs::create_dir(&copy).with_context(|| format!("cannot create {}", copy.display()))?;
        for file in fs::read_dir(&journal).with_context(|| format!("cannot read {}", journal.display()))? {
            let file = file?;
            copy_if_there(&file.path(), &copy.join(file.file_name()))?;
        }
        sync_directory(&copy)?;
    }
    sync_directory(to)
}

fn copy_if_there(from: &Path, to: &Path) -> anyhow::Result<()> {
    match fs::copy(from, to) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        copied => copied.with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?,
    };
    File::open(to).and_then(|file| file.sync_all()).with_context(|| format!("cannot sync {}", to.display()))
}

fn sync_directory(directory: &Path) -> anyhow::Result<()> {
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .with_context(|| format!("cannot sync {}", directory.display()))
}

//! The command `import`: files of other link services, and the way back.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, anyhow};
use clap::Args;
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use jiff::tz::TimeZone;
use tern_common::process::Exit;
use tern_common::store::AdminStore;
use tern_common::{Id, OwnAddresses};
use tern_import::{ColumnMap, DateOrder, Options, Source};

use super::job::{ImportError, Input, Report, import_file};
use super::outcome::{Outcome, RowOutcome, Summary};
use super::plan::{OnConflict, Plan, UnknownOwner, find_owner, find_tag};
use super::undo::undo;
use crate::config::AdminConfig;

/// The exit code for rows that are no links, with `--strict`.
pub const EXIT_INVALID: u8 = 3;

/// The exit code for codes that are taken, with `--on-conflict fail`.
pub const EXIT_CONFLICT: u8 = 4;

/// The invalid rows of a file that are shown on standard error.
const SHOWN_INVALID: u64 = 20;

/// The arguments of the command `import`.
#[derive(Clone, Debug, Args)]
pub struct ImportCommand {
    /// The files as the other service gave them; - is standard input
    #[arg(value_name = "FILE", required_unless_present = "undo")]
    pub files: Vec<PathBuf>,
    /// The service that wrote the files; recognised by their columns unless given
    #[arg(long, value_name = "SERVICE", default_value = "auto", value_parser = parse_source)]
    pub from: From,
    /// The id of the user who gets the links; needed if there are several users
    #[arg(long, value_name = "ID", value_parser = parse_id)]
    pub user: Option<Id>,
    /// The zone of times without one, such as Europe/Berlin; UTC unless given
    #[arg(long, value_name = "ZONE", value_parser = parse_zone)]
    pub timezone: Option<TimeZone>,
    /// The order of day and month in dates such as 03/02/2026: day-first or month-first
    #[arg(long, value_name = "ORDER")]
    pub date_order: Option<DateOrder>,
    /// Write nothing, and say for each row what would become of it
    #[arg(long)]
    pub dry_run: bool,
    /// The treatment of a row whose code is taken
    #[arg(long, value_enum, default_value_t)]
    pub on_conflict: OnConflict,
    /// Import only the links of this host
    #[arg(long, value_name = "HOST")]
    pub domain: Option<String>,
    /// The names of columns that are not recognised, such as code=Slug,target=URL
    #[arg(long, value_name = "FIELD=COLUMN,...", default_value = "", hide_default_value = true)]
    pub map: ColumnMap,
    /// The prefix of the tables in a dump of several installations, such as yourls_
    #[arg(long, value_name = "PREFIX")]
    pub table_prefix: Option<String>,
    /// Import the log of clicks as events, if the file has one
    #[arg(long)]
    pub with_clicks: bool,
    /// Write the outcome of each row to this file, one JSON object a line; - is standard output
    #[arg(long, value_name = "REPORT")]
    pub report: Option<PathBuf>,
    /// End with exit code 3 if a row is no link
    #[arg(long)]
    pub strict: bool,
    /// Undo the import whose links have this tag
    #[arg(long, value_name = "TAG", conflicts_with = "files")]
    pub undo: Option<String>,
    /// Undo nothing unless this number of links has the tag
    #[arg(long, value_name = "NUMBER", requires = "undo")]
    pub expect: Option<u64>,
}

/// The service that wrote a file; `None` recognises it.
pub type From = Option<Source>;

fn parse_source(word: &str) -> Result<From, String> {
    if word == "auto" {
        return Ok(None);
    }
    word.parse().map(Some).map_err(|error| format!("{error}, or auto"))
}

fn parse_id(text: &str) -> Result<Id, String> {
    Id::parse(text).ok_or_else(|| "must be the id of a user, a positive integer".to_owned())
}

fn parse_zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| "must be a zone of the IANA database, such as Europe/Berlin".to_owned())
}

/// The settings of the process that an import needs.
#[derive(Clone, Debug)]
pub struct ImportSettings {
    pub own_addresses: OwnAddresses,
    pub short_code_length: usize,
    /// The name of the program, for advice.
    pub program: &'static str,
}

impl ImportSettings {
    pub fn of(config: &AdminConfig, program: &'static str) -> ImportSettings {
        let AdminConfig { own_addresses, short_code_length, .. } = config.clone();
        ImportSettings { own_addresses, short_code_length, program }
    }
}

/// Runs the command. Writes results to `out`, and invalid rows to `err`.
///
/// # Errors
/// At the first file that cannot be imported. Files and batches before it remain.
/// After the last file with exit code 3, if `--strict` is given and a row is no link.
pub async fn run(
    store: &dyn AdminStore,
    command: &ImportCommand,
    settings: &ImportSettings,
    out: &mut (dyn Write + Send),
    err: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    if let Some(tag) = &command.undo {
        return run_undo(store, tag, command, out, err).await;
    }
    let owner = find_owner(store, command.user).await.map_err(|error| match error {
        UnknownOwner::SeveralUsers => anyhow!("{error} with --user ID (GET /users lists them)"),
        other => other.into(),
    })?;
    let mut file = match command.report.as_deref() {
        Some(path) if path != Path::new("-") => {
            Some(BufWriter::new(File::create(path).with_context(|| format!("{}: cannot be written", path.display()))?))
        }
        _ => None,
    };
    let mut tags = HashMap::new();
    let mut invalid = 0;
    for path in &command.files {
        let name = name_of(path);
        let input = open(path, command).with_context(|| format!("{name}: cannot be read"))?;
        let import = input.open().await.map_err(|error| anyhow!("{name}: {error}"))?;
        let recognised = import.recognised;
        writeln!(out, "{name}: {recognised}")?;
        let source = recognised.source;
        let tag = match tags.get(&source) {
            Some(tag) => tag,
            None => &*tags.entry(source).or_insert(find_tag(store, source).await?),
        };
        let plan = Plan {
            source,
            owner,
            tag: tag.clone(),
            on_conflict: command.on_conflict,
            is_dry_run: command.dry_run,
            own_addresses: settings.own_addresses.clone(),
            short_code_length: settings.short_code_length,
        };
        let lines: Option<&mut (dyn Write + Send)> = match (&mut file, command.report.is_some()) {
            (Some(file), _) => Some(file),
            (None, is_given) if is_given || command.dry_run => Some(&mut *out),
            (None, _) => None,
        };
        let is_json = command.report.is_some();
        let mut report =
            Lines { name: &name, progress: progress_bar(&input), input: &input, lines, is_json, err, invalid: 0 };
        let summary = import_file(store, &input, &plan, &mut report).await;
        report.progress.finish_and_clear();
        let summary = summary.map_err(|error| name_error(&name, error))?;
        if let Some(file) = &mut file {
            file.flush().context("the report cannot be written")?;
        }
        invalid += summary.counts.invalid;
        write_summary(out, &name, &plan, &summary, settings.program)?;
    }
    if command.strict && invalid > 0 {
        let message = format!("{invalid} rows are no links");
        return Err(Exit { code: EXIT_INVALID, message }.into());
    }
    Ok(())
}

fn name_error(name: &str, error: ImportError) -> anyhow::Error {
    let message = format!("{name}: {error}");
    match error {
        ImportError::Conflicts { .. } => Exit { code: EXIT_CONFLICT, message }.into(),
        _ => anyhow!(message),
    }
}

fn write_summary(
    out: &mut (dyn Write + Send),
    name: &str,
    plan: &Plan,
    summary: &Summary,
    program: &str,
) -> io::Result<()> {
    let counts = &summary.counts;
    let would = if plan.is_dry_run { "would be " } else { "" };
    writeln!(out, "{name}: {would}{}", counts.sentence())?;
    if counts.clicks > 0 || summary.other_clicks > 0 {
        let others = summary.other_clicks;
        writeln!(out, "{name}: {} clicks {would}events, {others} of no imported link left out", counts.clicks)?;
    }
    if !summary.dropped.is_empty() {
        let names: Vec<&str> = summary.dropped.iter().map(String::as_str).collect();
        writeln!(out, "{name}: not imported, as Tern has no place for it: {}", names.join(", "))?;
    }
    if counts.has_written() && !plan.is_dry_run {
        let tag = plan.tag.as_str();
        writeln!(out, "The links have the tag {tag}; {program} import --undo {tag} takes the import back.")?;
    }
    Ok(())
}

/// The outcomes of one file as lines.
struct Lines<'a> {
    name: &'a str,
    input: &'a Input,
    progress: ProgressBar,
    /// The receiver of every outcome.
    lines: Option<&'a mut (dyn Write + Send)>,
    is_json: bool,
    err: &'a mut (dyn Write + Send),
    invalid: u64,
}

impl Report for Lines<'_> {
    async fn note(&mut self, outcomes: Vec<RowOutcome>) -> anyhow::Result<()> {
        self.progress.set_position(self.input.bytes_read.load(Ordering::Relaxed));
        let progress = self.progress.clone();
        progress.suspend(|| {
            for outcome in &outcomes {
                self.write(outcome)?;
            }
            Ok(())
        })
    }
}

impl Lines<'_> {
    fn write(&mut self, outcome: &RowOutcome) -> anyhow::Result<()> {
        match &mut self.lines {
            Some(lines) if self.is_json => {
                serde_json::to_writer(&mut *lines, outcome)?;
                lines.write_all(b"\n")?;
            }
            Some(lines) => writeln!(lines, "{}: {}", self.name, sentence(outcome))?,
            None => {}
        }
        let is_shown = self.lines.is_some() && !self.is_json;
        if outcome.outcome == Outcome::Invalid && !is_shown {
            self.invalid += 1;
            if self.invalid <= SHOWN_INVALID {
                writeln!(self.err, "{}: {}", self.name, sentence(outcome))?;
            } else if self.invalid == SHOWN_INVALID + 1 {
                writeln!(self.err, "{}: further invalid rows are in the file of --report alone", self.name)?;
            }
        }
        Ok(())
    }
}

fn sentence(RowOutcome { row, outcome, short_code, reason }: &RowOutcome) -> String {
    let outcome = format!("{outcome:?}").to_lowercase();
    let mut line = format!("row {row} {outcome}");
    if let Some(code) = short_code {
        line += " ";
        line += code;
    }
    if let Some(reason) = reason {
        line += ": ";
        line += reason;
    }
    line
}

async fn run_undo(
    store: &dyn AdminStore,
    tag: &str,
    command: &ImportCommand,
    out: &mut (dyn Write + Send),
    err: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    let undone = undo(store, tag, command.expect, command.user).await?;
    for link in &undone.kept {
        writeln!(err, "{}: remains as it is: {}", link.short_code, link.reason)?;
    }
    let (deleted, restored, kept) = (undone.deleted, undone.restored, undone.kept.len());
    writeln!(out, "Undid {tag}: {deleted} links deleted, {restored} put back, {kept} left as they are")?;
    Ok(())
}

/// Opens a file. Standard input is copied first, since an import may read a file twice.
fn open(path: &Path, command: &ImportCommand) -> anyhow::Result<Input> {
    let is_stdin = path == Path::new("-");
    let file = if is_stdin {
        let mut file = tempfile::tempfile()?;
        io::copy(&mut io::stdin().lock(), &mut file)?;
        file
    } else {
        File::open(path)?
    };
    Ok(Input {
        file,
        path: (!is_stdin).then(|| path.to_owned()),
        source: command.from,
        options: Options {
            timezone: command.timezone.clone(),
            domain: command.domain.clone(),
            columns: command.map.clone(),
            table_prefix: command.table_prefix.clone(),
            date_order: command.date_order,
            with_clicks: command.with_clicks,
        },
        bytes_read: Arc::new(AtomicU64::new(0)),
    })
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// Returns a progress bar, which is shown only if standard error is a terminal.
fn progress_bar(input: &Input) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {eta}");
    let bytes = input.file.metadata().map_or(0, |metadata| metadata.len());
    let bar = ProgressBar::new(bytes).with_finish(ProgressFinish::AndClear);
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

//! The body of an export: all rows of a walk, part by part, as the client takes them.
//!
//! An export whose rows cannot all be read ends without the end of its encoding, so that a client does not take it for whole.

use std::io::Write;
use std::time::Duration;

use anyhow::anyhow;
use axum::BoxError;
use axum::body::{Body, Bytes};
use clap::ValueEnum;
use csv::{Terminator, WriterBuilder};
use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use tern_common::store::{self, StoreError};
use utoipa::ToSchema;

use super::ExportPass;
use super::columns::{Record, escape_formula};
use crate::http::error::{Result, internal};

/// The rows that are read at a time.
const ROWS: u32 = 250;

/// The number of bytes after which a part is sent. Rows that were read beyond it are read again.
const PART_LEN: usize = 128 * 1024;

/// The most attempts to read a part while the store is busy or unavailable, and the pause after each.
const ATTEMPTS: u32 = 10;
const PAUSE: Duration = Duration::from_secs(1);

/// The encoding of an export
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Comma-separated values with a header, which `load` and `import` take.
    #[default]
    Csv,
    /// One object a line.
    Ndjson,
    /// One array.
    Json,
}

/// A source of rows by id, and the ways to write them.
pub(crate) trait Walk: Send + Sync + 'static {
    type Row: Record + Send + Sync + 'static;

    /// Reads the first rows after an id.
    fn read(
        &self,
        pass: &ExportPass,
        after: i64,
        rows: u32,
    ) -> impl Future<Output = store::Result<Vec<Self::Row>>> + Send;

    fn id(row: &Self::Row) -> i64;

    /// Appends a row as JSON on one line.
    fn write_json(row: &Self::Row, out: &mut Vec<u8>);
}

/// An export under way.
struct Export<W: Walk> {
    walk: W,
    pass: ExportPass,
    format: Format,
    is_for_spreadsheets: bool,
    after: i64,
    has_begun: bool,
    /// Rows that were read and not written yet.
    rows: std::vec::IntoIter<W::Row>,
    is_last: bool,
    has_ended: bool,
}

/// Returns the body of an export, whose first rows are read before.
pub(crate) async fn export<W: Walk>(
    walk: W,
    pass: ExportPass,
    format: Format,
    is_for_spreadsheets: bool,
) -> Result<Body> {
    let mut export = Export::new(walk, pass, format, is_for_spreadsheets);
    let first = export.read_once().await?;
    export.take(first);
    let first = export.next_part().await.map_err(|error| internal(anyhow!(error)))?.unwrap_or_default();
    if export.has_ended {
        return Ok(Body::from(first));
    }
    let rest = stream::try_unfold(export, |mut export| async move {
        let part = export.next_part().await?;
        Ok::<_, BoxError>(part.map(|part| (part, export)))
    });
    Ok(Body::from_stream(stream::iter([Ok(first)]).chain(rest)))
}

/// Writes an export to `out`.
pub(crate) async fn export_to<W: Walk>(
    walk: W,
    pass: ExportPass,
    format: Format,
    is_for_spreadsheets: bool,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    let mut export = Export::new(walk, pass, format, is_for_spreadsheets);
    while let Some(part) = export.next_part().await.map_err(|error| anyhow!(error))? {
        out.write_all(&part)?;
    }
    Ok(out.flush()?)
}

impl<W: Walk> Export<W> {
    fn new(walk: W, pass: ExportPass, format: Format, is_for_spreadsheets: bool) -> Export<W> {
        Export {
            walk,
            pass,
            format,
            is_for_spreadsheets,
            after: 0,
            has_begun: false,
            rows: Vec::new().into_iter(),
            is_last: false,
            has_ended: false,
        }
    }

    async fn read_once(&self) -> store::Result<Vec<W::Row>> {
        self.walk.read(&self.pass, self.after, ROWS).await
    }

    fn take(&mut self, rows: Vec<W::Row>) {
        self.is_last = rows.len() < ROWS as usize;
        self.rows = rows.into_iter();
    }

    /// Reads the next rows, several times if the store is busy or unavailable.
    async fn read(&mut self) -> Result<(), BoxError> {
        for attempt in 1.. {
            if !self.pass.is_valid() {
                return Err(anyhow!("the token of the export was revoked or has expired").into());
            }
            match self.read_once().await {
                Ok(rows) => {
                    self.take(rows);
                    break;
                }
                Err(StoreError::Busy(_) | StoreError::Unavailable(_)) if attempt < ATTEMPTS => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Returns the next part; `None` after the last one.
    async fn next_part(&mut self) -> Result<Option<Bytes>, BoxError> {
        if self.has_ended {
            return Ok(None);
        }
        if self.rows.len() == 0 && !self.is_last {
            self.read().await.inspect_err(|error| {
                self.pass.note_failure();
                tracing::warn!(%error, "reading the rows of an export failed; the answer is cut and its connection closed");
            })?;
        }
        let mut part = Vec::new();
        match self.format {
            Format::Csv => self.write_csv(&mut part)?,
            Format::Ndjson => self.write_lines(&mut part),
            Format::Json => self.write_array(&mut part),
        }
        self.has_begun = true;
        if self.rows.len() > 0 {
            // The memory of an unread part is bounded, so the other rows are read again.
            self.take(Vec::new());
            self.is_last = false;
        }
        if self.is_last {
            self.has_ended = true;
            if self.format == Format::Json {
                part.push(b']');
            }
        }
        Ok(Some(part.into()))
    }

    /// Returns the next row, unless the part is full.
    fn next_row(&mut self, written: usize) -> Option<W::Row> {
        let row = if written < PART_LEN { self.rows.next() } else { None }?;
        self.after = W::id(&row);
        Some(row)
    }

    fn write_lines(&mut self, part: &mut Vec<u8>) {
        while let Some(row) = self.next_row(part.len()) {
            W::write_json(&row, part);
            part.push(b'\n');
        }
    }

    fn write_array(&mut self, part: &mut Vec<u8>) {
        let mut separator: &[u8] = if self.has_begun { b",\n" } else { b"[" };
        let mut has_rows = false;
        while let Some(row) = self.next_row(part.len()) {
            part.extend_from_slice(separator);
            W::write_json(&row, part);
            separator = b",\n";
            has_rows = true;
        }
        if !has_rows && !self.has_begun {
            part.push(b'[');
        }
    }

    fn write_csv(&mut self, part: &mut Vec<u8>) -> Result<(), BoxError> {
        if !self.has_begun && self.is_for_spreadsheets {
            part.extend_from_slice("\u{feff}".as_bytes());
        }
        let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new());
        if !self.has_begun {
            writer.write_record(W::Row::COLUMNS)?;
        }
        let mut written = 0;
        while let Some(row) = self.next_row(written) {
            let mut fields = row.fields();
            if self.is_for_spreadsheets {
                fields = fields.into_iter().map(escape_formula).collect();
            }
            written += fields.iter().map(String::len).sum::<usize>();
            writer.write_record(&fields)?;
        }
        part.extend(writer.into_inner().map_err(|error| error.into_error())?);
        Ok(())
    }
}

//! Importing users from an uploaded CSV file.
//!
//! The upload goes to a file first: a slow client holds nothing in the database, and a file that is not text is
//! refused before any of it is kept.

use std::fs::File;

use axum::Extension;
use axum::body::Body;
use axum::extract::multipart::{Field, Multipart};
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use bytesize::ByteSize;
use serde::Serialize;
use tern_common::Id;
use tern_common::store::Imported;
use tern_common::user::UserRow;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

use crate::answer::Json;
use crate::body::{BoundedBody, leave_unread, read_error, refuse_coding};
use crate::csv_rows::{USER_COLUMNS, user_row};
use crate::csv_table::CsvTable;
use crate::error::{Error, Result, bad_request, internal, unsupported_media_type};
use crate::state::AppState;
use crate::upload_room::{NoRoom, UploadBytes, UploadRoom};

/// Rows of one transaction: others get to write between two.
const BATCH_ROWS: usize = 1000;

/// How many errors are listed; the rest are counted.
const MAX_ERRORS: usize = 1000;

/// The longest field in bytes, also of columns that are ignored.
const MAX_FIELD_LEN: usize = 8 * 1024;

const NOT_UTF_8: &str = "The file is not UTF-8: save it as \"CSV UTF-8\", or convert it with iconv";

/// What became of the rows
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct ImportReport {
    #[schema(example = 398)]
    imported: u64,
    /// Rows of users who are there already.
    #[schema(example = 1)]
    skipped: u64,
    #[schema(example = 1)]
    failed: u64,
    /// The first 1000 of the rows that failed.
    errors: Vec<RowError>,
}

#[derive(Debug, Serialize, ToSchema)]
struct RowError {
    /// Of the data rows, from 1.
    #[schema(example = 7)]
    row: u64,
    #[schema(example = "email must look like name@example.com")]
    reason: String,
}

/// A file of users to import
#[derive(ToSchema)]
#[expect(dead_code, reason = "the upload is read part by part; this is its form")]
pub(crate) struct ImportUsers {
    /// CSV in UTF-8 with the columns `username` and `email`, and optionally `id` and `created_at`, in any order.
    #[schema(
        value_type = String,
        format = Binary,
        content_media_type = "text/csv",
        example = "username,email\nemberorbit96,emberorbit96@mail.example\n"
    )]
    file: Vec<u8>,
}

/// Import users from a CSV file
///
/// Good rows are kept whatever is wrong with others. At most 64 MiB unless configured otherwise.
#[utoipa::path(
    post,
    path = "/users/bulk",
    tag = "users",
    request_body(content = ImportUsers, content_type = "multipart/form-data"),
    responses((status = 201, body = ImportReport, description = "What became of each row"))
)]
pub(crate) async fn import_users(
    State(state): State<AppState>,
    Extension(room): Extension<UploadRoom>,
    request: Request,
) -> Result<(StatusCode, Json<ImportReport>)> {
    let limit = state.config.bulk_body_limit;
    let mut bytes = room.begin(limit);
    let file = receive_file(request, limit, &mut bytes).await?;
    let (sender, mut batches) = mpsc::channel(1);
    let reading = spawn_blocking(move || {
        let read = read_batches(file, &sender);
        // The file is gone by now.
        drop(bytes);
        read
    });
    let mut report = ImportReport::default();
    while let Some(Batch { numbers, rows, errors }) = batches.recv().await {
        let outcomes = if rows.is_empty() { Vec::new() } else { state.store.import_users(rows).await? };
        report.add(&numbers, outcomes, errors);
    }
    reading.await.map_err(internal)??;
    Ok((StatusCode::CREATED, Json(report)))
}

impl ImportReport {
    fn add(&mut self, numbers: &[u64], outcomes: Vec<Imported>, mut errors: Vec<RowError>) {
        for (&row, outcome) in numbers.iter().zip(outcomes) {
            match outcome {
                Imported::Inserted => self.imported += 1,
                Imported::Duplicate => self.skipped += 1,
                Imported::IdTaken(id) => {
                    errors.push(RowError { row, reason: format!("id {id} belongs to another user") });
                }
                Imported::IdTooFar(id, last) => {
                    let ahead = Id::MAX_AHEAD;
                    let reason = format!("id {id} is more than {ahead} beyond the largest id so far, {last}");
                    errors.push(RowError { row, reason });
                }
            }
        }
        errors.sort_by_key(|error| error.row);
        self.failed += errors.len() as u64;
        errors.truncate(MAX_ERRORS - self.errors.len());
        self.errors.append(&mut errors);
    }
}

/// The part named `file`, checked to be UTF-8, in a file without a name.
async fn receive_file(request: Request, limit: ByteSize, bytes: &mut UploadBytes) -> Result<File> {
    if !is_multipart(request.headers()) {
        leave_unread(request);
        return Err(unsupported_media_type("The Content-Type must be multipart/form-data"));
    }
    let request = refuse_coding(request)?;
    let headers = request.headers().clone();
    let mut bounded = Request::new(Body::new(BoundedBody::new(request, limit)?));
    *bounded.headers_mut() = headers;
    // Its own limit is not ours.
    DefaultBodyLimit::disable().apply(&mut bounded);
    let mut parts = Multipart::from_request(bounded, &())
        .await
        .map_err(|_| bad_request("The Content-Type must name the boundary of the parts"))?;
    let mut file = None;
    while let Some(part) = parts.next_field().await.map_err(|error| read_error(&error, limit))? {
        // Other parts are read to their end, and dropped.
        if file.is_none() && part.name() == Some("file") {
            file = Some(save(part, limit, bytes).await?);
        }
    }
    file.ok_or_else(|| bad_request("A part named file is required"))
}

fn is_multipart(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case("multipart/form-data"))
}

async fn save(mut part: Field<'_>, limit: ByteSize, bytes: &mut UploadBytes) -> Result<File> {
    let mut file = tokio::fs::File::from_std(tempfile::tempfile().map_err(internal)?);
    let mut text = Utf8Check::default();
    while let Some(chunk) = part.chunk().await.map_err(|error| read_error(&error, limit))? {
        if !text.takes(&chunk) {
            return Err(bad_request(NOT_UTF_8));
        }
        if let Err(NoRoom { most }) = bytes.take(chunk.len() as u64) {
            // A client that is still sending would not come to read the answer.
            while part.chunk().await.map_err(|error| read_error(&error, limit))?.is_some() {}
            let message = format!("All uploads under way together may have at most {most}; try again in a moment");
            return Err(Error::Busy(message));
        }
        file.write_all(&chunk).await.map_err(internal)?;
    }
    if !text.is_complete() {
        return Err(bad_request(NOT_UTF_8));
    }
    file.flush().await.map_err(internal)?;
    file.rewind().await.map_err(internal)?;
    Ok(file.into_std().await)
}

/// Checks text that comes in pieces, which may end in the midst of a character.
#[derive(Debug, Default)]
struct Utf8Check {
    /// The beginning of a character, at most three bytes.
    cut: Vec<u8>,
}

impl Utf8Check {
    fn takes(&mut self, mut piece: &[u8]) -> bool {
        while !self.cut.is_empty() {
            let Some((&byte, rest)) = piece.split_first() else {
                return true;
            };
            self.cut.push(byte);
            piece = rest;
            match std::str::from_utf8(&self.cut) {
                Ok(_) => self.cut.clear(),
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return false,
            }
        }
        match std::str::from_utf8(piece) {
            Ok(_) => true,
            Err(error) if error.error_len().is_none() => {
                self.cut = piece[error.valid_up_to()..].to_vec();
                true
            }
            Err(_) => false,
        }
    }

    fn is_complete(&self) -> bool {
        self.cut.is_empty()
    }
}

/// Rows that are good so far, the number of each, and those that are not.
#[derive(Debug, Default)]
struct Batch {
    numbers: Vec<u64>,
    rows: Vec<UserRow>,
    errors: Vec<RowError>,
}

/// Ends early when nobody takes the batches any more.
fn read_batches(file: File, batches: &mpsc::Sender<Batch>) -> Result<()> {
    let mut table = CsvTable::open(file, true).map_err(|problem| bad_request(format!("The file {problem}")))?;
    let missing = table.missing(USER_COLUMNS);
    if !missing.is_empty() {
        let (missing, columns) = (missing.join(" and "), table.columns());
        return Err(bad_request(format!("The file lacks the column {missing}; it has {columns}")));
    }
    let mut batch = Batch::default();
    let mut number = 0;
    while let Some(read) = table.next_row() {
        number += 1;
        let row = match read {
            Ok(row) if row.longest_field() > MAX_FIELD_LEN => {
                Err(format!("a field has more than {MAX_FIELD_LEN} bytes"))
            }
            Ok(row) => user_row(row),
            Err(bad) if bad.is_last => Err(format!("{}; nothing after it was read", bad.reason)),
            Err(bad) => Err(bad.reason),
        };
        match row {
            Ok(row) => {
                batch.numbers.push(number);
                batch.rows.push(row);
            }
            Err(reason) => batch.errors.push(RowError { row: number, reason }),
        }
        let is_full = batch.rows.len() == BATCH_ROWS || batch.errors.len() == MAX_ERRORS;
        if is_full && batches.blocking_send(std::mem::take(&mut batch)).is_err() {
            return Ok(());
        }
    }
    let _ = batches.blocking_send(batch);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_in_pieces_is_checked_like_the_whole() {
        let check = |bytes: &[u8]| {
            let expected = std::str::from_utf8(bytes).is_ok();
            for size in 1..=bytes.len().max(1) {
                let mut text = Utf8Check::default();
                let taken = bytes.chunks(size).all(|piece| text.takes(piece)) && text.is_complete();
                assert_eq!(taken, expected, "{bytes:?} in pieces of {size}");
            }
        };
        check(b"");
        check("aé本🦀z".as_bytes());
        check(b"a\xff");
        check(b"\xc3");
        check(b"\xc3\xc3\xa9");
        check(b"\xf0\x9f\xa6");
        check(b"\xed\xa0\x80");
    }
}

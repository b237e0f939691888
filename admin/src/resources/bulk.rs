//! The import of users from an uploaded CSV file or a JSON array.

use std::fs::File;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde::Serialize;
use tern_common::Id;
use tern_common::json::{JsonText, Kind};
use tern_common::store::ImportOutcome;
use tern_common::user::UserRow;
use tern_import::csv_file::CsvTable;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

use crate::csv_rows::{USER_COLUMNS, user_row};
use crate::http::answer::Json;
use crate::http::body::{discard_body, parse_json, read_json, read_whole, refuse_other_types};
use crate::http::error::{Result, bad_request, internal};
use crate::http::ignored::IgnoredNames;
use crate::http::upload::{Content, is_multipart, receive_file};
use crate::http::upload_quota::UploadQuota;
use crate::resources::users::CreateUser;
use crate::state::AppState;

/// The rows of one transaction. Other clients can write between two transactions.
const BATCH_ROWS: usize = 1000;

/// The most errors of a report; further errors are only counted.
const MAX_ERRORS: usize = 1000;

/// The longest field in bytes, in columns that are ignored, too.
const MAX_FIELD_LEN: usize = 8 * 1024;

/// The bodies that an import accepts, as the end of a sentence.
const FORMS: &str = "multipart/form-data with a CSV file in the part named file, \
                     or application/json with an array of users";

/// The outcomes of the rows
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct ImportReport {
    #[schema(example = 398)]
    imported: u64,
    /// Rows of users that exist already.
    #[schema(example = 1)]
    skipped: u64,
    #[schema(example = 1)]
    failed: u64,
    /// The first 1000 of the rows that failed.
    errors: Vec<RowError>,
}

#[derive(Debug, Serialize, ToSchema)]
struct RowError {
    /// The number of the row among the data rows, from 1.
    #[schema(example = 7)]
    row: u64,
    #[schema(example = "email must look like name@example.com")]
    reason: String,
}

/// A file of users to import
#[derive(ToSchema)]
#[expect(dead_code, reason = "the upload is read part by part; this type describes its form")]
pub(crate) struct ImportUsers {
    /// CSV in UTF-8 with the columns `username` and `email`, and optionally `id` and `created_at`, in any order.
    #[schema(
        value_type = String,
        format = Binary,
        content_media_type = "text/csv",
        example = "username,email\nemberorbit97,emberorbit97@mail.example\n"
    )]
    file: Vec<u8>,
}

/// Users to import
#[derive(ToSchema)]
#[schema(
    description = "Users in the form of `POST /users`; an item of another form is a row that failed",
    example = json!([{ "username": "emberorbit96", "email": "emberorbit96@mail.example" }])
)]
#[expect(dead_code, reason = "the array is read item by item, so that a bad item is a row that failed")]
pub(crate) struct ImportArray(Vec<CreateUser>);

/// Import users from a CSV file or a JSON array
///
/// Valid rows are imported even if other rows fail.
/// A file has at most 64 MiB, and an array at most 1 MiB, unless configured otherwise.
#[utoipa::path(
    post,
    path = "/users/bulk",
    tag = "users",
    request_body(content((ImportUsers = "multipart/form-data"), (ImportArray = "application/json"))),
    responses((status = 201, body = ImportReport, description = "The outcomes of the rows"))
)]
pub(crate) async fn import_users(
    State(state): State<Arc<AppState>>,
    Extension(quota): Extension<UploadQuota>,
    request: Request,
) -> Result<(StatusCode, Json<ImportReport>)> {
    let (sender, mut batches) = mpsc::channel(1);
    let reading = if is_multipart(request.headers()) {
        let limit = state.config.bulk_body_limit;
        let mut bytes = quota.begin(limit);
        let file = receive_file(request, limit, Content::Utf8, &mut bytes).await?;
        spawn_blocking(move || {
            let read = read_file(file, &sender);
            // The file was deleted when it was read, so its bytes no longer count.
            drop(bytes);
            read
        })
    } else {
        if let Err(refusal) = refuse_other_types(request.headers(), FORMS) {
            discard_body(request);
            return Err(refusal);
        }
        let ignored = request.extensions().get::<IgnoredNames>().cloned();
        let body = read_whole(request, state.config.body_limit).await?;
        spawn_blocking(move || read_array(&body, ignored.as_ref(), &sender))
    };
    let mut report = ImportReport::default();
    while let Some(Batch { numbers, rows, errors }) = batches.recv().await {
        let outcomes = if rows.is_empty() { Vec::new() } else { state.store.import_users(rows).await? };
        report.add(&numbers, outcomes, errors);
    }
    reading.await.map_err(internal)??;
    Ok((StatusCode::CREATED, Json(report)))
}

impl ImportReport {
    fn add(&mut self, numbers: &[u64], outcomes: Vec<ImportOutcome>, mut errors: Vec<RowError>) {
        for (&row, outcome) in numbers.iter().zip(outcomes) {
            match outcome {
                ImportOutcome::Inserted => self.imported += 1,
                ImportOutcome::Duplicate => self.skipped += 1,
                ImportOutcome::IdTaken(id) => {
                    errors.push(RowError { row, reason: format!("id {id} belongs to another user") });
                }
                ImportOutcome::IdTooFar(id, last) => {
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

/// Valid rows with their numbers, and the errors of other rows.
#[derive(Debug, Default)]
struct Batch {
    numbers: Vec<u64>,
    rows: Vec<UserRow>,
    errors: Vec<RowError>,
}

impl Batch {
    fn add(&mut self, number: u64, row: Result<UserRow, String>) {
        match row {
            Ok(row) => {
                self.numbers.push(number);
                self.rows.push(row);
            }
            Err(reason) => self.errors.push(RowError { row: number, reason }),
        }
    }
}

/// Sends rows in batches, and ends early when nothing receives them any more.
fn send_batches(rows: impl Iterator<Item = Result<UserRow, String>>, batches: &mpsc::Sender<Batch>) {
    let mut batch = Batch::default();
    for (number, row) in (1..).zip(rows) {
        batch.add(number, row);
        let is_full = batch.rows.len() == BATCH_ROWS || batch.errors.len() == MAX_ERRORS;
        if is_full && batches.blocking_send(std::mem::take(&mut batch)).is_err() {
            return;
        }
    }
    let _ = batches.blocking_send(batch);
}

/// Reads a CSV file and sends its rows.
fn read_file(file: File, batches: &mpsc::Sender<Batch>) -> Result<()> {
    let mut table = CsvTable::open(file, true).map_err(|problem| bad_request(format!("The file {problem}")))?;
    let missing = table.missing(USER_COLUMNS);
    if !missing.is_empty() {
        let (missing, columns) = (missing.join(" and "), table.columns());
        return Err(bad_request(format!("The file lacks the column {missing}; it has {columns}")));
    }
    let rows = std::iter::from_fn(|| {
        Some(match table.next_row()? {
            Ok(row) if row.longest_field() > MAX_FIELD_LEN => {
                Err(format!("a field has more than {MAX_FIELD_LEN} bytes"))
            }
            Ok(row) => user_row(row),
            Err(bad) if bad.is_last => Err(format!("{}; nothing after it was read", bad.reason)),
            Err(bad) => Err(bad.reason),
        })
    });
    send_batches(rows, batches);
    Ok(())
}

/// Reads a JSON array and sends its items as rows.
fn read_array(body: &[u8], ignored: Option<&IgnoredNames>, batches: &mpsc::Sender<Batch>) -> Result<()> {
    if body.trim_ascii().is_empty() {
        return Err(bad_request(format!("The body is missing; send {FORMS}")));
    }
    let array = parse_json("The body", body)?;
    if array.kind() != Kind::Array {
        return Err(bad_request("The body must be a JSON array of users; POST /users takes a single one"));
    }
    send_batches(array.items().map(|item| user_of_item(item, ignored)), batches);
    Ok(())
}

fn user_of_item(item: JsonText<'_>, ignored: Option<&IgnoredNames>) -> Result<UserRow, String> {
    if item.kind() != Kind::Object {
        return Err("a user must be an object with username and email".to_owned());
    }
    let CreateUser { username, email } = read_json(item, ignored)?;
    Ok(UserRow { id: None, username, email, created_at: None })
}

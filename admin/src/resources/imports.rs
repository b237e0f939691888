//! Imports of files of other link services, and the way back.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use anyhow::anyhow;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{BoxError, Extension};
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use tern_common::store::{Commit, signed};
use tern_import::Row;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use utoipa::ToSchema;

use crate::access::Caller;
use crate::http::answer::Json;
use crate::http::body::discard_body;
use crate::http::error::{Error, Result, bad_request, internal, not_found};
use crate::http::query::Query;
use crate::http::upload::{Content, is_multipart, receive_file};
use crate::http::upload_quota::{UploadQuota, UploadShare};
use crate::import::{
    Counts, ImportError, Input, Plan, Report, RowOutcome, Summary, UndoError, Undone, UnknownOwner, find_owner,
    find_tag, import_file, undo,
};
use crate::resources::import_requests::{ImportParameters, ImportTurn, UndoParameters, prefers_lines, prepare};
use crate::resources::live::UNBUFFERED;
use crate::state::{AppState, VisibleHeader};

/// The most outcomes of an answer in JSON.
const MAX_ROWS: usize = 1000;

/// The parts of an answer in NDJSON that may wait for the client.
const PARTS_AHEAD: usize = 2;

/// A file to import
#[derive(ToSchema)]
#[expect(dead_code, reason = "the upload is read part by part; this type describes its form")]
pub(crate) struct ImportForm {
    /// The file as the other service gave it, or an export of Tern.
    #[schema(
        value_type = String,
        format = Binary,
        content_media_type = "application/octet-stream",
        example = "short_code,original_url\nsummer,https://example.com/summer\n"
    )]
    file: Vec<u8>,
}

/// The result of an import
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ImportAnswer {
    /// The service that wrote the file.
    #[schema(example = "bitly")]
    source: &'static str,
    /// A sentence about the file and the columns by which it was recognised.
    #[schema(example = "an export of Bitly, recognised by Link, Destination URL and Engagements")]
    recognised: String,
    /// The tag of the links that were written; `null` if none was.
    #[schema(required, example = "import:bitly-2026-11-28")]
    tag: Option<String>,
    /// Whether nothing was written.
    #[schema(example = false)]
    dry_run: bool,
    counts: Counts,
    /// The names of fields for which Tern has no place, each once.
    #[schema(example = json!(["geo"]))]
    dropped: Vec<String>,
    /// The first links of the file, as they are read.
    sample: Vec<SampleLink>,
    /// The outcomes of the first 1,000 rows.
    rows: Vec<RowOutcome>,
}

/// A link of the file
#[derive(Debug, Serialize, ToSchema)]
struct SampleLink {
    #[schema(required, example = "summer")]
    short_code: Option<String>,
    #[schema(example = "https://example.com/summer")]
    original_url: String,
    #[schema(required, example = "Summer")]
    title: Option<String>,
    #[schema(example = json!(["poster"]))]
    tags: Vec<String>,
    #[schema(example = true)]
    is_active: bool,
    #[schema(example = 42)]
    imported_clicks: u64,
}

/// The outcomes for an answer in JSON.
#[derive(Debug, Default)]
struct FirstRows(Vec<RowOutcome>);

impl Report for FirstRows {
    async fn note(&mut self, outcomes: Vec<RowOutcome>) -> anyhow::Result<()> {
        let room = MAX_ROWS - self.0.len();
        self.0.extend(outcomes.into_iter().take(room));
        Ok(())
    }
}

/// The outcomes for an answer in NDJSON.
struct Lines(mpsc::Sender<Result<Bytes>>);

impl Report for Lines {
    async fn note(&mut self, outcomes: Vec<RowOutcome>) -> anyhow::Result<()> {
        let mut lines = Vec::new();
        for outcome in outcomes {
            serde_json::to_writer(&mut lines, &outcome)?;
            lines.push(b'\n');
        }
        self.0.send(Ok(lines.into())).await.map_err(|_| anyhow!("the client closed its connection"))
    }
}

/// The parts of an import, which it needs until its end.
struct Work {
    state: Arc<AppState>,
    input: Input,
    plan: Plan,
    _turn: OwnedSemaphorePermit,
    _share: UploadShare,
}

/// Import links of another service
///
/// Rows become links, each with the tag of the import. Batches of rows are committed one by one, so an import that ends
/// early is continued by a second one, which skips the links that exist. With `Accept: application/x-ndjson` the answer has a line for
/// each row, as the rows are imported; it ends without its last chunk if the import ends early.
#[utoipa::path(
    post,
    path = "/urls/import",
    tag = "links",
    params(ImportParameters),
    request_body(content((ImportForm = "multipart/form-data"))),
    responses(
        (
            status = 200,
            description = "The outcomes of the rows",
            headers(("Tern-Visible")),
            content(
                (ImportAnswer = "application/json"),
                (String = "application/x-ndjson", example = "{\"row\":1,\"outcome\":\"created\",\"short_code\":\"summer\",\"reason\":null}\n"),
            )
        ),
        (status = 404),
        (status = 409),
    )
)]
pub(crate) async fn import_urls(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Extension(quota): Extension<UploadQuota>,
    Extension(turn): Extension<ImportTurn>,
    Query(parameters): Query<ImportParameters>,
    request: Request,
) -> Result<Response> {
    let prepared = prepare(&parameters, &caller).and_then(|prepared| turn.take().map(|turn| (prepared, turn)));
    let is_form = is_multipart(request.headers());
    let ((source, options, named), turn) = match prepared {
        Ok(prepared) if is_form => prepared,
        other => {
            discard_body(request);
            let form = "The body must be multipart/form-data with the file in the part named file";
            return Err(other.err().unwrap_or_else(|| bad_request(form)));
        }
    };
    let is_lines = prefers_lines(request.headers());
    let limit = state.config.bulk_body_limit;
    let mut share = quota.begin(limit);
    let file = receive_file(request, limit, Content::Any, &mut share).await?;
    let input = Input { file, path: None, source, options, bytes_read: Arc::new(AtomicU64::new(0)) };
    let owner = find_owner(&*state.store, named).await?;
    let import = input.open().await?;
    let (source, recognised) = (import.recognised.source, import.recognised.to_string());
    drop(import);
    let plan = Plan {
        source,
        owner,
        tag: find_tag(&*state.store, source).await?,
        on_conflict: parameters.on_conflict.unwrap_or_default(),
        is_dry_run: parameters.dry_run == Some(true),
        own_addresses: state.config.own_addresses.clone(),
        short_code_length: state.config.short_code_length,
    };
    let work = Work { state, input, plan, _turn: turn, _share: share };
    if is_lines {
        return work.stream(&caller).await;
    }
    work.answer(recognised).await
}

impl Work {
    async fn answer(self, recognised: String) -> Result<Response> {
        let sample = self.input.sample().await?.into_iter().filter_map(|row| match row {
            Row::Link(link) => Some(SampleLink {
                short_code: link.short_code,
                original_url: link.target,
                title: link.title,
                tags: link.tags,
                is_active: link.is_active,
                imported_clicks: link.clicks,
            }),
            Row::Click(_) | Row::Skipped { .. } | Row::Invalid { .. } => None,
        });
        let sample = sample.collect();
        let mut rows = FirstRows::default();
        let Summary { counts, dropped, .. } =
            import_file(&*self.state.store, &self.input, &self.plan, &mut rows).await?;
        let Plan { source, tag, is_dry_run: dry_run, .. } = &self.plan;
        let visible = announce(&self.state, counts.has_written() && !dry_run).await;
        let answer = ImportAnswer {
            source: source.word(),
            recognised,
            tag: counts.has_written().then(|| tag.as_str().to_owned()),
            dry_run: *dry_run,
            counts,
            dropped: dropped.into_iter().collect(),
            sample,
            rows: rows.0,
        };
        Ok((visible, Json(answer)).into_response())
    }

    /// Answers with a line for each row. The head is sent when the first batch is done.
    async fn stream(self, caller: &Caller) -> Result<Response> {
        let (sender, mut parts) = mpsc::channel(PARTS_AHEAD);
        let import = async move {
            let mut lines = Lines(sender.clone());
            let imported = import_file(&*self.state.store, &self.input, &self.plan, &mut lines).await;
            let has_written = imported.as_ref().is_ok_and(|summary| summary.counts.has_written());
            announce(&self.state, has_written && !self.plan.is_dry_run).await;
            if let Err(error) = imported {
                tracing::warn!(%error, "an import ended early; its batches so far remain; a second import continues");
                let _ = sender.send(Err(error.into())).await;
            }
        };
        tokio::spawn(signed(caller.token().map(Arc::from), import));
        let first = parts.recv().await.unwrap_or_else(|| Ok(Bytes::new()))?;
        let rest = stream::unfold(parts, |mut parts| async {
            let part = parts.recv().await?;
            Some((part.map_err(|_| BoxError::from("the import ended early")), parts))
        });
        let body = Body::from_stream(stream::iter([Ok(first)]).chain(rest));
        let media_type = (header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        Ok(([media_type, UNBUFFERED], body).into_response())
    }
}

/// Announces the links that were written, if any were.
async fn announce(state: &AppState, has_written: bool) -> Option<VisibleHeader> {
    if !has_written {
        return None;
    }
    // The insertion of no link returns the present mark.
    match state.store.insert_urls(Vec::new(), Commit::Accepted).await {
        Ok(change) => Some(state.announce(&change.mark).await),
        Err(error) => {
            tracing::warn!(%error, "the mark of an import cannot be read; redirectors find its links when they poll");
            None
        }
    }
}

/// Undo an import
///
/// Deletes the links that the import created, and gives the links that it overwrote their earlier values.
/// An undo that ends early is continued by a second one.
#[utoipa::path(
    delete,
    path = "/urls/import",
    tag = "links",
    params(UndoParameters),
    responses(
        (status = 200, body = Undone, description = "The numbers of links", headers(("Tern-Visible"))),
        (status = 404),
        (status = 409),
    )
)]
pub(crate) async fn undo_import(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Extension(turn): Extension<ImportTurn>,
    Query(UndoParameters { tag, expect }): Query<UndoParameters>,
) -> Result<Response> {
    let number = |text: String| text.parse().map_err(|_| bad_request("expect must be a whole number, not negative"));
    let expect = expect.map(number).transpose()?;
    let _turn = turn.take()?;
    let undone = undo(&*state.store, &tag, expect, caller.owner()).await?;
    let visible = announce(&state, undone.deleted + undone.restored > 0).await;
    Ok((visible, Json(undone)).into_response())
}

impl From<ImportError> for Error {
    fn from(error: ImportError) -> Error {
        match error {
            ImportError::File(error) => bad_request(error),
            ImportError::Conflicts { .. } => Error::new(StatusCode::CONFLICT, error),
            ImportError::Store(error) => error.into(),
            ImportError::Unreadable(_) | ImportError::Unreported(_) => internal(error),
        }
    }
}

impl From<UnknownOwner> for Error {
    fn from(error: UnknownOwner) -> Error {
        match error {
            UnknownOwner::Store(error) => error.into(),
            UnknownOwner::Missing(id) => not_found(format!("User {id} not found")),
            UnknownOwner::SeveralUsers => bad_request("user_id is required, since there are several users"),
            UnknownOwner::NoUser => {
                bad_request("There is no user yet, and each link belongs to one: create a user first")
            }
        }
    }
}

impl From<UndoError> for Error {
    fn from(error: UndoError) -> Error {
        match error {
            UndoError::NoImport(_) => bad_request(error),
            UndoError::Unknown(_) => not_found(error),
            UndoError::OtherCount { .. } => Error::new(StatusCode::CONFLICT, error),
            UndoError::Store(error) => error.into(),
        }
    }
}

//! Urls. A change is announced, and answered when the redirectors serve it.

use std::sync::Arc;

use anyhow::anyhow;
use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use tern_common::link_labels::{LinkLabels, LinkLabelsChange};
use tern_common::store::{Change, Listing, StoreError, UrlCursor};
use tern_common::url::{NewUrl, Url, UrlChange, UrlFilter};
use tern_common::{Id, LinkOptions, ShortCode, Timestamp};

use crate::access::Caller;
use crate::http::answer::Json;
use crate::http::body::Body;
use crate::http::conditions::{Conditions, etag};
use crate::http::error::{Result, bad_request, unavailable};
use crate::http::ignored::IgnoredNames;
use crate::http::query::{PathId, Query, RowId};
use crate::list::{ListQuery, PageParameters, SortParameter};
use crate::resources::link_options::{GivenOptions, check_target};
use crate::resources::shown_url::{ShortOrigin, ShownUrl};
use crate::resources::url_requests::{CreateOptions, CreateUrl, UpdateUrl};
use crate::row::{self, Row as _};
use crate::state::{AppState, VisibleHeader};

/// The most codes that are tried for a link. If all exist already, the codes are too short.
const ATTEMPTS: usize = 10;

/// Fields of a link that its clients read and cannot write. A write ignores them, so that an answer can be sent back.
const READ_ONLY: [&str; 8] =
    ["id", "short_url", "state", "revision", "clicks", "last_clicked_at", "created_at", "updated_at"];

/// A link in an answer, with its revision in `ETag`.
type LinkAnswer = ([(HeaderName, HeaderValue); 1], Json<ShownUrl>);

fn answer_link(link: ShownUrl) -> LinkAnswer {
    ([etag(link.revision())], Json(link))
}

/// Links, by id unless `sort` names another order
#[utoipa::path(
    get,
    path = "/urls",
    tag = "links",
    params(
        PageParameters,
        UrlFilter,
        SortParameter,
    ),
    responses((status = 200, body = [ShownUrl], description = "A page of links", headers(("X-Total-Count"), ("Link"))))
)]
pub(crate) async fn list_urls(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    query: ListQuery<UrlCursor>,
    Query(mut filter): Query<UrlFilter>,
    Query(sort): Query<SortParameter>,
    origin: ShortOrigin,
) -> Result<Response> {
    let sort = sort.of(&query)?;
    if !caller.limit(&mut filter.user_id) {
        return Ok(query.answer(Listing::<Url, _>::empty(), &state.store));
    }
    let listing = state.store.list_urls(filter, sort, query.page.clone()).await?;
    Ok(query.answer_written(listing, &state.store, origin.writer()))
}

/// Create a link
#[utoipa::path(
    post,
    path = "/urls",
    tag = "links",
    params(CreateOptions),
    request_body = CreateUrl,
    responses(
        (status = 200, body = ShownUrl, description = "An existing link, with `reuse`", headers(("ETag"))),
        (status = 201, body = ShownUrl, description = "The new link", headers(("Tern-Visible"), ("ETag"))),
        (status = 404),
        (status = 409),
    )
)]
pub(crate) async fn create_url(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    origin: ShortOrigin,
    ignored: Option<Extension<IgnoredNames>>,
    Query(CreateOptions { reuse }): Query<CreateOptions>,
    Body(body): Body<CreateUrl>,
) -> Result<Response> {
    forgive_read_only(ignored, &[]);
    let user_id = caller.user_for(body.user_id.map(RowId::get).transpose()?)?;
    let original_url = check_target(&state.config.own_addresses, "original_url", body.original_url)?;
    let now = Timestamp::now();
    let given = GivenOptions {
        starts_at: body.starts_at,
        expires_at: body.expires_at,
        expires_in: body.expires_in,
        expired_url: body.expired_url,
        redirect_status: body.redirect_status,
        forward_query: body.forward_query,
    };
    let given = UrlChange {
        title: body.title,
        options: given.check(&state.config.own_addresses, now)?,
        labels: LinkLabelsChange {
            tags: body.tags.map(Option::unwrap_or_default),
            notes: body.notes,
            external_id: body.external_id,
            ..LinkLabelsChange::default()
        },
        ..UrlChange::default()
    };
    let short_code = body.short_code.flatten();
    if reuse == Some(true)
        && let Some(link) = state.store.find_active_url(user_id, original_url.clone()).await?
        && given.is_fulfilled_by(&link)
        && short_code.as_ref().is_none_or(|code| code.as_str() == link.short_code)
    {
        return Ok(answer_link(origin.show(link)).into_response());
    }
    let options = LinkOptions::from(given.options);
    if options.expires_at.is_some_and(|end| end <= now) {
        return Err(bad_request("expires_at must be in the future"));
    }
    options.check().map_err(bad_request)?;
    let LinkLabelsChange { tags, notes, external_id, .. } = given.labels;
    let labels =
        LinkLabels { tags: tags.unwrap_or_default(), notes: notes.flatten(), external_id: external_id.flatten() };
    let new = |short_code| NewUrl {
        user_id,
        short_code,
        original_url: original_url.clone(),
        title: given.title.clone().flatten(),
        options: options.clone(),
        labels: labels.clone(),
    };
    let url = match short_code {
        Some(short_code) => state.store.insert_url(new(short_code)).await?,
        None => insert_under_new_code(&state, new).await?,
    };
    let visible = state.announce(&url.mark).await;
    Ok((StatusCode::CREATED, visible, answer_link(origin.show(url.value))).into_response())
}

/// One link
#[utoipa::path(
    get,
    path = "/urls/{id}",
    tag = "links",
    params(("id" = Id, Path, description = "The link's id")),
    responses(
        (status = 200, body = ShownUrl, description = "The link", headers(("ETag"))),
        (status = 304, description = "The revision is one of `If-None-Match`", headers(("ETag"))),
    )
)]
pub(crate) async fn find_url(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    PathId(id): PathId,
    conditions: Conditions,
    origin: ShortOrigin,
) -> Result<Response> {
    let link = row::own(state.store.find_url(id).await?, id, &caller)?;
    if conditions.is_known(link.revision) {
        return Ok((StatusCode::NOT_MODIFIED, [etag(link.revision)]).into_response());
    }
    Ok(answer_link(origin.show(link)).into_response())
}

/// Change a link
///
/// Fields that are not given do not change.
#[utoipa::path(
    put,
    path = "/urls/{id}",
    tag = "links",
    params(("id" = Id, Path, description = "The link's id")),
    request_body = UpdateUrl,
    responses(
        (status = 200, body = ShownUrl, description = "The whole link, changed", headers(("Tern-Visible"), ("ETag"))),
        (status = 409),
        (status = 412),
    )
)]
pub(crate) async fn update_url(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    PathId(id): PathId,
    conditions: Conditions,
    origin: ShortOrigin,
    ignored: Option<Extension<IgnoredNames>>,
    Body(body): Body<UpdateUrl>,
) -> Result<(VisibleHeader, LinkAnswer)> {
    forgive_read_only(ignored, &["user_id"]);
    check_owner(&state, &caller, id).await?;
    if let Some(code) = &body.short_code {
        let present = state.store.find_url(id).await?.ok_or_else(|| Url::missing(id))?.short_code;
        if code.as_str() != present {
            let message =
                format!("short_code cannot be changed: the link is {present}, and printed links must not break");
            return Err(bad_request(message));
        }
    }
    let own = &state.config.own_addresses;
    let original_url = body.original_url.map(|target| check_target(own, "original_url", target)).transpose()?;
    let given = GivenOptions {
        starts_at: body.starts_at,
        expires_at: body.expires_at,
        expires_in: body.expires_in,
        expired_url: body.expired_url,
        redirect_status: body.redirect_status,
        forward_query: body.forward_query,
    };
    let options = given.check(own, Timestamp::now())?;
    let labels = LinkLabelsChange {
        tags: body.tags.map(Option::unwrap_or_default),
        add_tags: body.add_tags.unwrap_or_default(),
        remove_tags: body.remove_tags.unwrap_or_default(),
        notes: body.notes,
        external_id: body.external_id,
    };
    let if_revision = conditions.if_match;
    let change = UrlChange { title: body.title, is_active: body.is_active, original_url, options, labels, if_revision };
    let url = state.store.update_url(id, change).await?.ok_or_else(|| Url::missing(id))?;
    let visible = state.announce(&url.mark).await;
    Ok((visible, answer_link(origin.show(url.value))))
}

/// Change a link
///
/// `PATCH` changes a link as `PUT` does: fields that are not given stay.
#[utoipa::path(
    patch,
    path = "/urls/{id}",
    tag = "links",
    params(("id" = Id, Path, description = "The link's id")),
    request_body = UpdateUrl,
    responses(
        (status = 200, body = ShownUrl, description = "The whole link, changed", headers(("Tern-Visible"), ("ETag"))),
        (status = 409),
        (status = 412),
    )
)]
pub(crate) async fn patch_url(
    state: State<Arc<AppState>>,
    caller: Caller,
    id: PathId,
    conditions: Conditions,
    origin: ShortOrigin,
    ignored: Option<Extension<IgnoredNames>>,
    body: Body<UpdateUrl>,
) -> Result<(VisibleHeader, LinkAnswer)> {
    update_url(state, caller, id, conditions, origin, ignored, body).await
}

/// Leaves fields that an answer has and a write ignores out of `Tern-Ignored`.
fn forgive_read_only(ignored: Option<Extension<IgnoredNames>>, others: &[&str]) {
    if let Some(Extension(ignored)) = ignored {
        ignored.forgive(&READ_ONLY);
        ignored.forgive(others);
    }
}

/// Delete a link
///
/// Its short code no longer redirects, and its events are deleted.
#[utoipa::path(
    delete,
    path = "/urls/{id}",
    tag = "links",
    params(("id" = Id, Path, description = "The link's id")),
    responses((status = 204, description = "Deleted", headers(("Tern-Visible"))), (status = 412))
)]
pub(crate) async fn delete_url(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    PathId(id): PathId,
    conditions: Conditions,
) -> Result<(StatusCode, VisibleHeader, ())> {
    check_owner(&state, &caller, id).await?;
    if let Some(revisions) = conditions.if_match {
        let present = state.store.find_url(id).await?.ok_or_else(|| Url::missing(id))?.revision;
        if !revisions.contains(&present) {
            return Err(StoreError::OtherRevision(present).into());
        }
    }
    let deleted = state.store.delete_url(id).await?.ok_or_else(|| Url::missing(id))?;
    Ok((StatusCode::NO_CONTENT, state.announce(&deleted.mark).await, ()))
}

/// Answers 404 for a link that the caller may not see. The owner of a link does not change, so a later change is safe.
pub(crate) async fn check_owner(state: &AppState, caller: &Caller, id: Id) -> Result<()> {
    if caller.owner().is_some() {
        row::own(state.store.find_url(id).await?, id, caller)?;
    }
    Ok(())
}

async fn insert_under_new_code(state: &AppState, url: impl Fn(ShortCode) -> NewUrl) -> Result<Change<Url>> {
    for _ in 0..ATTEMPTS {
        let short_code = ShortCode::generate(state.config.short_code_length);
        match state.store.insert_url(url(short_code)).await {
            Err(StoreError::ShortCodeTaken) => {}
            result => return Ok(result?),
        }
    }
    let length = state.config.short_code_length;
    Err(unavailable("No free short code was found", anyhow!("{ATTEMPTS} codes of {length} characters exist already")))
}

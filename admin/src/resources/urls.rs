//! Urls. A change is announced, and answered when the redirectors serve it.

use std::sync::Arc;

use anyhow::anyhow;
use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tern_common::link_labels::{ExternalId, LinkLabels, LinkLabelsChange, Notes, Tag, Tags};
use tern_common::store::{Change, Listing, StoreError, UrlCursor};
use tern_common::url::{NewUrl, Title, Url, UrlChange, UrlFilter};
use tern_common::{Id, LinkOptions, RedirectStatus, ShortCode, TargetUrl, Timestamp};
use utoipa::{IntoParams, ToSchema};

use crate::access::Caller;
use crate::http::answer::Json;
use crate::http::body::Body;
use crate::http::conditions::{Conditions, etag};
use crate::http::error::{Result, bad_request, unavailable};
use crate::http::ignored::IgnoredNames;
use crate::http::query::{PathId, Query, RowId};
use crate::list::{ListQuery, PageParameters, SortParameter};
use crate::resources::link_options::{GivenOptions, Lifetime, check_target};
use crate::resources::shown_url::{ShortOrigin, ShownUrl};
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

/// A link to create
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct CreateUrl {
    /// The owner of the link. The token of a user may leave it out, and may name no other user.
    #[schema(value_type = Id, required = false)]
    user_id: Option<RowId>,
    original_url: TargetUrl,
    /// The code of the link; a new one if it is absent or `null`.
    #[schema(value_type = Option<ShortCode>)]
    short_code: Option<Option<ShortCode>>,
    title: Option<Option<Title>>,
    /// At most 20 tags. They are trimmed and lower-cased.
    #[schema(value_type = Option<Vec<Tag>>, max_items = 20, example = json!(["summer"]))]
    tags: Option<Option<Tags>>,
    #[schema(value_type = Option<Notes>, nullable)]
    notes: Option<Option<Notes>>,
    /// The name of the link in another program, unique for each owner.
    #[schema(value_type = Option<ExternalId>, nullable)]
    external_id: Option<Option<ExternalId>>,
    /// The start of the link, in any zone; UTC where none is given. Until then it is answered 404.
    #[schema(value_type = Option<String>, example = "2026-01-31T08:00:00")]
    starts_at: Option<Option<Timestamp>>,
    /// The end of the link, in any zone; UTC where none is given. It must be in the future and after `starts_at`.
    #[schema(value_type = Option<String>, example = "2099-12-31T23:59:59")]
    expires_at: Option<Option<Timestamp>>,
    /// The time from now to the end of the link, such as `90m`, `8h` or `42d`, in place of `expires_at`.
    #[schema(value_type = Option<String>, pattern = "^[1-9][0-9]{0,8}[smhdw]$", example = json!(null))]
    expires_in: Option<Option<Lifetime>>,
    /// The address to which the link leads once it is expired; the rules are those of `original_url`.
    #[schema(value_type = Option<TargetUrl>, nullable)]
    expired_url: Option<Option<TargetUrl>>,
    /// The status of the redirect. A link with an end may only have 302 or 307.
    #[schema(value_type = Option<RedirectStatus>, nullable)]
    redirect_status: Option<Option<RedirectStatus>>,
    /// Whether the query of a request is merged into the target.
    #[schema(value_type = Option<bool>, example = true)]
    forward_query: Option<Option<bool>>,
}

/// The options of creating a link
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct CreateOptions {
    /// Whether to answer the oldest active link of the user to this target, if every other given field equals its own
    reuse: Option<bool>,
}

/// The changes to a link
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct UpdateUrl {
    /// The code of the link, which cannot be changed: another one is refused.
    #[schema(nullable = false)]
    short_code: Option<ShortCode>,
    /// `null` removes the title.
    title: Option<Option<Title>>,
    /// At most 20 tags in place of the present ones; `null` removes all.
    #[schema(value_type = Option<Vec<Tag>>, max_items = 20, example = json!(["summer"]))]
    tags: Option<Option<Tags>>,
    /// Tags to add to the others.
    #[schema(nullable = false)]
    add_tags: Option<Vec<Tag>>,
    /// Tags to remove.
    #[schema(nullable = false)]
    remove_tags: Option<Vec<Tag>>,
    /// `null` removes the notes.
    #[schema(value_type = Option<Notes>, nullable)]
    notes: Option<Option<Notes>>,
    /// The name of the link in another program, unique for each owner; `null` removes it.
    #[schema(value_type = Option<ExternalId>, nullable)]
    external_id: Option<Option<ExternalId>>,
    /// Whether the link redirects; a request for an inactive link is answered 410.
    #[schema(nullable = false, example = false)]
    is_active: Option<bool>,
    /// The new target, with the rules for a new link.
    #[schema(nullable = false)]
    original_url: Option<TargetUrl>,
    /// The start of the link, in any zone; UTC where none is given. Until then it is answered 404.
    #[schema(value_type = Option<String>, example = "2026-01-31T08:00:00")]
    starts_at: Option<Option<Timestamp>>,
    /// The end of the link, after `starts_at`; a past time ends it now, and `null` removes the end.
    #[schema(value_type = Option<String>, example = "2099-12-31T23:59:59")]
    expires_at: Option<Option<Timestamp>>,
    /// The time from now to the end of the link, such as `90m`, `8h` or `42d`, in place of `expires_at`.
    #[schema(value_type = Option<String>, pattern = "^[1-9][0-9]{0,8}[smhdw]$", example = json!(null))]
    expires_in: Option<Option<Lifetime>>,
    /// The address to which the link leads once it is expired; the rules are those of `original_url`.
    #[schema(value_type = Option<TargetUrl>, nullable)]
    expired_url: Option<Option<TargetUrl>>,
    /// The status of the redirect. A link with an end may only have 302 or 307.
    #[schema(value_type = Option<RedirectStatus>, nullable)]
    redirect_status: Option<Option<RedirectStatus>>,
    /// Whether the query of a request is merged into the target.
    #[schema(value_type = Option<bool>, example = true)]
    forward_query: Option<Option<bool>>,
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
/// The same as `PUT`: fields that are not given do not change.
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
    responses((status = 204, description = "Deleted", headers(("Tern-Visible"))))
)]
pub(crate) async fn delete_url(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    PathId(id): PathId,
) -> Result<(StatusCode, VisibleHeader, ())> {
    check_owner(&state, &caller, id).await?;
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

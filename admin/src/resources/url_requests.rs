//! The requests that create and change a link.

use serde::Deserialize;
use tern_common::link_labels::{ExternalId, Notes, Tag, Tags};
use tern_common::url::Title;
use tern_common::{Id, RedirectStatus, ShortCode, TargetUrl, Timestamp};
use utoipa::{IntoParams, ToSchema};

use crate::http::query::RowId;
use crate::resources::link_options::Lifetime;

/// A link to create
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct CreateUrl {
    /// The owner of the link. The token of a user may leave it out, and may name no other user.
    #[schema(value_type = Id, required = false)]
    pub(super) user_id: Option<RowId>,
    pub(super) original_url: TargetUrl,
    /// The code of the link; a new one if it is absent or `null`.
    #[schema(value_type = Option<ShortCode>)]
    pub(super) short_code: Option<Option<ShortCode>>,
    pub(super) title: Option<Option<Title>>,
    /// At most 20 tags. They are trimmed and lower-cased.
    #[schema(value_type = Option<Vec<Tag>>, max_items = 20, example = json!(["summer"]))]
    pub(super) tags: Option<Option<Tags>>,
    #[schema(value_type = Option<Notes>, nullable)]
    pub(super) notes: Option<Option<Notes>>,
    /// The name of the link in another program, unique for each owner.
    #[schema(value_type = Option<ExternalId>, nullable)]
    pub(super) external_id: Option<Option<ExternalId>>,
    /// The start of the link, in any zone; UTC where none is given. Until then it is answered 404.
    #[schema(value_type = Option<String>, example = "2026-01-31T08:00:00")]
    pub(super) starts_at: Option<Option<Timestamp>>,
    /// The end of the link, in any zone; UTC where none is given. It must be in the future and after `starts_at`.
    #[schema(value_type = Option<String>, example = "2099-12-31T23:59:59")]
    pub(super) expires_at: Option<Option<Timestamp>>,
    /// The time from now to the end of the link, such as `90m`, `8h` or `42d`, in place of `expires_at`.
    #[schema(value_type = Option<String>, pattern = "^[1-9][0-9]{0,8}[smhdw]$", example = json!(null))]
    pub(super) expires_in: Option<Option<Lifetime>>,
    /// The address to which the link leads once it is expired; the rules are those of `original_url`.
    #[schema(value_type = Option<TargetUrl>, nullable)]
    pub(super) expired_url: Option<Option<TargetUrl>>,
    /// The status of the redirect. A link with an end may only have 302 or 307.
    #[schema(value_type = Option<RedirectStatus>, nullable)]
    pub(super) redirect_status: Option<Option<RedirectStatus>>,
    /// Whether the query of a request is merged into the target.
    #[schema(value_type = Option<bool>, example = true)]
    pub(super) forward_query: Option<Option<bool>>,
}

/// The options of creating a link
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct CreateOptions {
    /// Whether to answer the oldest active link of the user to this target, if every other given field equals its own
    pub(super) reuse: Option<bool>,
}

/// The changes to a link
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct UpdateUrl {
    /// The code of the link, which cannot be changed: another one is refused.
    #[schema(nullable = false)]
    pub(super) short_code: Option<ShortCode>,
    /// `null` removes the title.
    pub(super) title: Option<Option<Title>>,
    /// At most 20 tags in place of the present ones; `null` removes all.
    #[schema(value_type = Option<Vec<Tag>>, max_items = 20, example = json!(["summer"]))]
    pub(super) tags: Option<Option<Tags>>,
    /// Tags to add to the others.
    #[schema(nullable = false)]
    pub(super) add_tags: Option<Vec<Tag>>,
    /// Tags to remove.
    #[schema(nullable = false)]
    pub(super) remove_tags: Option<Vec<Tag>>,
    /// `null` removes the notes.
    #[schema(value_type = Option<Notes>, nullable)]
    pub(super) notes: Option<Option<Notes>>,
    /// The name of the link in another program, unique for each owner; `null` removes it.
    #[schema(value_type = Option<ExternalId>, nullable)]
    pub(super) external_id: Option<Option<ExternalId>>,
    /// Whether the link redirects; a request for an inactive link is answered 410.
    #[schema(nullable = false, example = false)]
    pub(super) is_active: Option<bool>,
    /// The new target, with the rules for a new link.
    #[schema(nullable = false)]
    pub(super) original_url: Option<TargetUrl>,
    /// The start of the link, in any zone; UTC where none is given. Until then it is answered 404.
    #[schema(value_type = Option<String>, example = "2026-01-31T08:00:00")]
    pub(super) starts_at: Option<Option<Timestamp>>,
    /// The end of the link, after `starts_at`; a past time ends it now, and `null` removes the end.
    #[schema(value_type = Option<String>, example = "2099-12-31T23:59:59")]
    pub(super) expires_at: Option<Option<Timestamp>>,
    /// The time from now to the end of the link, such as `90m`, `8h` or `42d`, in place of `expires_at`.
    #[schema(value_type = Option<String>, pattern = "^[1-9][0-9]{0,8}[smhdw]$", example = json!(null))]
    pub(super) expires_in: Option<Option<Lifetime>>,
    /// The address to which the link leads once it is expired; the rules are those of `original_url`.
    #[schema(value_type = Option<TargetUrl>, nullable)]
    pub(super) expired_url: Option<Option<TargetUrl>>,
    /// The status of the redirect. A link with an end may only have 302 or 307.
    #[schema(value_type = Option<RedirectStatus>, nullable)]
    pub(super) redirect_status: Option<Option<RedirectStatus>>,
    /// Whether the query of a request is merged into the target.
    #[schema(value_type = Option<bool>, example = true)]
    pub(super) forward_query: Option<Option<bool>>,
}

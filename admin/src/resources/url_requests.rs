//! The requests that create, change and replace links.

use serde::Deserialize;
use tern_common::link_labels::{ExternalId, LinkLabelsChange, Notes, Tag, Tags};
use tern_common::routing::{Rule, Rules, Split, Variant};
use tern_common::url::{Title, UrlChange};
use tern_common::{ClickLimit, Id, OwnAddresses, RedirectStatus, ShortCode, TargetUrl, Timestamp};
use utoipa::{IntoParams, ToSchema};

use crate::http::error::Result;
use crate::http::query::RowId;
use crate::resources::link_options::{GivenOptions, Lifetime, check_target};

/// Defines a request with fields of its own and those that every write of a link has.
macro_rules! link_request {
    ($(#[$about:meta])* $name:ident { $($own:tt)* }) => {
        $(#[$about])*
        #[derive(Debug, Deserialize, ToSchema)]
        pub(crate) struct $name {
            $($own)*
            /// `null` is no title.
            pub(crate) title: Option<Option<Title>>,
            /// Whether the link redirects, as a new one does by default; a request for an inactive link is answered 410.
            #[schema(nullable = false, example = true)]
            pub(crate) is_active: Option<bool>,
            /// At most 20 tags, which are trimmed and lower-cased; `null` is none.
            #[schema(value_type = Option<Vec<Tag>>, max_items = 20, example = json!(["summer"]))]
            pub(crate) tags: Option<Option<Tags>>,
            /// `null` is no notes.
            #[schema(value_type = Option<Notes>, nullable)]
            pub(crate) notes: Option<Option<Notes>>,
            /// The name of the link in another program, unique for each owner; `null` is none.
            #[schema(value_type = Option<ExternalId>, nullable)]
            pub(crate) external_id: Option<Option<ExternalId>>,
            /// The start of the link, in any zone; UTC where none is given. Until then it is answered 404.
            #[schema(value_type = Option<String>, example = "2026-01-31T08:00:00")]
            pub(crate) starts_at: Option<Option<Timestamp>>,
            /// The end of the link, after `starts_at`, in any zone; UTC where none is given; `null` is no end.
            /// A new link must end in the future; a past time ends an existing link.
            #[schema(value_type = Option<String>, example = "2099-12-31T23:59:59")]
            pub(crate) expires_at: Option<Option<Timestamp>>,
            /// The time from now to the end of the link, such as `90m`, `8h` or `42d`, in place of `expires_at`.
            #[schema(value_type = Option<String>, pattern = "^[1-9][0-9]{0,8}[smhdw]$", example = json!(null))]
            pub(crate) expires_in: Option<Option<Lifetime>>,
            /// The address to which the link leads once it is expired; the rules are those of `original_url`.
            #[schema(value_type = Option<TargetUrl>, nullable)]
            pub(crate) expired_url: Option<Option<TargetUrl>>,
            /// The status of the redirect. A link with an end, rules or a split may only have 302 or 307.
            #[schema(value_type = Option<RedirectStatus>, nullable)]
            pub(crate) redirect_status: Option<Option<RedirectStatus>>,
            /// Whether the query of a request is merged into the target.
            #[schema(value_type = Option<bool>, example = true)]
            pub(crate) forward_query: Option<Option<bool>>,
            /// The number of `GET` requests that are answered with a redirect, since the link was made; `null` is no limit.
            /// A link with a limit may only have the status 302 or 307.
            #[schema(value_type = Option<ClickLimit>, nullable)]
            pub(crate) max_clicks: Option<Option<ClickLimit>>,
            /// Other targets for the requests that meet their conditions. The first rule that matches wins; `null` is none.
            #[schema(value_type = Option<Vec<Rule>>, max_items = 20, nullable, example = json!([
                {"target": "https://apps.example.com/hello", "if": [{"type": "device", "value": "ios"}]}
            ]))]
            pub(crate) rules: Option<Option<Rules>>,
            /// 2 to 4 other targets for shares of the clients, if no rule matches; `null` is none.
            #[schema(value_type = Option<Vec<Variant>>, max_items = 4, nullable, example = json!([]))]
            pub(crate) split: Option<Option<Split>>,
        }

        impl $name {
            /// Takes the fields that every write has. A lifetime begins at `now`.
            ///
            /// # Errors
            /// When two fields exclude each other, or an address is one of Tern itself.
            pub(super) fn take_change(&mut self, own: &OwnAddresses, now: Timestamp) -> Result<UrlChange> {
                let given = GivenOptions {
                    starts_at: self.starts_at.take(),
                    expires_at: self.expires_at.take(),
                    expires_in: self.expires_in.take(),
                    expired_url: self.expired_url.take(),
                    redirect_status: self.redirect_status.take(),
                    forward_query: self.forward_query.take(),
                    max_clicks: self.max_clicks.take(),
                    rules: self.rules.take(),
                    split: self.split.take(),
                };
                let labels = LinkLabelsChange {
                    tags: self.tags.take().map(Option::unwrap_or_default),
                    notes: self.notes.take(),
                    external_id: self.external_id.take(),
                    ..LinkLabelsChange::default()
                };
                let options = given.check(own, now)?;
                let (title, is_active) = (self.title.take(), self.is_active);
                Ok(UrlChange { title, is_active, options, labels, ..UrlChange::default() })
            }
        }
    };
}

link_request! {
    /// A link to create
    CreateUrl {
        /// The owner of the link. The token of a user may leave it out, and may name no other user.
        #[schema(value_type = Id, required = false)]
        pub(crate) user_id: Option<RowId>,
        pub(crate) original_url: TargetUrl,
        /// The code of the link; a new one if it is absent or `null`.
        #[schema(value_type = Option<ShortCode>)]
        pub(crate) short_code: Option<Option<ShortCode>>,
    }
}

impl CreateUrl {
    /// Returns a request for a link to a target, with a code and without further fields.
    pub(crate) fn new(original_url: TargetUrl, short_code: Option<ShortCode>) -> CreateUrl {
        CreateUrl {
            user_id: None,
            original_url,
            short_code: short_code.map(Some),
            title: None,
            is_active: None,
            tags: None,
            notes: None,
            external_id: None,
            starts_at: None,
            expires_at: None,
            expires_in: None,
            expired_url: None,
            redirect_status: None,
            forward_query: None,
            max_clicks: None,
            rules: None,
            split: None,
        }
    }
}

/// The options of creating a link
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct CreateOptions {
    /// Whether to answer the oldest active link of the user to this target, if every other given field equals its own
    pub(crate) reuse: Option<bool>,
}

link_request! {
    /// The changes to a link
    #[derive(Default)]
    UpdateUrl {
        /// The code of the link, which cannot be changed: another one is refused.
        #[schema(nullable = false)]
        pub(crate) short_code: Option<ShortCode>,
        /// The new target, with the rules for a new link.
        #[schema(nullable = false)]
        pub(crate) original_url: Option<TargetUrl>,
        /// Tags to add to the others.
        #[schema(nullable = false)]
        pub(crate) add_tags: Option<Vec<Tag>>,
        /// Tags to remove.
        #[schema(nullable = false)]
        pub(crate) remove_tags: Option<Vec<Tag>>,
    }
}

impl UpdateUrl {
    /// Returns the change that the request asks for.
    pub(super) fn into_change(mut self, own: &OwnAddresses) -> Result<UrlChange> {
        let common = self.take_change(own, Timestamp::now())?;
        Ok(UrlChange {
            short_code: self.short_code,
            original_url: self.original_url.map(|target| check_target(own, "original_url", target)).transpose()?,
            labels: LinkLabelsChange {
                add_tags: self.add_tags.unwrap_or_default(),
                remove_tags: self.remove_tags.unwrap_or_default(),
                ..common.labels
            },
            ..common
        })
    }
}

link_request! {
    /// A link under an external id. Fields that are not given get their defaults.
    ReplaceUrl {
        /// The owner of the link. The token of a user may leave it out, and may name no other user.
        #[schema(value_type = Id, required = false)]
        pub(crate) user_id: Option<RowId>,
        pub(crate) original_url: TargetUrl,
        /// The code of a link that is created; a new one if it is absent or `null`. An existing link must have this code.
        #[schema(value_type = Option<ShortCode>)]
        pub(crate) short_code: Option<Option<ShortCode>>,
    }
}

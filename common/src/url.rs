//! Urls: the rows of `urls`.

use serde::Serialize;

use crate::json::{WriteJson, deserialize_by_parse, write_plain};
use crate::link_labels::{LinkLabels, LinkLabelsChange, Tags};
use crate::routing::{Rule, Rules, Split, Variant};
use crate::short_text::{InvalidText, check_text};
use crate::store::StoreError;
pub use crate::url_filter::{FilterTime, SearchTerm, SortKey, TagMode, UrlFilter, UrlSort};
use crate::{ClickLimit, Id, LinkOptions, LinkOptionsChange, RedirectStatus, ShortCode, TargetUrl, Timestamp};

/// A row of `urls`.
///
/// The short code and the target are unchecked texts. A row that another program wrote must be shown, so that an operator
/// can correct it. Only a valid row is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(description = "A short code and its target"))]
pub struct Url {
    pub id: Id,
    pub user_id: Id,
    #[cfg_attr(feature = "schema", schema(example = "Lh1hFP"))]
    pub short_code: String,
    /// The target of the redirect, unchanged.
    #[cfg_attr(feature = "schema", schema(example = "https://example.com/hello"))]
    pub original_url: String,
    #[cfg_attr(feature = "schema", schema(required, example = "Hello"))]
    pub title: Option<String>,
    /// Whether the link redirects; if not, following it is answered 410.
    #[cfg_attr(feature = "schema", schema(example = true))]
    pub is_active: bool,
    /// The time before which following the link is answered 404; `null` is no start.
    #[cfg_attr(feature = "schema", schema(required))]
    pub starts_at: Option<Timestamp>,
    /// The time from which following the link leads to `expired_url`, or is answered 410; `null` is never.
    #[cfg_attr(feature = "schema", schema(required))]
    pub expires_at: Option<Timestamp>,
    /// The address to which the expired link leads.
    #[cfg_attr(feature = "schema", schema(required, example = "https://example.com/over"))]
    pub expired_url: Option<String>,
    /// The status of the redirect; `null` is the default of the installation.
    #[cfg_attr(feature = "schema", schema(required))]
    pub redirect_status: Option<RedirectStatus>,
    /// Whether the query of a request is merged into the target; `null` is the default of the installation.
    #[cfg_attr(feature = "schema", schema(required, example = true))]
    pub forward_query: Option<bool>,
    /// The number of `GET` requests that are answered with a redirect, since the link was made; `null` is no limit.
    #[cfg_attr(feature = "schema", schema(required))]
    pub max_clicks: Option<ClickLimit>,
    /// The part of `max_clicks` that redirectors have not taken yet; `null` without a limit.
    #[cfg_attr(feature = "schema", schema(required, minimum = 0, example = 58))]
    pub clicks_left: Option<i64>,
    /// Other targets for the requests that meet their conditions. The first rule that matches wins.
    #[cfg_attr(feature = "schema", schema(max_items = 20, example = json!([])))]
    pub rules: Vec<Rule>,
    /// Other targets for shares of the clients, if no rule matches. The other clients are led to `original_url`.
    #[cfg_attr(feature = "schema", schema(max_items = 4, example = json!([])))]
    pub split: Vec<Variant>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    #[cfg_attr(feature = "schema", schema(example = json!(["summer", "poster"])))]
    pub tags: Vec<String>,
    #[cfg_attr(feature = "schema", schema(required, example = "Printed on the poster"))]
    pub notes: Option<String>,
    /// The name of the link in another program, unique for each owner.
    #[cfg_attr(feature = "schema", schema(required, example = "order-1"))]
    pub external_id: Option<String>,
    /// A number that grows with each change of the link, and not with its clicks.
    #[cfg_attr(feature = "schema", schema(minimum = 1, example = 1))]
    pub revision: i64,
    /// The number of clicks, as the statistics of all time have it.
    #[cfg_attr(feature = "schema", schema(minimum = 0, example = 42))]
    pub clicks: i64,
    /// The time of the last click; `null` before the first.
    #[cfg_attr(feature = "schema", schema(required))]
    pub last_clicked_at: Option<Timestamp>,
    /// The clicks that another service counted before the link was imported. They are not part of `clicks`.
    #[cfg_attr(feature = "schema", schema(minimum = 0, example = 0))]
    pub imported_clicks: i64,
}

impl Url {
    /// Columns of a query on the table `urls`, one for each field.
    pub(crate) const COLUMNS: &str = "id, user_id, short_code, original_url, title, is_active, starts_at, expires_at, expired_url, \
         redirect_status, forward_query, max_clicks, rules, split, created_at, updated_at, \
         tags, notes, external_id, revision, imported_clicks, \
         coalesce((SELECT clicks FROM link_clicks WHERE url_id = urls.id), 0) AS clicks, \
         (SELECT last_clicked_at FROM link_clicks WHERE url_id = urls.id) AS last_clicked_at, \
         (SELECT taken FROM link_limits WHERE url_id = urls.id) AS taken_clicks";

    /// Returns whether the limit of clicks is used up.
    pub fn is_exhausted(&self) -> bool {
        self.clicks_left == Some(0)
    }
}

impl WriteJson for Url {
    fn write_json(&self, out: &mut Vec<u8>) {
        write_plain(self, out);
    }
}

/// A title of at most 255 characters.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(max_length = 255, pattern = r"^[^\x00]*$", example = "Hello"))]
pub struct Title(String);

deserialize_by_parse!(Title);

impl Title {
    pub fn parse(text: &str) -> Result<Title, InvalidText> {
        check_text("title", text).map(|()| Title(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A url to be created, with a code that the caller of the store chose.
#[derive(Clone, Debug)]
pub struct NewUrl {
    pub user_id: Id,
    pub short_code: ShortCode,
    pub original_url: TargetUrl,
    pub title: Option<Title>,
    pub is_active: bool,
    pub options: LinkOptions,
    pub labels: LinkLabels,
}

/// A change of a url. `None` leaves a column unchanged.
#[derive(Clone, Debug, Default)]
pub struct UrlChange {
    /// The new title; `Some(None)` removes the title.
    pub title: Option<Option<Title>>,
    pub is_active: Option<bool>,
    pub original_url: Option<TargetUrl>,
    pub options: LinkOptionsChange,
    pub labels: LinkLabelsChange,
    /// The new number of clicks that another service counted.
    pub imported_clicks: Option<i64>,
    /// The code that the url must have, since no change gives it another one; any if `None`.
    pub short_code: Option<ShortCode>,
    /// The revisions that the url may have before the change; any if `None`.
    pub if_revision: Option<Vec<i64>>,
}

impl UrlChange {
    /// Returns whether the change leaves the url as it is.
    pub fn is_empty(&self) -> bool {
        let UrlChange {
            title,
            is_active,
            original_url,
            options,
            labels,
            imported_clicks,
            short_code: _,
            if_revision: _,
        } = self;
        title.is_none()
            && is_active.is_none()
            && original_url.is_none()
            && options.is_empty()
            && labels.is_empty()
            && imported_clicks.is_none()
    }

    /// Returns whether a url has every value that the change would set. It considers no target and no added or removed tags.
    pub fn is_fulfilled_by(&self, url: &Url) -> bool {
        fn is_kept<T: PartialEq>(change: Option<T>, present: T) -> bool {
            change.is_none_or(|value| value == present)
        }
        let LinkOptionsChange {
            starts_at,
            expires_at,
            expired_url,
            redirect_status,
            forward_query,
            max_clicks,
            rules,
            split,
        } = &self.options;
        let LinkLabelsChange { tags, notes, external_id, .. } = &self.labels;
        let text = |title: &Option<Title>| title.as_ref().map(|title| title.0.clone());
        let target = |target: &Option<TargetUrl>| target.as_ref().map(|target| target.as_given().to_owned());
        let notes = notes.as_ref().map(|notes| notes.as_ref().map(|notes| notes.as_str().to_owned()));
        let external_id = external_id.as_ref().map(|id| id.as_ref().map(|id| id.as_str().to_owned()));
        self.short_code.as_ref().is_none_or(|code| code.as_str() == url.short_code)
            && is_kept(self.title.as_ref().map(text), url.title.clone())
            && is_kept(self.is_active, url.is_active)
            && is_kept(self.imported_clicks, url.imported_clicks)
            && is_kept(*starts_at, url.starts_at)
            && is_kept(*expires_at, url.expires_at)
            && is_kept(expired_url.as_ref().map(target), url.expired_url.clone())
            && is_kept(*redirect_status, url.redirect_status)
            && is_kept(*forward_query, url.forward_query)
            && is_kept(*max_clicks, url.max_clicks)
            && rules.as_ref().is_none_or(|rules| rules.as_slice() == url.rules)
            && split.as_ref().is_none_or(|split| split.as_slice() == url.split)
            && is_kept(notes, url.notes.clone())
            && is_kept(external_id, url.external_id.clone())
            && tags.as_ref().is_none_or(|tags| tags.iter().eq(url.tags.iter().map(String::as_str)))
    }

    /// Refuses the change of a url with another code or revision than it is for.
    pub(crate) fn check_identity(&self, url: &Url) -> Result<(), StoreError> {
        if self.short_code.as_ref().is_some_and(|code| code.as_str() != url.short_code) {
            return Err(StoreError::OtherCode(url.short_code.clone()));
        }
        check_revision(self.if_revision.as_deref(), url.revision)
    }

    /// Refuses the change of a url that would be invalid after it, or has another code or revision than the change is for.
    pub(crate) fn check(&self, url: &Url) -> Result<(), StoreError> {
        self.check_identity(url)?;
        if self.labels.apply_to_tags(&url.tags).len() > Tags::MAX {
            return Err(StoreError::TooManyTags);
        }
        let LinkOptionsChange { starts_at, expires_at, redirect_status, max_clicks, rules, split, .. } = &self.options;
        let after = LinkOptions {
            starts_at: starts_at.unwrap_or(url.starts_at),
            expires_at: expires_at.unwrap_or(url.expires_at),
            redirect_status: redirect_status.unwrap_or(url.redirect_status),
            max_clicks: max_clicks.unwrap_or(url.max_clicks),
            rules: rules.clone().unwrap_or_else(|| Rules::unchecked(&url.rules)),
            split: split.clone().unwrap_or_else(|| Split::unchecked(&url.split)),
            ..LinkOptions::default()
        };
        Ok(after.check()?)
    }
}

/// Refuses a url that has none of the given revisions. `None` accepts every revision.
pub(crate) fn check_revision(accepted: Option<&[i64]>, revision: i64) -> Result<(), StoreError> {
    match accepted {
        Some(accepted) if !accepted.contains(&revision) => Err(StoreError::OtherRevision(revision)),
        _ => Ok(()),
    }
}

/// A url under an external id: it replaces the url of its owner that has this id, or is created.
#[derive(Clone, Debug)]
pub struct UrlReplacement {
    /// The url, whose labels have the external id. Its code is only for a url that is created.
    pub url: NewUrl,
    /// The code that the replaced url must have; any if `None`.
    pub short_code: Option<ShortCode>,
    /// The revisions that the replaced url may have; any if `None`.
    pub if_revision: Option<Vec<i64>>,
}

impl UrlReplacement {
    /// Returns the change that replaces every value of a url.
    pub(crate) fn change(&self) -> UrlChange {
        let NewUrl { original_url, title, is_active, options, labels, .. } = self.url.clone();
        UrlChange {
            title: Some(title),
            is_active: Some(is_active),
            original_url: Some(original_url),
            options: options.into(),
            labels: LinkLabelsChange {
                tags: Some(labels.tags),
                notes: Some(labels.notes),
                ..LinkLabelsChange::default()
            },
            imported_clicks: None,
            short_code: self.short_code.clone(),
            if_revision: self.if_revision.clone(),
        }
    }

    /// Checks that the url may be created.
    pub(crate) fn check_creation(&self) -> Result<(), StoreError> {
        if self.if_revision.is_some() {
            return Err(StoreError::NoRevision);
        }
        if self.url.options.expires_at.is_some_and(|end| end <= Timestamp::now()) {
            return Err(StoreError::EndsInThePast);
        }
        Ok(())
    }
}

/// A url from a file. The store chooses each absent value.
#[derive(Clone, Debug)]
pub struct UrlRow {
    pub id: Option<Id>,
    pub user_id: Id,
    pub short_code: ShortCode,
    pub original_url: TargetUrl,
    pub title: Option<Title>,
    pub is_active: bool,
    pub options: LinkOptions,
    pub labels: LinkLabels,
    /// The revision, from 1.
    pub revision: Option<i64>,
    /// The clicks that another service counted, from 0.
    pub imported_clicks: i64,
    pub created_at: Option<Timestamp>,
    pub updated_at: Option<Timestamp>,
}

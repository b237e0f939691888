//! The filters and orders of lists of urls.

use std::fmt;

use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::json::deserialize_by_parse;
use crate::link_labels::Tag;
use crate::link_state::LinkState;
use crate::{Id, Timestamp};

/// A filter of urls. A url must match every given field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "schema", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
pub struct UrlFilter {
    /// Only the links of this user
    pub user_id: Option<Id>,
    /// Only those that redirect, or that do not
    pub is_active: Option<bool>,
    /// Only the link with this code
    #[cfg_attr(feature = "schema", param(example = "Lh1hFP"))]
    pub short_code: Option<String>,
    /// Only those whose code, target, title, tags or notes contain this text in any case
    #[cfg_attr(
        feature = "schema",
        param(value_type = Option<String>, min_length = 2, max_length = 100, pattern = r"^[^\x00-\x1f\x7f-\x9f]{2,100}$", example = "ex")
    )]
    pub search: Option<SearchTerm>,
    /// Only those with one of these tags, or with all of them
    #[serde(deserialize_with = "one_or_more")]
    #[cfg_attr(feature = "schema", param(value_type = Vec<String>, required = false, example = json!(["summer"])))]
    pub tag: Vec<Tag>,
    /// Whether a link needs one of the tags, or all
    #[cfg_attr(feature = "schema", param(inline, required = false))]
    pub tag_mode: TagMode,
    /// Only those with none of these tags
    #[serde(deserialize_with = "one_or_more")]
    #[cfg_attr(feature = "schema", param(value_type = Vec<String>, required = false, example = json!(["old"])))]
    pub not_tag: Vec<Tag>,
    /// Only those in this state, by the order of decisions at a redirect
    #[cfg_attr(feature = "schema", param(inline))]
    pub state: Option<LinkState>,
    /// Only those created at or after this time; a date is its midnight in UTC
    #[cfg_attr(feature = "schema", param(value_type = Option<String>, format = DateTime, example = "2026-01-31"))]
    pub created_from: Option<FilterTime>,
    /// Only those created before this time; a date is its midnight in UTC
    #[cfg_attr(feature = "schema", param(value_type = Option<String>, format = DateTime, example = "2026-02-28"))]
    pub created_to: Option<FilterTime>,
    /// Only those whose target has this host, without a port
    #[cfg_attr(feature = "schema", param(example = "example.com"))]
    pub host: Option<String>,
    /// Only those without a click, or only those with one
    pub never_clicked: Option<bool>,
    /// Only those without an end, or with an end after this time. `GET /urls` does not have this filter.
    #[serde(skip)]
    pub ends_after: Option<Timestamp>,
    /// Only those whose limit of clicks is not used up. `GET /urls` does not have this filter.
    #[serde(skip)]
    pub has_clicks_left: bool,
}

/// A text to search for: 2 to 100 characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchTerm(String);

/// The reason to refuse a text to search for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSearch {
    #[error("must have 2 to 100 characters")]
    Length,
    #[error("must not hold a control character")]
    ControlCharacter,
}

/// The number of given tags that a link needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum TagMode {
    #[default]
    Any,
    All,
}

/// A time of a filter, or the midnight in UTC of a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterTime(pub Timestamp);

/// The error for a text that is neither a time nor a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a time such as 2025-09-19T22:25:05, or a date such as 2025-09-19")]
pub struct InvalidFilterTime;

deserialize_by_parse!(SearchTerm, FilterTime, UrlSort);

impl SearchTerm {
    pub fn parse(text: &str) -> Result<SearchTerm, InvalidSearch> {
        if !(2..=100).contains(&text.chars().count()) {
            return Err(InvalidSearch::Length);
        }
        if text.chars().any(char::is_control) {
            return Err(InvalidSearch::ControlCharacter);
        }
        Ok(SearchTerm(text.to_owned()))
    }

    /// Returns the text in lower case.
    pub(crate) fn folded(&self) -> String {
        self.0.to_lowercase()
    }
}

impl FilterTime {
    pub fn parse(text: &str) -> Result<FilterTime, InvalidFilterTime> {
        let midnight = || Timestamp::parse(&format!("{text}T00:00:00"));
        let time = Timestamp::parse(text).or_else(|_| midnight()).or_else(|_| Timestamp::parse_any_zone(text));
        time.map(FilterTime).map_err(|_| InvalidFilterTime)
    }
}

/// Reads a list, or a single item as a list.
fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Tag>, D::Error> {
    struct Items;

    impl<'de> Visitor<'de> for Items {
        type Value = Vec<Tag>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string or an array of strings")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<Tag>, E> {
            Ok(vec![Tag::parse(text).map_err(E::custom)?])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<Tag>, A::Error> {
            let mut tags = Vec::new();
            while let Some(tag) = items.next_element()? {
                tags.push(tag);
            }
            Ok(tags)
        }
    }

    deserializer.deserialize_seq(Items)
}

/// The column by which a list of urls is ordered. Equal rows are ordered by their ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortKey {
    #[default]
    Id,
    CreatedAt,
    UpdatedAt,
    Title,
    ShortCode,
    Clicks,
    LastClickedAt,
    ExpiresAt,
}

/// The order of a list of urls. Rows without a value are last in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UrlSort {
    pub key: SortKey,
    pub is_descending: bool,
}

/// The error for a text that is not the name of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one of {}, with - in front for descending", SortKey::names())]
pub struct InvalidSort;

impl SortKey {
    pub const ALL: [SortKey; 8] = [
        SortKey::Id,
        SortKey::CreatedAt,
        SortKey::UpdatedAt,
        SortKey::Clicks,
        SortKey::LastClickedAt,
        SortKey::Title,
        SortKey::ShortCode,
        SortKey::ExpiresAt,
    ];

    pub fn name(self) -> &'static str {
        match self {
            SortKey::Id => "id",
            SortKey::CreatedAt => "created_at",
            SortKey::UpdatedAt => "updated_at",
            SortKey::Title => "title",
            SortKey::ShortCode => "short_code",
            SortKey::Clicks => "clicks",
            SortKey::LastClickedAt => "last_clicked_at",
            SortKey::ExpiresAt => "expires_at",
        }
    }

    pub fn parse(text: &str) -> Option<SortKey> {
        SortKey::ALL.into_iter().find(|key| key.name() == text)
    }

    /// Returns whether rows may have no value.
    pub(crate) fn is_optional(self) -> bool {
        matches!(self, SortKey::Title | SortKey::LastClickedAt | SortKey::ExpiresAt)
    }

    /// Returns whether the values are in the table of clicks.
    pub(crate) fn is_of_clicks(self) -> bool {
        matches!(self, SortKey::Clicks | SortKey::LastClickedAt)
    }

    /// Returns whether the values are texts.
    pub(crate) fn is_text(self) -> bool {
        matches!(self, SortKey::Title | SortKey::ShortCode)
    }

    /// Returns whether the values are times.
    pub(crate) fn is_time(self) -> bool {
        matches!(self, SortKey::CreatedAt | SortKey::UpdatedAt | SortKey::LastClickedAt | SortKey::ExpiresAt)
    }

    fn names() -> String {
        SortKey::ALL.map(SortKey::name).join(", ")
    }
}

impl UrlSort {
    pub fn parse(text: &str) -> Result<UrlSort, InvalidSort> {
        let (name, is_descending) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
        SortKey::parse(name).map(|key| UrlSort { key, is_descending }).ok_or(InvalidSort)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_term_outside_of_its_length_or_with_control_character_is_refused() {
        assert_eq!(SearchTerm::parse("ÄB").unwrap().folded(), "äb");
        assert!(SearchTerm::parse(&"é".repeat(100)).is_ok());
        for text in ["", "a", &"a".repeat(101)] {
            assert_eq!(SearchTerm::parse(text), Err(InvalidSearch::Length), "{text:?}");
        }
        assert_eq!(SearchTerm::parse("a\nb"), Err(InvalidSearch::ControlCharacter));
    }

    #[test]
    fn date_of_a_filter_is_its_midnight() {
        let time = |text| FilterTime::parse(text).map(|FilterTime(time)| time.to_string());
        assert_eq!(time("2026-01-31").unwrap(), "2026-01-31T00:00:00");
        assert_eq!(time("2026-01-31T12:00:01").unwrap(), "2026-01-31T12:00:01");
        assert_eq!(time("2026-01-31T12:00:01+02:00").unwrap(), "2026-01-31T10:00:01");
        for text in ["", "2026", "2026-02-30", "yesterday"] {
            assert_eq!(time(text), Err(InvalidFilterTime), "{text:?}");
        }
    }

    #[test]
    fn order_is_named_by_its_column_and_direction() {
        assert_eq!(UrlSort::parse("title"), Ok(UrlSort { key: SortKey::Title, is_descending: false }));
        assert_eq!(UrlSort::parse("-created_at"), Ok(UrlSort { key: SortKey::CreatedAt, is_descending: true }));
        for text in ["", "-", "--id", "+id", "ID", "user_id"] {
            assert_eq!(UrlSort::parse(text), Err(InvalidSort), "{text:?}");
        }
    }
}

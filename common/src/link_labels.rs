//! The fields of a link that describe it to its owner and to other programs: tags, notes and an external id.
//!
//! Redirectors do not serve them.

use serde::{Deserialize, Serialize};

use crate::json::deserialize_by_parse;
use crate::short_text::MAX_TEXT_LEN;

/// The longest notes, in characters.
pub const MAX_NOTES_LEN: usize = 2048;

/// The reason to refuse a label of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLabel {
    #[error("a tag must have 1 to {} characters", Tag::MAX_LEN)]
    TagLength,
    #[error("a tag must not hold a comma, '|' or a control character")]
    TagCharacter,
    #[error("tags must be at most {}", Tags::MAX)]
    TooManyTags,
    #[error("notes must have at most {MAX_NOTES_LEN} characters")]
    NotesLength,
    #[error("notes must not hold the character U+0000")]
    NotesNul,
    #[error("external_id must have 1 to {MAX_TEXT_LEN} characters")]
    ExternalIdLength,
    #[error("external_id must not hold a control character")]
    ExternalIdCharacter,
}

/// A tag: 1 to 50 characters in lower case, without a comma, `|` or control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(min_length = 1, max_length = 50, example = "summer"))]
pub struct Tag(String);

deserialize_by_parse!(Tag, Notes, ExternalId);

impl Tag {
    /// The longest tag, in characters.
    pub const MAX_LEN: usize = 50;

    /// Reads a tag in any case, with or without white space around it.
    pub fn parse(text: &str) -> Result<Tag, InvalidLabel> {
        let tag = text.trim().to_lowercase();
        if !(1..=Tag::MAX_LEN).contains(&tag.chars().count()) {
            return Err(InvalidLabel::TagLength);
        }
        if tag.chars().any(|c| matches!(c, ',' | '|') || c.is_control()) {
            return Err(InvalidLabel::TagCharacter);
        }
        Ok(Tag(tag))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// At most 20 different tags, in the order in which they were given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags(Vec<Tag>);

impl Tags {
    /// The largest number of tags of a link.
    pub const MAX: usize = 20;

    /// Builds a set of tags, in which a repeated tag counts once.
    pub fn new(given: impl IntoIterator<Item = Tag>) -> Result<Tags, InvalidLabel> {
        let mut tags = Vec::new();
        for tag in given {
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        if tags.len() > Tags::MAX { Err(InvalidLabel::TooManyTags) } else { Ok(Tags(tags)) }
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(Tag::as_str)
    }
}

impl<'de> Deserialize<'de> for Tags {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Tags, D::Error> {
        Tags::new(Vec::<Tag>::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Notes of at most 2,048 characters.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(max_length = 2048, pattern = r"^[^\x00]*$", example = "Printed on the poster"))]
pub struct Notes(String);

impl Notes {
    pub fn parse(text: &str) -> Result<Notes, InvalidLabel> {
        if text.chars().count() > MAX_NOTES_LEN {
            return Err(InvalidLabel::NotesLength);
        }
        if text.contains('\0') {
            return Err(InvalidLabel::NotesNul);
        }
        Ok(Notes(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of a link in another program: 1 to 255 characters, unique for each owner.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(
    feature = "schema",
    schema(min_length = 1, max_length = 255, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$", example = "order-1")
)]
pub struct ExternalId(String);

impl ExternalId {
    pub fn parse(text: &str) -> Result<ExternalId, InvalidLabel> {
        if !(1..=MAX_TEXT_LEN).contains(&text.chars().count()) {
            return Err(InvalidLabel::ExternalIdLength);
        }
        if text.chars().any(char::is_control) {
            return Err(InvalidLabel::ExternalIdCharacter);
        }
        Ok(ExternalId(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The labels of a new link.
#[derive(Clone, Debug, Default)]
pub struct LinkLabels {
    pub tags: Tags,
    pub notes: Option<Notes>,
    pub external_id: Option<ExternalId>,
}

/// A change of labels. `None` leaves a label unchanged, and `Some(None)` removes it.
#[derive(Clone, Debug, Default)]
pub struct LinkLabelsChange {
    /// The new tags in place of the present ones.
    pub tags: Option<Tags>,
    /// Tags that are added to the present or new ones.
    pub add_tags: Vec<Tag>,
    /// Tags that are removed in the end.
    pub remove_tags: Vec<Tag>,
    pub notes: Option<Option<Notes>>,
    pub external_id: Option<Option<ExternalId>>,
}

impl LinkLabelsChange {
    pub fn is_empty(&self) -> bool {
        let LinkLabelsChange { tags, add_tags, remove_tags, notes, external_id } = self;
        tags.is_none() && add_tags.is_empty() && remove_tags.is_empty() && notes.is_none() && external_id.is_none()
    }

    /// Returns the tags after the change, which may be too many.
    pub fn apply_to_tags<'a>(&'a self, present: &'a [String]) -> Vec<&'a str> {
        let base: Vec<&str> = match &self.tags {
            Some(tags) => tags.iter().collect(),
            None => present.iter().map(String::as_str).collect(),
        };
        let mut tags = Vec::new();
        for tag in base.into_iter().chain(self.add_tags.iter().map(Tag::as_str)) {
            if !tags.contains(&tag) && !self.remove_tags.iter().any(|removed| removed.as_str() == tag) {
                tags.push(tag);
            }
        }
        tags
    }
}

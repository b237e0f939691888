//! The tags of links, with the number of links of each.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::Id;
use crate::store::PageCursor;

/// A tag, with the number of links that have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(description = "A tag, with the number of its links"))]
pub struct TagCount {
    #[cfg_attr(feature = "schema", schema(example = "summer"))]
    pub tag: String,
    /// The number of links with this tag.
    #[cfg_attr(feature = "schema", schema(example = 12))]
    pub links: u64,
}

/// A filter of tags.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
pub struct TagFilter {
    /// Only the tags of links of this user; the numbers count those links alone
    pub user_id: Option<Id>,
}

/// A position in a list of tags: at a tag, or at one of the ends. The position of a tag without links stays valid.
///
/// Clients receive the text form and must not interpret it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagCursor {
    Start,
    End,
    At(String),
}

/// Error for a text that is not a cursor of a list of tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of a list of tags")]
pub struct InvalidTagCursor;

impl PageCursor for TagCursor {
    const START: TagCursor = TagCursor::Start;
    const END: TagCursor = TagCursor::End;
}

impl TagCursor {
    /// Returns a text that is before or after the same tags as the cursor.
    pub(crate) fn bound(&self) -> &str {
        match self {
            TagCursor::Start => "",
            TagCursor::End => "\u{10ffff}",
            TagCursor::At(tag) => tag,
        }
    }
}

impl fmt::Display for TagCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TagCursor::Start => 0.fmt(f),
            TagCursor::End => i64::MAX.fmt(f),
            TagCursor::At(tag) => write!(f, "tag.{}.0", URL_SAFE_NO_PAD.encode(tag)),
        }
    }
}

impl FromStr for TagCursor {
    type Err = InvalidTagCursor;

    fn from_str(text: &str) -> Result<TagCursor, InvalidTagCursor> {
        match text.strip_prefix("tag.").and_then(|text| text.strip_suffix(".0")) {
            Some(tag) => {
                let tag = URL_SAFE_NO_PAD.decode(tag).ok().and_then(|tag| String::from_utf8(tag).ok());
                tag.filter(|tag| !tag.contains('\0')).map(TagCursor::At).ok_or(InvalidTagCursor)
            }
            None if text == "0" => Ok(TagCursor::Start),
            None if text.parse() == Ok(i64::MAX) => Ok(TagCursor::End),
            None => Err(InvalidTagCursor),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tag_cursor_is_read_from_its_text() {
        for text in ["0", "9223372036854775807", "tag.c3VtbWVy.0", "tag..0"] {
            assert_eq!(text.parse::<TagCursor>().unwrap().to_string(), text);
        }
        for text in ["", "7", "tag.c3VtbWVy", "tag.AA.0", "tag._w.0", "tag.!.0", "title.c3VtbWVy.0"] {
            assert_eq!(text.parse::<TagCursor>(), Err(InvalidTagCursor), "{text:?}");
        }
    }
}

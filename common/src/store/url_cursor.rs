//! Positions in lists of urls, under each order.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::page::PageCursor;
use crate::url::SortKey;

/// A position in a list of urls: at a row, or at one of the ends. The position of a deleted or changed row stays valid.
///
/// Clients receive the text form and must not interpret it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UrlCursor {
    Start,
    End,
    /// At a row that has this value in this column.
    At {
        key: SortKey,
        value: SortValue,
        id: i64,
    },
}

/// The value of a row in the column of an order, in the form of its store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SortValue {
    /// The row has no value, or the order is that of ids.
    Absent,
    Integer(i64),
    Text(String),
}

/// Error for a text that is not a cursor of a list of urls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of a list of urls")]
pub struct InvalidUrlCursor;

/// The text of a value that a row does not have.
const ABSENT: &str = "~";

impl PageCursor for UrlCursor {
    const START: UrlCursor = UrlCursor::Start;
    const END: UrlCursor = UrlCursor::End;
}

impl UrlCursor {
    /// Returns whether the cursor is a position under this order.
    pub fn fits(&self, sort: SortKey) -> bool {
        match self {
            UrlCursor::Start | UrlCursor::End => true,
            UrlCursor::At { key, .. } => *key == sort,
        }
    }
}

impl fmt::Display for UrlCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UrlCursor::Start => 0.fmt(f),
            UrlCursor::End => i64::MAX.fmt(f),
            UrlCursor::At { key: SortKey::Id, id, .. } => id.fmt(f),
            UrlCursor::At { key, value, id } => {
                write!(f, "{}.", key.name())?;
                match value {
                    SortValue::Absent => f.write_str(ABSENT)?,
                    SortValue::Integer(value) => value.fmt(f)?,
                    SortValue::Text(text) => f.write_str(&URL_SAFE_NO_PAD.encode(text))?,
                }
                write!(f, ".{id}")
            }
        }
    }
}

impl FromStr for UrlCursor {
    type Err = InvalidUrlCursor;

    fn from_str(text: &str) -> Result<UrlCursor, InvalidUrlCursor> {
        match text.split_once('.') {
            None => Ok(match parse_id(text)? {
                0 => UrlCursor::Start,
                i64::MAX => UrlCursor::End,
                id => UrlCursor::At { key: SortKey::Id, value: SortValue::Absent, id },
            }),
            Some((name, rest)) => {
                let key = SortKey::parse(name).filter(|key| *key != SortKey::Id).ok_or(InvalidUrlCursor)?;
                let (value, id) = rest.split_once('.').ok_or(InvalidUrlCursor)?;
                Ok(UrlCursor::At { key, value: parse_value(key, value)?, id: parse_id(id)? })
            }
        }
    }
}

fn parse_id(text: &str) -> Result<i64, InvalidUrlCursor> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number).ok_or(InvalidUrlCursor)
}

fn parse_value(key: SortKey, text: &str) -> Result<SortValue, InvalidUrlCursor> {
    let value = if key.is_optional() && text == ABSENT {
        Some(SortValue::Absent)
    } else if key.is_text() {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok();
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        text.filter(|text| !text.contains('\0')).map(SortValue::Text)
    } else {
        text.parse().ok().map(SortValue::Integer)
    };
    value.ok_or(InvalidUrlCursor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_cursor_is_read_from_its_text() {
        for text in ["0", "7", "9223372036854775807", "title..7", "title.~.7", "title.w6k.7", "created_at.-5.7"] {
            assert_eq!(text.parse::<UrlCursor>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn text_that_is_no_url_cursor_is_refused() {
        for text in [
            "",
            "-1",
            "+1",
            " 1",
            "9223372036854775808",
            "id.~.7",
            "title",
            "title.~",
            "title.~.",
            "title.!.7",
            "title.AA.7",
            "title._w.7",
            "created_at.~.7",
            "created_at.x.7",
            "created_at.5.7.8",
            "owner.5.7",
        ] {
            assert_eq!(text.parse::<UrlCursor>(), Err(InvalidUrlCursor), "{text:?}");
        }
    }

    #[test]
    fn url_cursor_fits_its_own_order_and_an_end_fits_each() {
        let cursor: UrlCursor = "title.~.7".parse().unwrap();
        assert!(cursor.fits(SortKey::Title) && !cursor.fits(SortKey::Id));
        assert!(UrlCursor::Start.fits(SortKey::Title) && UrlCursor::End.fits(SortKey::Id));
    }
}

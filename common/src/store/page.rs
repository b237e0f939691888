//! Pages of lists: which one a request asks for, and what the store returns.

use std::fmt;

use crate::Id;

/// The part of a list that a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    pub start: PageStart,
    /// The number of rows at most, from 1 to [`Page::MAX_SIZE`].
    pub size: u32,
}

/// Where a page lies in its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageStart {
    /// The page of this number, from 1. The store steps over every row before it.
    Number(u64),
    /// The first rows behind a cursor.
    After(ListCursor),
    /// The last rows in front of a cursor.
    Before(ListCursor),
}

/// A place in a list, right at a row of it or at one of its ends. A row that was deleted meanwhile still marks its place.
///
/// Clients receive the text form and must not interpret it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListCursor(i64);

/// The text is not a cursor of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of a list")]
pub struct InvalidListCursor;

impl ListCursor {
    /// In front of every row.
    pub const START: ListCursor = ListCursor(0);
    /// Behind every row.
    pub const END: ListCursor = ListCursor(i64::MAX);

    /// Returns the cursor at the row of this id.
    pub fn at(id: Id) -> ListCursor {
        ListCursor(id.get())
    }

    pub(super) fn id(self) -> i64 {
        self.0
    }
}

impl fmt::Display for ListCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for ListCursor {
    type Err = InvalidListCursor;

    fn from_str(text: &str) -> Result<ListCursor, InvalidListCursor> {
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| is_number).map(ListCursor).ok_or(InvalidListCursor)
    }
}

impl Page {
    pub const DEFAULT_SIZE: u32 = 20;
    pub const MAX_SIZE: u32 = 100;

    /// Returns the first page.
    pub const fn first(size: u32) -> Page {
        Page { start: PageStart::Number(1), size }
    }

    /// The number of rows that the store steps over before the page.
    pub(super) fn offset(self) -> u64 {
        match self.start {
            PageStart::Number(number) => number.saturating_sub(1).saturating_mul(u64::from(self.size)),
            PageStart::After(_) | PageStart::Before(_) => 0,
        }
    }
}

/// How many rows a whole list has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Total {
    Exactly(u64),
    /// More than [`Total::COUNTED`]: combined filters are not counted further.
    Many,
}

impl Total {
    /// How far the matches of combined filters are counted.
    pub const COUNTED: u64 = 10_000;
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Total::Exactly(n) => n.fmt(f),
            Total::Many => write!(f, "{}+", Total::COUNTED),
        }
    }
}

/// One page of a list, ordered by id.
#[derive(Debug)]
pub struct Listing<T> {
    pub rows: Vec<T>,
    pub total: Total,
    /// Whether rows follow the page.
    pub has_next: bool,
    /// Whether rows lie in front of the page. A page behind a cursor assumes that the row at the cursor still exists.
    pub has_previous: bool,
}

impl<T> Listing<T> {
    pub(super) fn empty() -> Listing<T> {
        Listing { rows: Vec::new(), total: Total::Exactly(0), has_next: false, has_previous: false }
    }

    /// Cuts a page out of the rows that were found for it. They are ordered by id, and if the list goes on beyond the
    /// page they are more than it holds.
    pub(super) fn cut(page: Page, mut rows: Vec<T>, total: Total) -> Listing<T> {
        let size = page.size as usize;
        let surplus = rows.len().saturating_sub(size);
        let goes_on = surplus > 0;
        let (has_previous, has_next) = match page.start {
            PageStart::Number(number) => (number > 1 && total != Total::Exactly(0), goes_on),
            PageStart::After(cursor) => (cursor != ListCursor::START, goes_on),
            PageStart::Before(cursor) => (goes_on, cursor != ListCursor::END),
        };
        match page.start {
            PageStart::Before(_) => drop(rows.drain(..surplus)),
            PageStart::Number(_) | PageStart::After(_) => rows.truncate(size),
        }
        Listing { rows, total, has_next, has_previous }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_text_that_is_no_number_of_an_id_is_refused() {
        for text in ["0", "7", "9223372036854775807"] {
            assert_eq!(text.parse::<ListCursor>().unwrap().to_string(), text);
        }
        for text in ["", "-1", "+1", "1.0", " 1", "x", "9223372036854775808"] {
            assert_eq!(text.parse::<ListCursor>(), Err(InvalidListCursor), "{text:?}");
        }
    }
}

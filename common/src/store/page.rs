//! Pages of lists: the one that a request asks for, and the one that the store returns.

use std::fmt;

use crate::Id;

/// The part of a list that a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    pub start: PageStart,
    /// The largest number of rows, from 1 to [`Page::MAX_SIZE`].
    pub size: u32,
}

/// The position of a page in its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageStart {
    /// The page of this number, from 1. The store skips every row before it.
    Number(u64),
    /// The first rows after a cursor.
    After(ListCursor),
    /// The last rows before a cursor.
    Before(ListCursor),
}

/// A position in a list: at a row, or at one of the ends. The position of a deleted row stays valid.
///
/// Clients receive the text form and must not interpret it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListCursor(i64);

/// Error for a text that is not a cursor of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of a list")]
pub struct InvalidListCursor;

impl ListCursor {
    /// The position before the first row.
    pub const START: ListCursor = ListCursor(0);
    /// The position after the last row.
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

    /// Returns the number of rows that the store skips before the page.
    pub(super) fn offset(self) -> u64 {
        match self.start {
            PageStart::Number(number) => number.saturating_sub(1).saturating_mul(u64::from(self.size)),
            PageStart::After(_) | PageStart::Before(_) => 0,
        }
    }
}

/// The number of rows of a whole list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Total {
    Exactly(u64),
    /// More than [`Total::COUNTED`], the limit up to which combined filters are counted.
    Many,
}

impl Total {
    /// The limit up to which the matches of combined filters are counted.
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
    /// Whether rows follow this page.
    pub has_next: bool,
    /// Whether rows precede this page. A page after a cursor assumes that the row at the cursor still exists.
    pub has_previous: bool,
}

impl<T> Listing<T> {
    /// Returns a page of a list without rows.
    pub fn empty() -> Listing<T> {
        Listing { rows: Vec::new(), total: Total::Exactly(0), has_next: false, has_previous: false }
    }

    /// Returns a page of a list whose only row has this id.
    pub fn of_one(page: Page, id: Id, row: T) -> Listing<T> {
        let is_on_page = match page.start {
            PageStart::Number(number) => number == 1,
            PageStart::After(cursor) => cursor.0 < id.get(),
            PageStart::Before(cursor) => id.get() < cursor.0,
        };
        Listing::cut(page, is_on_page.then_some(row).into_iter().collect(), Total::Exactly(1))
    }

    /// Makes a page of the rows that were found for it, ordered by id.
    /// If the list continues beyond the page, they are more than its size.
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
    fn list_cursor_that_is_no_natural_number_is_refused() {
        for text in ["0", "7", "9223372036854775807"] {
            assert_eq!(text.parse::<ListCursor>().unwrap().to_string(), text);
        }
        for text in ["", "-1", "+1", "1.0", " 1", "x", "9223372036854775808"] {
            assert_eq!(text.parse::<ListCursor>(), Err(InvalidListCursor), "{text:?}");
        }
    }
}

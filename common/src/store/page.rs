//! Pages of lists: the one that a request asks for, and the one that the store returns.

use std::fmt;

use crate::Id;

/// The part of a list that a request asks for. `C` is the type of the list's cursors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page<C = ListCursor> {
    pub start: PageStart<C>,
    /// The largest number of rows, from 1 to [`Page::MAX_SIZE`].
    pub size: u32,
}

/// The position of a page in its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageStart<C = ListCursor> {
    /// The page of this number, from 1. The store skips every row before it.
    Number(u64),
    /// The first rows after a cursor.
    After(C),
    /// The last rows before a cursor.
    Before(C),
}

/// A position in a list, whose text form a `Link` header carries.
pub trait PageCursor: Clone + fmt::Display + PartialEq {
    /// The position before the first row.
    const START: Self;
    /// The position after the last row.
    const END: Self;
}

/// A position in a list that is ordered by id: at a row, or at one of the ends.
/// The position of a deleted row stays valid.
///
/// Clients receive the text form and must not interpret it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListCursor(i64);

/// Error for a text that is not a cursor of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of a list")]
pub struct InvalidListCursor;

impl PageCursor for ListCursor {
    const START: ListCursor = ListCursor(0);
    const END: ListCursor = ListCursor(i64::MAX);
}

impl ListCursor {
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
}

impl<C> Page<C> {
    /// Returns the first page.
    pub const fn first(size: u32) -> Page<C> {
        Page { start: PageStart::Number(1), size }
    }

    /// Returns the number of rows that the store skips before the page.
    pub(super) fn offset(&self) -> u64 {
        match self.start {
            PageStart::Number(number) => number.saturating_sub(1).saturating_mul(u64::from(self.size)),
            PageStart::After(_) | PageStart::Before(_) => 0,
        }
    }

    /// Returns whether no list has as many rows as the page skips. Such a page is empty without a look at the rows.
    #[cfg(feature = "sqlite")]
    pub(super) fn is_behind_every_list(&self) -> bool {
        self.offset() >= i64::MAX.unsigned_abs()
    }
}

/// The number of rows of a whole list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Total {
    Exactly(u64),
    /// More than the limit up to which they are counted.
    Above(u64),
}

impl Total {
    /// The limit up to which the matches of combined filters are counted.
    pub const COUNTED: u64 = 10_000;

    /// More than [`Total::COUNTED`].
    pub const MANY: Total = Total::Above(Total::COUNTED);
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Total::Exactly(n) => n.fmt(f),
            Total::Above(n) => write!(f, "{n}+"),
        }
    }
}

/// Tables whose rows are counted like those of combined filters, since counters would make each change slower.
pub(super) const UNCOUNTED: [&str; 1] = ["audit_entries"];

/// One page of a list. `C` is the type of the list's cursors.
#[derive(Debug)]
pub struct Listing<T, C = ListCursor> {
    pub rows: Vec<T>,
    pub total: Total,
    /// Whether rows follow this page.
    pub has_next: bool,
    /// Whether rows precede this page. A page after a cursor assumes that the row at the cursor still exists.
    pub has_previous: bool,
    /// The cursor at the first row. An empty page has the end of the list.
    pub first: C,
    /// The cursor at the last row. An empty page has the start of the list.
    pub last: C,
}

impl<T> Listing<T> {
    /// Returns a page of a list whose only row has this id.
    pub fn of_one(page: Page, id: Id, row: T) -> Listing<T> {
        let is_on_page = match page.start {
            PageStart::Number(number) => number == 1,
            PageStart::After(cursor) => cursor.0 < id.get(),
            PageStart::Before(cursor) => id.get() < cursor.0,
        };
        let found = is_on_page.then_some((row, ListCursor::at(id)));
        Listing::cut(&page, found.into_iter().collect(), Total::Exactly(1))
    }
}

impl<T, C: PageCursor> Listing<T, C> {
    /// Returns a page of a list without rows.
    pub fn empty() -> Listing<T, C> {
        let (rows, total) = (Vec::new(), Total::Exactly(0));
        Listing { rows, total, has_next: false, has_previous: false, first: C::END, last: C::START }
    }

    /// Makes a page of the rows that were found for it, with their cursors, in the order of the list.
    /// If the list continues beyond the page, they are more than its size.
    pub(super) fn cut(page: &Page<C>, mut found: Vec<(T, C)>, total: Total) -> Listing<T, C> {
        let size = page.size as usize;
        let surplus = found.len().saturating_sub(size);
        let goes_on = surplus > 0;
        let (has_previous, has_next) = match &page.start {
            PageStart::Number(number) => (*number > 1 && total != Total::Exactly(0), goes_on),
            PageStart::After(cursor) => (*cursor != C::START, goes_on),
            PageStart::Before(cursor) => (goes_on, *cursor != C::END),
        };
        match page.start {
            PageStart::Before(_) => drop(found.drain(..surplus)),
            PageStart::Number(_) | PageStart::After(_) => found.truncate(size),
        }
        let (rows, cursors): (Vec<T>, Vec<C>) = found.into_iter().unzip();
        let first = cursors.first().map_or(C::END, C::clone);
        let last = cursors.last().map_or(C::START, C::clone);
        Listing { rows, total, has_next, has_previous, first, last }
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

//! Pages of lists: what a request asks for, and how an answer describes them.

use serde::Serialize;
use tern_common::store::{Page, PageStart, Total};

use super::problem::Outcome;
use super::query::Query;

/// The page that a request asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) number: u64,
    pub(super) size: u32,
}

/// The description of a page.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pagination {
    current_page: u64,
    pages_count: u64,
    items_per_page: u32,
    items_in_current_page: usize,
    total_items: u64,
}

impl Asked {
    /// Reads `page` and `itemsPerPage`. A number of items beyond `most`, and -1 for all, is read as `most`.
    pub(super) fn read(query: &Query, default: u32, most: u32) -> Outcome<Asked> {
        let number = query.number("page")?.unwrap_or(1).max(1).unsigned_abs();
        let size = match query.number("itemsPerPage")? {
            None => default,
            Some(size) => u32::try_from(size).ok().filter(|size| *size > 0).unwrap_or(most).min(most),
        };
        Ok(Asked { number, size })
    }

    /// Returns the number of items before the page.
    pub(super) fn offset(self) -> u64 {
        (self.number - 1).saturating_mul(u64::from(self.size))
    }

    pub(super) fn page<C>(self) -> Page<C> {
        Page { start: PageStart::Number(self.number), size: self.size }
    }

    pub(super) fn describe(self, items: usize, total_items: u64) -> Pagination {
        Pagination {
            current_page: self.number,
            pages_count: total_items.div_ceil(u64::from(self.size)).max(1),
            items_per_page: self.size,
            items_in_current_page: items,
            total_items,
        }
    }

    /// Returns a number for a total that is only known to be large: enough for the next page, if there is one.
    pub(super) fn total(self, total: Total, items: usize, has_next: bool) -> u64 {
        match total {
            Total::Exactly(total) => total,
            Total::Above(n) => {
                let seen = self.offset().saturating_add(items as u64);
                seen.saturating_add(u64::from(has_next)).max(n + 1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_is_described_with_its_bounds() {
        let read = |query: &str| {
            let asked = Asked::read(&Query::read(query), 10, 100).unwrap();
            (asked.number, asked.size, asked.offset())
        };
        assert_eq!(read(""), (1, 10, 0));
        assert_eq!(read("page=3&itemsPerPage=20"), (3, 20, 40));
        assert_eq!(read("page=0&itemsPerPage=-1"), (1, 100, 0));
        assert_eq!(read("page=-7&itemsPerPage=99999999999"), (1, 100, 0));
        assert!(Asked::read(&Query::read("page=x"), 10, 100).is_err());
        let asked = Asked { number: 2, size: 10 };
        let pages = |total| asked.describe(0, total).pages_count;
        assert_eq!((pages(0), pages(10), pages(11), pages(20)), (1, 1, 2, 2));
        assert_eq!(asked.total(Total::Exactly(7), 0, false), 7);
        assert_eq!(asked.total(Total::MANY, 10, true), Total::COUNTED + 1);
        assert_eq!(Asked { number: 2_000, size: 10 }.total(Total::MANY, 10, true), 20_001);
    }
}

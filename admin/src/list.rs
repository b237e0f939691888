//! The parameters of a list, and the headers of its answers.

use std::str::FromStr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use form_urlencoded::Serializer;
use serde::{Deserialize, Serialize};
use tern_common::store::{AdminStore, ListCursor, Listing, Page, PageCursor, PageStart, Total, UrlCursor};
use tern_common::url::UrlSort;
use utoipa::IntoParams;

use crate::http::answer::Json;
use crate::http::error::{Error, Result, bad_request};
use crate::http::query::{Clamped, read_query};
use crate::row::{self, Row};

/// The longest `Link` header in bytes. It contains the query twice, and proxies refuse heads of more than some KiB.
const MAX_LINK_LEN: usize = 3072;

/// The parameters of every list
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageParameters {
    /// The number of the page; a page past the end is empty. A number below 1 is read as 1.
    #[param(value_type = Option<u64>, minimum = 1, default = 1, example = 1)]
    page: Option<Clamped<{ u64::MAX }>>,
    /// The number of rows of a page. A number outside the bounds is read as the nearest within them.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100, default = 20, example = 20)]
    per_page: Option<Clamped<{ Page::MAX_SIZE as u64 }>>,
    /// The rows after this cursor, from a `Link` with `rel="next"`. Excludes `page` and `before`.
    #[param(value_type = Option<String>, pattern = "^([0-9]{1,18}|9223372036854775807|[a-z_]+[.][-0-9A-Za-z_~]*[.][0-9]{1,18})$")]
    after: Option<String>,
    /// The rows before this cursor, from a `Link` with `rel="prev"`. Excludes `page` and `after`.
    #[param(value_type = Option<String>, pattern = "^([0-9]{1,18}|9223372036854775807|[a-z_]+[.][-0-9A-Za-z_~]*[.][0-9]{1,18})$")]
    before: Option<String>,
}

/// The order of a list of links
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct SortParameter {
    /// The column of the order; `-` in front is descending. Rows without a value are last both ways.
    #[param(value_type = Option<String>, pattern = "^-?(id|created_at|updated_at|clicks|last_clicked_at|title|short_code|expires_at)$", default = "id", example = "-created_at")]
    sort: Option<UrlSort>,
}

/// A request for a list: its page, and the path and query that its links repeat. `C` is the type of the list's cursors.
#[derive(Debug)]
pub(crate) struct ListQuery<C = ListCursor> {
    path: String,
    pairs: Vec<(String, String)>,
    pub(crate) page: Page<C>,
}

impl<S: Send + Sync, C: PageCursor + FromStr> FromRequestParts<S> for ListQuery<C> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<ListQuery<C>> {
        let query = parts.uri.query().unwrap_or_default();
        let page = read_query::<PageParameters>(query).map_err(bad_request)?.page()?;
        let pairs = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Ok(ListQuery { path: parts.uri.path().to_owned(), pairs, page })
    }
}

impl PageParameters {
    fn page<C: FromStr>(self) -> Result<Page<C>> {
        let start = match (self.page, self.after, self.before) {
            (number, None, None) => PageStart::Number(number.map_or(1, |Clamped(number)| number)),
            (None, Some(cursor), None) => PageStart::After(read_cursor("after", &cursor)?),
            (None, None, Some(cursor)) => PageStart::Before(read_cursor("before", &cursor)?),
            _ => return Err(bad_request("page, after and before each say where the page begins: give one of them")),
        };
        let size = self.per_page.and_then(|Clamped(size)| size.try_into().ok()).unwrap_or(Page::DEFAULT_SIZE);
        Ok(Page { start, size })
    }
}

fn read_cursor<C: FromStr>(name: &str, text: &str) -> Result<C> {
    let refuse =
        |_| bad_request(format!("{name} must be a cursor: follow the Link header of another page of the list"));
    text.parse().map_err(refuse)
}

impl SortParameter {
    /// Returns the order, under which the page's cursor has to be a position.
    pub(crate) fn of(self, query: &ListQuery<UrlCursor>) -> Result<UrlSort> {
        let sort = self.sort.unwrap_or_default();
        match &query.page.start {
            PageStart::After(cursor) | PageStart::Before(cursor) if !cursor.fits(sort.key) => {
                Err(bad_request("the cursor is of a list in another order: repeat its sort, or begin without a cursor"))
            }
            _ => Ok(sort),
        }
    }
}

impl<C: PageCursor> ListQuery<C> {
    /// Answers with the rows, and with headers for their total and the neighbouring pages.
    /// Links that would be too long are omitted, the one to the previous page first.
    pub(crate) fn answer<T: Row>(&self, listing: Listing<T, C>, store: &Arc<dyn AdminStore>) -> Response {
        self.answer_written(listing, store, |row, out| row.write_json(out))
    }

    /// Answers as [`ListQuery::answer`] does, with rows as `write` writes each of them.
    pub(crate) fn answer_written<T: Row>(
        &self,
        listing: Listing<T, C>,
        store: &Arc<dyn AdminStore>,
        write: impl Fn(T, &mut Vec<u8>) + Send + 'static,
    ) -> Response {
        let (links, total) = (self.links(&listing), listing.total);
        with_headers(row::answer(listing.rows, store, write), total, links)
    }

    /// Answers with short rows, all of which are in memory.
    pub(crate) fn answer_whole<T: Serialize>(&self, listing: &Listing<T, C>) -> Response {
        with_headers(Json(&listing.rows), listing.total, self.links(listing))
    }

    /// Returns the links to the neighbouring pages. From an empty page they lead to the ends of the list.
    fn links<T>(&self, listing: &Listing<T, C>) -> String {
        let next = listing.has_next.then(|| self.link("after", &listing.last, "next"));
        let prev = listing.has_previous.then(|| self.link("before", &listing.first, "prev"));
        let both = next.iter().chain(&prev).cloned().collect::<Vec<_>>().join(", ");
        if both.len() <= MAX_LINK_LEN { both } else { next.or(prev).unwrap_or_default() }
    }

    fn link(&self, parameter: &str, cursor: &C, rel: &str) -> String {
        let is_ours = |name: &str| ["page", "per_page", "after", "before"].contains(&name);
        let others = self.pairs.iter().filter(|(name, _)| !is_ours(name));
        let query = Serializer::new(String::new())
            .append_pair(parameter, &cursor.to_string())
            .append_pair("per_page", &self.page.size.to_string())
            .extend_pairs(others)
            .finish();
        format!("<{}?{query}>; rel=\"{rel}\"", self.path)
    }
}

fn with_headers(rows: impl IntoResponse, total: Total, links: String) -> Response {
    let mut response = ([("x-total-count", total.to_string())], rows).into_response();
    if let Ok(value) = HeaderValue::try_from(links)
        && (1..=MAX_LINK_LEN).contains(&value.len())
    {
        response.headers_mut().insert(header::LINK, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use tern_common::user::User;
    use tern_common::{Id, Timestamp};

    use super::*;

    async fn list_query(uri: &str) -> Result<ListQuery> {
        let (mut parts, ()) = Request::builder().uri(uri).body(()).unwrap().into_parts();
        ListQuery::from_request_parts(&mut parts, &()).await
    }

    #[tokio::test]
    async fn page_outside_the_bounds_is_clamped_and_text_is_refused() {
        async fn check(query: &str, expected: Option<(u64, u32)>) {
            let page = list_query(&format!("/users?{query}")).await.ok().map(|query| query.page);
            let expected = expected.map(|(number, size)| Page { start: PageStart::Number(number), size });
            assert_eq!(page, expected, "{query}");
        }
        check("", Some((1, 20))).await;
        check("page=3&per_page=50", Some((3, 50))).await;
        check("page=3&page=4", Some((3, 20))).await;
        check("page=0&per_page=0", Some((1, 1))).await;
        check("page=-5&per_page=-5", Some((1, 1))).await;
        check("per_page=101", Some((1, 100))).await;
        check("page=99999999999999999999999&per_page=99999999999999999999999", Some((u64::MAX, 100))).await;
        check("page=-99999999999999999999999", Some((1, 20))).await;
        for wrong in ["abc", "", "1.5", "-", "1e3", "%2B1", "+1", "1%20", "0x10", "%D9%A1", "null"] {
            check(&format!("page={wrong}"), None).await;
            check(&format!("per_page={wrong}"), None).await;
            check(&format!("after={wrong}"), None).await;
            check(&format!("before={wrong}"), None).await;
        }
    }

    #[tokio::test]
    async fn page_with_two_starts_is_refused() {
        for query in ["page=1&after=7", "page=2&before=7", "after=7&before=9"] {
            assert!(list_query(&format!("/users?{query}")).await.is_err(), "{query}");
        }
        let after = list_query("/users?after=7&per_page=5").await.unwrap().page;
        assert_eq!(after, Page { start: PageStart::After("7".parse().unwrap()), size: 5 });
    }

    fn page_of_users(ids: std::ops::Range<i64>, has_next: bool, has_previous: bool) -> Listing<User> {
        let user = |id| User {
            id: Id::new(id).unwrap(),
            username: "ada".to_owned(),
            email: "ada@mail.example".to_owned(),
            created_at: Timestamp::from_unix_seconds(0),
        };
        let (first, last) = if ids.is_empty() {
            (ListCursor::END, ListCursor::START)
        } else {
            (ListCursor::at(user(ids.start).id), ListCursor::at(user(ids.end - 1).id))
        };
        Listing { rows: ids.map(user).collect(), total: Total::MANY, has_next, has_previous, first, last }
    }

    #[tokio::test]
    async fn links_lead_to_neighbouring_pages_and_repeat_the_other_parameters() {
        async fn check(uri: &str, listing: Listing<User>, expected: &str) {
            assert_eq!(list_query(uri).await.unwrap().links(&listing), expected, "{uri}");
        }
        check("/users", page_of_users(1..4, false, false), "").await;
        check("/users", page_of_users(1..4, true, false), "</users?after=3&per_page=20>; rel=\"next\"").await;
        check(
            "/urls?title=%C3%A9%26&page=2&is_active=true&per_page=5",
            page_of_users(6..11, true, true),
            "</urls?after=10&per_page=5&title=%C3%A9%26&is_active=true>; rel=\"next\", \
             </urls?before=6&per_page=5&title=%C3%A9%26&is_active=true>; rel=\"prev\"",
        )
        .await;
        let to_the_end = format!("</users/?before={}&per_page=20>; rel=\"prev\"", i64::MAX);
        check("/users/?page=9", page_of_users(0..0, false, true), &to_the_end).await;
        check(
            "/users?before=5&x=y",
            page_of_users(0..0, true, false),
            "</users?after=0&per_page=20&x=y>; rel=\"next\"",
        )
        .await;
    }
}

//! The parameters of a list, and the headers of its answer.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use form_urlencoded::Serializer;
use tern_common::Id;
use tern_common::store::{self, Listing, Page, Total};
use utoipa::IntoParams;

use crate::http::answer::{Row, rows};
use crate::http::error::{Error, Result};
use crate::http::query::Parameters;

/// The longest `Link`, in bytes. The links repeat the query twice, and proxies refuse a head of more than some KiB.
const MAX_LINK_LEN: usize = 2048;

/// The parameters of every list
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "they are read by name; this is their form")]
pub(crate) struct PageParameters {
    /// Which page; past the end it is empty. A number that is too small is taken for the smallest.
    #[param(required = false, minimum = 1, default = 1, example = 1)]
    page: u64,
    /// How many rows a page has. A number outside of the bounds is taken for the nearest within.
    #[param(required = false, minimum = 1, maximum = 100, default = 20, example = 20)]
    per_page: u32,
}

/// A request for a list: its page, and whatever filters the list knows.
#[derive(Debug)]
pub(crate) struct ListQuery {
    path: String,
    pub(crate) parameters: Parameters,
    pub(crate) page: Page,
}

impl<S: Send + Sync> FromRequestParts<S> for ListQuery {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<ListQuery> {
        let parameters = Parameters::from_request_parts(parts, state).await?;
        let number = parameters.clamped("page", u64::MAX)?.unwrap_or(1);
        let size = parameters.clamped("per_page", u64::from(Page::MAX_SIZE))?;
        let size = size.and_then(|size| u32::try_from(size).ok()).unwrap_or(Page::DEFAULT_SIZE);
        Ok(ListQuery { path: parts.uri.path().to_owned(), parameters, page: Page { number, size } })
    }
}

impl ListQuery {
    /// The rows, with their total and the pages around them in headers. Links that would be too long are left out.
    ///
    /// `find` finds a row again, for a list that is too long to be in memory.
    pub(crate) fn answer<T, R>(&self, listing: Listing<T>, find: impl Fn(Id) -> R + Send + 'static) -> Response
    where
        T: Row,
        R: Future<Output = store::Result<Option<T>>> + Send + 'static,
    {
        let links = self.links(listing.more, listing.total);
        let mut response = ([("x-total-count", listing.total.to_string())], rows(listing.rows, find)).into_response();
        if let Ok(value) = HeaderValue::try_from(links)
            && (1..=MAX_LINK_LEN).contains(&value.len())
        {
            response.headers_mut().insert(header::LINK, value);
        }
        response
    }

    fn links(&self, more: bool, total: Total) -> String {
        let next = more.then(|| self.link(self.page.number.saturating_add(1), "next"));
        // From a page past the end, back to the last one that holds anything.
        let last = match total {
            Total::Exactly(rows) => rows.div_ceil(u64::from(self.page.size)),
            Total::Many => u64::MAX,
        };
        let before = (self.page.number - 1).min(last);
        let prev = (before > 0).then(|| self.link(before, "prev"));
        next.into_iter().chain(prev).collect::<Vec<_>>().join(", ")
    }

    fn link(&self, page: u64, rel: &str) -> String {
        let others = self.parameters.given.iter().filter(|(name, _)| name != "page" && name != "per_page");
        let query = Serializer::new(String::new())
            .append_pair("page", &page.to_string())
            .append_pair("per_page", &self.page.size.to_string())
            .extend_pairs(others)
            .finish();
        format!("<{}?{query}>; rel=\"{rel}\"", self.path)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    async fn list_query(uri: &str) -> Result<ListQuery> {
        let (mut parts, ()) = Request::builder().uri(uri).body(()).unwrap().into_parts();
        ListQuery::from_request_parts(&mut parts, &()).await
    }

    #[tokio::test]
    async fn pages_are_clamped_and_what_is_no_number_is_refused() {
        async fn check(query: &str, expected: Option<(u64, u32)>) {
            let page = list_query(&format!("/users?{query}")).await.ok().map(|query| query.page);
            assert_eq!(page.map(|page| (page.number, page.size)), expected, "{query}");
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
        }
    }

    #[tokio::test]
    async fn links_lead_to_the_pages_around_and_keep_the_other_parameters() {
        async fn check(uri: &str, more: bool, total: Total, expected: &str) {
            assert_eq!(list_query(uri).await.unwrap().links(more, total), expected, "{uri}");
        }
        check("/users", false, Total::Exactly(3), "").await;
        check("/users", true, Total::Exactly(30), "</users?page=2&per_page=20>; rel=\"next\"").await;
        check(
            "/urls?title=%C3%A9%26&page=2&is_active=true&per_page=5",
            true,
            Total::Many,
            "</urls?page=3&per_page=5&title=%C3%A9%26&is_active=true>; rel=\"next\", \
             </urls?page=1&per_page=5&title=%C3%A9%26&is_active=true>; rel=\"prev\"",
        )
        .await;
        check("/users/?page=9", false, Total::Exactly(41), "</users/?page=3&per_page=20>; rel=\"prev\"").await;
        check("/users?page=9", false, Total::Exactly(0), "").await;
    }
}

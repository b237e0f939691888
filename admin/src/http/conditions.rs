//! Conditional requests: `If-Match` and `If-None-Match` over revisions, which are the entity tags of links.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::http::error::Error;

/// The conditions of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Conditions {
    /// The revisions of `If-Match`; `None` without the header, and for `*`, which every existing link matches.
    pub(crate) if_match: Option<Vec<i64>>,
    if_none_match: IfNoneMatch,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum IfNoneMatch {
    #[default]
    Absent,
    Any,
    Revisions(Vec<i64>),
}

impl<S: Send + Sync> FromRequestParts<S> for Conditions {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Conditions, Error> {
        Ok(Conditions::of(&parts.headers))
    }
}

impl Conditions {
    fn of(headers: &HeaderMap) -> Conditions {
        let if_match = match tags(headers, &header::IF_MATCH) {
            Some(tags) if tags.contains(&"*") => None,
            // A weak tag never matches here (RFC 9110, 13.1.1).
            Some(tags) => Some(tags.into_iter().filter_map(revision).collect()),
            None => None,
        };
        let if_none_match = match tags(headers, &header::IF_NONE_MATCH) {
            Some(tags) if tags.contains(&"*") => IfNoneMatch::Any,
            Some(tags) => {
                let strong = tags.into_iter().map(|tag| tag.strip_prefix("W/").unwrap_or(tag));
                IfNoneMatch::Revisions(strong.filter_map(revision).collect())
            }
            None => IfNoneMatch::Absent,
        };
        Conditions { if_match, if_none_match }
    }

    /// Returns whether the client has this revision already.
    pub(crate) fn is_known(&self, revision: i64) -> bool {
        match &self.if_none_match {
            IfNoneMatch::Absent => false,
            IfNoneMatch::Any => true,
            IfNoneMatch::Revisions(known) => known.contains(&revision),
        }
    }
}

/// Returns whether `If-None-Match` names an entity tag. A proxy that compresses makes a tag weak.
pub(crate) fn names_tag(headers: &HeaderMap, tag: &str) -> bool {
    let tags = tags(headers, &header::IF_NONE_MATCH).unwrap_or_default();
    tags.into_iter().any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

/// Returns the entity tags of a header, which may occur several times; `None` without it.
fn tags<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Vec<&'a str>> {
    headers.contains_key(name).then(|| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).map(str::trim).collect()
    })
}

/// Returns the revision of a strong entity tag that Tern wrote.
fn revision(tag: &str) -> Option<i64> {
    tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok()
}

/// Returns the `ETag` of a revision.
pub(crate) fn etag(revision: i64) -> (HeaderName, HeaderValue) {
    let value = HeaderValue::try_from(format!("\"{revision}\"")).expect("a number is a valid header value");
    (header::ETAG, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(name: HeaderName, values: &[&'static str]) -> Conditions {
        let headers = values.iter().map(|value| (name.clone(), HeaderValue::from_static(value))).collect();
        Conditions::of(&headers)
    }

    #[test]
    fn if_match_is_a_star_or_a_list_of_strong_tags() {
        let check = |values: &[&'static str], expected: Option<&[i64]>| {
            assert_eq!(conditions(header::IF_MATCH, values).if_match.as_deref(), expected, "{values:?}");
        };
        check(&[], None);
        check(&["*"], None);
        check(&["\"7\""], Some(&[7]));
        check(&["\"7\" , \"8\"", "\"9\""], Some(&[7, 8, 9]));
        check(&["W/\"7\", 8, \"x\", \"\", \""], Some(&[]));
    }

    #[test]
    fn if_none_match_compares_weakly() {
        let check = |values: &[&'static str], expected: bool| {
            assert_eq!(conditions(header::IF_NONE_MATCH, values).is_known(7), expected, "{values:?}");
        };
        check(&[], false);
        check(&["*"], true);
        check(&["\"7\""], true);
        check(&["\"6\", W/\"7\""], true);
        check(&["7"], false);
        check(&["\"8\""], false);
    }
}

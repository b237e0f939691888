//! The table of operations by method and path.
//!
//! Clients put tags and codes into a path without encoding them, so a tag may contain slashes.

use axum::http::Method;
use percent_encoding::percent_decode_str;

/// An operation, with the part of the path that names its object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Health,
    ShowMercure,
    ListShortUrls,
    CreateShortUrl,
    Shorten,
    ShowShortUrl(String),
    EditShortUrl(String),
    DeleteShortUrl(String),
    ShowRules(String),
    VisitsOfCode(String),
    VisitsOfTag(String),
    VisitsOfDomain(String),
    NonOrphanVisits,
    OrphanVisits,
    DeleteOrphanVisits,
    CountVisits,
    ListTags,
    CountTags,
    RenameTag,
    DeleteTags,
    ListDomains,
    /// An operation of Shlink that Tern does not have. The text completes the sentence "Tern does not ...".
    Missing(&'static str),
}

/// The reason why no operation is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unroutable {
    NotFound,
    /// The path has other methods.
    NotAllowed(String),
}

/// Finds the operation of a request.
pub(super) fn find(method: &Method, path: &str) -> Result<Operation, Unroutable> {
    let path = path.strip_prefix("/rest/").unwrap_or_default().trim_end_matches('/');
    let (version, path) = path.split_once('/').unwrap_or(("", path));
    let parts: Vec<&str> = path.split('/').collect();
    let operations = match version {
        "v1" | "v2" | "v3" => operations(&parts),
        "" if path == "health" => operations(&parts),
        _ => Vec::new(),
    };
    if operations.is_empty() {
        return Err(Unroutable::NotFound);
    }
    let sought = if *method == Method::HEAD { &Method::GET } else { method };
    let allowed = allowed_methods(&operations);
    let found = operations.into_iter().find(|(method, _)| method == sought);
    found.map(|(_, operation)| operation).ok_or(Unroutable::NotAllowed(allowed))
}

/// Returns the operations of a path without its version.
fn operations(parts: &[&str]) -> Vec<(Method, Operation)> {
    let decode = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
    match parts {
        ["health"] => vec![(Method::GET, Operation::Health)],
        ["mercure-info"] => vec![(Method::GET, Operation::ShowMercure)],
        ["short-urls"] => {
            vec![(Method::GET, Operation::ListShortUrls), (Method::POST, Operation::CreateShortUrl)]
        }
        ["short-urls", code] if !code.is_empty() => {
            let name = decode(code);
            let show = if name == "shorten" { Operation::Shorten } else { Operation::ShowShortUrl(name.clone()) };
            vec![
                (Method::GET, show),
                (Method::PATCH, Operation::EditShortUrl(name.clone())),
                (Method::DELETE, Operation::DeleteShortUrl(name)),
            ]
        }
        ["short-urls", code, "redirect-rules"] => vec![
            (Method::GET, Operation::ShowRules(decode(code))),
            (Method::POST, Operation::Missing("have redirect rules yet")),
        ],
        ["short-urls", code, "visits"] => vec![
            (Method::GET, Operation::VisitsOfCode(decode(code))),
            (Method::DELETE, Operation::Missing("delete the visits of a short URL")),
        ],
        ["visits"] => vec![(Method::GET, Operation::CountVisits)],
        ["visits", "non-orphan"] => vec![(Method::GET, Operation::NonOrphanVisits)],
        ["visits", "orphan"] => {
            vec![(Method::GET, Operation::OrphanVisits), (Method::DELETE, Operation::DeleteOrphanVisits)]
        }
        ["domains"] => vec![(Method::GET, Operation::ListDomains)],
        ["domains", "redirects"] => {
            vec![(Method::PATCH, Operation::Missing("change redirects of a domain here; the settings do"))]
        }
        ["domains", domain, "visits"] => vec![(Method::GET, Operation::VisitsOfDomain(decode(domain)))],
        ["tags"] => vec![
            (Method::GET, Operation::ListTags),
            (Method::PUT, Operation::RenameTag),
            (Method::DELETE, Operation::DeleteTags),
        ],
        ["tags", "stats"] => vec![(Method::GET, Operation::CountTags)],
        ["tags", tag @ .., "visits"] if !tag.is_empty() => {
            vec![(Method::GET, Operation::VisitsOfTag(decode(&tag.join("/"))))]
        }
        _ => Vec::new(),
    }
}

fn allowed_methods(operations: &[(Method, Operation)]) -> String {
    let mut names = Vec::new();
    for (method, _) in operations {
        names.push(method.as_str());
        if *method == Method::GET {
            names.push("HEAD");
        }
    }
    names.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operation_is_found_under_each_version() {
        let find = |method: Method, path: &str| find(&method, path);
        for version in ["v1", "v2", "v3"] {
            assert_eq!(find(Method::GET, &format!("/rest/{version}/short-urls")), Ok(Operation::ListShortUrls));
            assert_eq!(find(Method::HEAD, &format!("/rest/{version}/health/")), Ok(Operation::Health));
        }
        assert_eq!(find(Method::GET, "/rest/health"), Ok(Operation::Health));
        for path in [
            "/rest",
            "/rest/",
            "/rest/v3",
            "/rest/v3/",
            "/rest/v4/tags",
            "/rest/tags",
            "/rest/v3/nope",
            "/rest/v3/short-urls/a/b",
        ] {
            assert_eq!(find(Method::GET, path), Err(Unroutable::NotFound), "{path}");
        }
        let not_allowed = |allowed: &str| Err(Unroutable::NotAllowed(allowed.to_owned()));
        assert_eq!(find(Method::PUT, "/rest/v3/short-urls"), not_allowed("GET,HEAD,POST"));
        assert_eq!(find(Method::POST, "/rest/v3/tags"), not_allowed("GET,HEAD,PUT,DELETE"));
    }

    #[test]
    fn tag_in_a_path_may_have_slashes_and_is_decoded() {
        let tag = |path: &str| match find(&Method::GET, path) {
            Ok(Operation::VisitsOfTag(tag)) => tag,
            other => panic!("{path}: {other:?}"),
        };
        assert_eq!(tag("/rest/v3/tags/x/visits"), "x");
        assert_eq!(tag("/rest/v3/tags/x/y%20z/visits"), "x/y z");
        assert_eq!(tag("/rest/v3/tags/%C3%A9%2F+/visits"), "é/+");
        assert_eq!(tag("/rest/v3/tags/visits/visits"), "visits");
        assert_eq!(tag("/rest/v3/tags/stats/visits"), "stats");
    }
}

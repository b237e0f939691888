//! Ignored names: query parameters and fields of a body that the operation of a request does not know.
//!
//! The description of the API has the query parameters of each operation. The reader of a body notes the fields that its
//! type does not know. A name is repeated in the form of a query string and up to a length. No value is repeated.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::MatchedPath;
use axum::http::request::Parts;
use axum::http::{HeaderName, Method};
use tern_common::token::Secret;
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};
use utoipa::openapi::{Paths, RefOr};

use crate::dashboard::is_page;

/// The header of an answer that lists the ignored names of its request.
pub(crate) const TERN_IGNORED: HeaderName = HeaderName::from_static("tern-ignored");

/// The most names that an answer lists; `...` stands for the others.
const MOST_NAMES: usize = 20;

/// The most bytes of a name in the list; `...` stands for its rest.
const LONGEST_NAME: usize = 40;

/// The query parameters that each operation knows, by path and method.
#[derive(Clone, Debug)]
pub(crate) struct KnownParameters(Arc<HashMap<String, HashMap<Method, Vec<String>>>>);

/// The ignored names of one request, query parameters first. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct IgnoredNames(Arc<Mutex<Vec<String>>>);

impl KnownParameters {
    /// Collects the parameters of every operation.
    pub(crate) fn of(paths: &Paths) -> KnownParameters {
        // The script of a page of the dashboard reads its query.
        let read_here = paths.paths.iter().filter(|(path, _)| !is_page(path));
        KnownParameters(Arc::new(read_here.map(|(path, item)| (path.clone(), by_method(item))).collect()))
    }

    /// Finds the ignored parameters of a request; `None` if its path or method is unknown.
    pub(crate) fn find_ignored(&self, request: &Parts) -> Option<IgnoredNames> {
        let route = request.extensions.get::<MatchedPath>()?.as_str();
        let method = if request.method == Method::HEAD { &Method::GET } else { &request.method };
        let known =
            self.0.get(route.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(route))?.get(method)?;
        let mut parameters = Vec::new();
        for (name, _) in form_urlencoded::parse(request.uri.query().unwrap_or_default().as_bytes()) {
            if !known.iter().any(|known| *known == name) {
                note(&mut parameters, &name);
            }
        }
        Some(IgnoredNames(Arc::new(Mutex::new(parameters))))
    }
}

fn by_method(item: &PathItem) -> HashMap<Method, Vec<String>> {
    let operations = [
        (Method::GET, &item.get),
        (Method::POST, &item.post),
        (Method::PUT, &item.put),
        (Method::PATCH, &item.patch),
        (Method::DELETE, &item.delete),
    ];
    operations.into_iter().filter_map(|(method, operation)| Some((method, parameters(operation.as_ref()?)))).collect()
}

fn parameters(operation: &Operation) -> Vec<String> {
    let parameters = operation.parameters.iter().flatten().filter_map(|parameter| match parameter {
        RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Query => Some(parameter.name.clone()),
        RefOr::T(_) | RefOr::Ref(_) => None,
    });
    parameters.collect()
}

impl IgnoredNames {
    /// Notes the name of a field that the type of the body does not know.
    pub(crate) fn note_field(&self, name: &str) {
        note(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner), name);
    }

    /// Forgets names that the operation knows and may ignore, such as read-only fields.
    pub(crate) fn forgive(&self, known: &[&str]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|name| !known.contains(&name.as_str()));
    }

    /// Returns the list of ignored names for the header and the log; `None` if nothing was ignored.
    pub(crate) fn list(&self) -> Option<String> {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let listed = names.iter().take(MOST_NAMES).map(String::as_str);
        let more = (names.len() > MOST_NAMES).then_some("...");
        (!names.is_empty()).then(|| listed.chain(more).collect::<Vec<_>>().join(", "))
    }
}

/// Adds a name in its listed form, unless it is there. One name more than are listed is enough for the `...`.
fn note(names: &mut Vec<String>, name: &str) {
    if names.len() <= MOST_NAMES {
        let shown = escape(name);
        if !names.contains(&shown) {
            names.push(shown);
        }
    }
}

/// Escapes a name as a query string does, and cuts a long one. A token that was sent as a name is cut to its prefix.
fn escape(name: &str) -> String {
    if name.is_empty() {
        return "\"\"".to_owned();
    }
    let mut shown = String::new();
    let longest = if name.starts_with(Secret::PREFIX) { Secret::PREFIX.len() } else { LONGEST_NAME };
    for character in name.chars() {
        let mut utf8 = [0; 4];
        let utf8 = character.encode_utf8(&mut utf8);
        let before = shown.len();
        shown.extend(form_urlencoded::byte_serialize(utf8.as_bytes()));
        if shown.len() > longest {
            shown.truncate(before);
            shown.push_str("...");
            break;
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_is_escaped_and_cut() {
        let check = |name: &str, expected: &str| assert_eq!(escape(name), expected, "{name:?}");
        check("short_code", "short_code");
        check("page[size]", "page%5Bsize%5D");
        check("a,b c\r\nX: y", "a%2Cb+c%0D%0AX%3A+y");
        check("é", "%C3%A9");
        check("", "\"\"");
        check(&"a".repeat(40), &"a".repeat(40));
        check(&"a".repeat(41), &format!("{}...", "a".repeat(40)));
        check(&"é".repeat(7), &format!("{}...", "%C3%A9".repeat(6)));
        check("tern_AbCdEfGh0123456789", "tern_...");
    }

    #[test]
    fn repeated_and_excess_names_are_not_noted() {
        let mut names = Vec::new();
        ["a", "b", "a", "Page"].iter().for_each(|name| note(&mut names, name));
        assert_eq!(names, ["a", "b", "Page"]);
        (0..1000).for_each(|n| note(&mut names, &format!("name{n}")));
        assert_eq!(names.len(), MOST_NAMES + 1);
    }
}

//! Names in a request that nothing reads: query parameters and fields of a body that its operation does not know.
//!
//! The type that reads a query describes its parameters too, and so the description has the names that an operation
//! knows. The type that reads a body knows its fields, and its reader notes the others.
//! A name is repeated bounded and in the form of a query string; a value is never repeated.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::MatchedPath;
use axum::http::request::Parts;
use axum::http::{HeaderName, Method};
use tern_common::token::Secret;
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};
use utoipa::openapi::{Paths, RefOr};

/// The header of an answer that lists the ignored names of its request.
pub(crate) const TERN_IGNORED: HeaderName = HeaderName::from_static("tern-ignored");

/// Names that an answer lists; `...` stands for the others.
const MOST_NAMES: usize = 20;

/// The longest name in bytes, as it is listed; `...` stands for its rest.
const LONGEST_NAME: usize = 40;

/// The query parameters that each operation knows, by path and method.
#[derive(Clone, Debug)]
pub(crate) struct KnownParameters(Arc<HashMap<String, HashMap<Method, Vec<String>>>>);

/// The ignored names of one request, query parameters first. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Ignored(Arc<Mutex<Vec<String>>>);

impl KnownParameters {
    /// Collects the parameters of every operation.
    pub(crate) fn of(paths: &Paths) -> KnownParameters {
        KnownParameters(Arc::new(paths.paths.iter().map(|(path, item)| (path.clone(), by_method(item))).collect()))
    }

    /// Looks at the query of a request to a known path and method; `None` for every other request.
    pub(crate) fn ignored_of(&self, request: &Parts) -> Option<Ignored> {
        let route = request.extensions.get::<MatchedPath>()?.as_str();
        let method = if request.method == Method::HEAD { &Method::GET } else { &request.method };
        let known = self.0.get(route.strip_suffix('/').unwrap_or(route))?.get(method)?;
        let mut parameters = Vec::new();
        for (name, _) in form_urlencoded::parse(request.uri.query().unwrap_or_default().as_bytes()) {
            if !known.iter().any(|known| *known == name) {
                note(&mut parameters, &name);
            }
        }
        Some(Ignored(Arc::new(Mutex::new(parameters))))
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

impl Ignored {
    /// Notes the name of a field that the type of the body does not know.
    pub(crate) fn note_field(&self, name: &str) {
        note(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner), name);
    }

    /// Returns the list of ignored names for the header and the log; `None` if nothing was ignored.
    pub(crate) fn list(&self) -> Option<String> {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let listed = names.iter().take(MOST_NAMES).map(String::as_str);
        let more = (names.len() > MOST_NAMES).then_some("...");
        (!names.is_empty()).then(|| listed.chain(more).collect::<Vec<_>>().join(", "))
    }
}

/// Adds a name once and as it is listed. One more than are listed tells that there are more.
fn note(names: &mut Vec<String>, name: &str) {
    if names.len() <= MOST_NAMES {
        let shown = shown(name);
        if !names.contains(&shown) {
            names.push(shown);
        }
    }
}

/// Writes a name as a query string does, cut where it is long. A token that was sent as a name is cut to its prefix.
fn shown(name: &str) -> String {
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
    fn name_is_shown_as_a_query_string_writes_it() {
        let check = |name: &str, expected: &str| assert_eq!(shown(name), expected, "{name:?}");
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
    fn names_are_noted_once_each_and_not_without_bound() {
        let mut names = Vec::new();
        ["a", "b", "a", "Page"].iter().for_each(|name| note(&mut names, name));
        assert_eq!(names, ["a", "b", "Page"]);
        (0..1000).for_each(|n| note(&mut names, &format!("name{n}")));
        assert_eq!(names.len(), MOST_NAMES + 1);
    }
}

//! Names in a request that nothing reads: query parameters and fields of a body that its operation does not know.
//!
//! The description of the API says which names an operation reads, so documentation and answers agree.
//! A name is repeated bounded and in the form of a query string; a value is never repeated.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, OnceLock};

use axum::extract::MatchedPath;
use axum::http::request::Parts;
use axum::http::{HeaderName, Method};
use tern_common::token::Secret;

use crate::description::{Names, names};

/// The header of an answer that lists the ignored names of its request.
pub(crate) const TERN_IGNORED: HeaderName = HeaderName::from_static("tern-ignored");

/// Names that an answer lists; `...` stands for the others.
const MOST_NAMES: usize = 20;

/// The longest name in bytes, as it is listed; `...` stands for its rest.
const LONGEST_NAME: usize = 40;

/// The names that each operation reads, by path and method.
static KNOWN: LazyLock<HashMap<String, HashMap<Method, Names>>> = LazyLock::new(names);

/// The ignored names of one request. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Ignored(Arc<Found>);

#[derive(Debug)]
struct Found {
    known: &'static Names,
    parameters: Vec<String>,
    /// Noted by the reader of the body.
    fields: OnceLock<Vec<String>>,
}

impl Ignored {
    /// Looks at the query of a request to a known path and method; `None` for every other request.
    pub(crate) fn of(request: &Parts) -> Option<Ignored> {
        let route = request.extensions.get::<MatchedPath>()?.as_str();
        let method = if request.method == Method::HEAD { &Method::GET } else { &request.method };
        let known = KNOWN.get(route.strip_suffix('/').unwrap_or(route))?.get(method)?;
        let query = request.uri.query().unwrap_or_default();
        let parameters = form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name);
        let parameters = unknown(parameters, &known.parameters);
        Some(Ignored(Arc::new(Found { known, parameters, fields: OnceLock::new() })))
    }

    /// Notes the names of the fields that the body of the request has. Only the first call counts.
    pub(crate) fn note_fields<'a>(&self, names: impl Iterator<Item = Cow<'a, str>>) {
        self.0.fields.get_or_init(|| unknown(names, &self.0.known.fields));
    }

    /// The names that the operation reads.
    pub(crate) fn known(&self) -> &'static Names {
        self.0.known
    }

    /// The list of ignored names, as it stands in the header and in the log; `None` if nothing was ignored.
    pub(crate) fn list(&self) -> Option<String> {
        let mut listed: Vec<&str> = Vec::new();
        for name in self.0.parameters.iter().chain(self.0.fields.get().into_iter().flatten()) {
            if listed.len() == MOST_NAMES {
                listed.push("...");
                break;
            }
            if !listed.contains(&name.as_str()) {
                listed.push(name);
            }
        }
        (!listed.is_empty()).then(|| listed.join(", "))
    }
}

/// Picks the names that are not known, each once and as it is listed. One more than are listed tells that there are more.
fn unknown<'a>(names: impl Iterator<Item = Cow<'a, str>>, known: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for name in names.filter(|name| !known.iter().any(|known| known == name)) {
        let shown = shown(&name);
        if !found.contains(&shown) {
            found.push(shown);
        }
        if found.len() > MOST_NAMES {
            break;
        }
    }
    found
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

    fn names<'a>(names: &'a [&'a str]) -> impl Iterator<Item = Cow<'a, str>> {
        names.iter().map(|name| Cow::Borrowed(*name))
    }

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
    fn unknown_names_are_found_once_each_and_not_without_bound() {
        let known = ["page".to_owned()];
        assert_eq!(unknown(names(&["a", "page", "b", "a", "Page"]), &known), ["a", "b", "Page"]);
        let many = (0..1000).map(|n| Cow::Owned(format!("name{n}")));
        assert_eq!(unknown(many, &known).len(), MOST_NAMES + 1);
    }
}

//! The `Location` of a redirect to a chosen target. Pure: no I/O, no lock, no allocation.
//!
//! ```text
//! merged_url   locations with the query of a request
//! filled_url   locations whose placeholders are filled
//! ```

mod filled_url;
mod merged_url;

pub use self::filled_url::FilledUrl;
pub use self::merged_url::MergedUrl;
use crate::placeholders::Template;

/// The value of `Location`, in visible ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location<'a> {
    Url(&'a [u8]),
    Merged(MergedUrl<'a>),
    Filled(FilledUrl<'a>),
}

impl Location<'_> {
    /// Returns an upper bound of the length.
    pub fn max_len(&self) -> usize {
        match self {
            Location::Url(url) => url.len(),
            Location::Merged(merged) => merged.max_len(),
            Location::Filled(filled) => filled.written_len(),
        }
    }

    /// Writes the value in pieces.
    pub fn write(&self, mut put: impl FnMut(&[u8])) {
        match self {
            Location::Url(url) => put(url),
            Location::Merged(merged) => merged.write(put),
            Location::Filled(filled) => filled.write(put),
        }
    }
}

/// The parts of a request that its `Location` may contain.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// The path behind the code and its slash; `None` if there is no slash.
    pub rest: Option<&'a [u8]>,
    /// The query without its `?`; empty if there is none.
    pub query: &'a [u8],
    /// Whether the query is merged into the target.
    pub forwards_query: bool,
}

/// The `Location` of a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located<'a> {
    pub location: Location<'a>,
    /// Whether the query should have been merged into the target, and could not be.
    pub drops_query: bool,
}

/// Returns the `Location` for a target in its header form: placeholders are filled, then the query is merged.
///
/// `template` is the target with its placeholders, if it has any. Returns `None` if the request does not fill them, or has
/// a path behind the code that the target does not use.
#[inline]
pub fn locate<'a>(target: &'a str, template: Option<Template<'a>>, given: Given<'a>) -> Option<Located<'a>> {
    if let Some(template) = template {
        return locate_filled(template, given);
    }
    if given.rest.is_some() {
        return None;
    }
    let target = target.as_bytes();
    let (location, drops_query) = if given.forwards_query && !given.query.is_empty() {
        match MergedUrl::new(target, given.query) {
            Some(merged) => (Location::Merged(merged), false),
            None => (Location::Url(target), true),
        }
    } else {
        (Location::Url(target), false)
    };
    Some(Located { location, drops_query })
}

fn locate_filled<'a>(template: Template<'a>, given: Given<'a>) -> Option<Located<'a>> {
    let filled = FilledUrl::new(template, given.rest, given.query)?;
    if !given.forwards_query {
        return Some(Located { location: Location::Filled(filled), drops_query: false });
    }
    let merged = filled.merge_query();
    Some(Located { location: Location::Filled(merged.unwrap_or(filled)), drops_query: merged.is_none() })
}

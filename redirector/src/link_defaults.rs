//! How links redirect that do not decide it themselves, and how long browsers may store a permanent redirect.

use std::time::Duration;

use tern_common::RedirectStatus;
use tern_common::config::Reader;

/// A stored redirect forgives an edit of the link after this time. A browser then costs at most one uncounted click.
const CACHE: Duration = Duration::from_secs(30);

/// Properties of redirects of links without options of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkDefaults {
    /// `REDIRECT_STATUS`: the status of a redirect.
    pub status: RedirectStatus,
    /// `FORWARD_QUERY`: whether the query of a request is merged into the target.
    pub forward_query: bool,
    /// The `Cache-Control` of a permanent redirect, from `REDIRECT_CACHE`.
    pub permanent_cache: Option<Box<str>>,
}

impl LinkDefaults {
    pub fn read(reader: &mut Reader<'_>) -> LinkDefaults {
        let defaults = LinkDefaults::default();
        LinkDefaults {
            status: reader.get("REDIRECT_STATUS", defaults.status),
            forward_query: reader.get("FORWARD_QUERY", defaults.forward_query),
            permanent_cache: permanent_cache(reader.get("REDIRECT_CACHE", CACHE)),
        }
    }

    /// Returns the `Cache-Control` of a redirect to the target of a link.
    #[inline]
    pub fn cache_control(&self, status: RedirectStatus) -> Option<&str> {
        if status.is_permanent() { self.permanent_cache.as_deref() } else { Some("no-store") }
    }
}

impl Default for LinkDefaults {
    fn default() -> LinkDefaults {
        LinkDefaults { status: RedirectStatus::FOUND, forward_query: false, permanent_cache: permanent_cache(CACHE) }
    }
}

fn permanent_cache(time: Duration) -> Option<Box<str>> {
    let seconds = time.as_secs();
    (seconds > 0).then(|| format!("private, max-age={seconds}").into())
}

#[cfg(test)]
mod tests {
    use tern_common::config::Variables;

    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<LinkDefaults, String> {
        let variables: Variables =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut reader = Reader::new(&variables);
        let defaults = LinkDefaults::read(&mut reader);
        reader.finish(defaults).map_err(|error| error.to_string())
    }

    #[test]
    fn only_permanent_redirects_are_stored_for_the_configured_time() {
        let status = |code: i64| code.try_into().unwrap();
        let check = |cache: Option<&str>, expected: Option<&str>| {
            let pairs: Vec<_> = cache.into_iter().map(|cache| ("REDIRECT_CACHE", cache)).collect();
            let defaults = read(&pairs).unwrap();
            let values = [301, 302, 307, 308].map(|code| defaults.cache_control(status(code)));
            assert_eq!(values, [expected, Some("no-store"), Some("no-store"), expected]);
        };
        check(None, Some("private, max-age=30"));
        check(Some("5m"), Some("private, max-age=300"));
        check(Some("0"), None);
    }

    #[test]
    fn invalid_default_is_reported_by_the_name_of_its_setting() {
        let defaults = read(&[("REDIRECT_STATUS", "308"), ("FORWARD_QUERY", "true")]).unwrap();
        assert_eq!((defaults.status.code(), defaults.forward_query), (308, true));
        for (name, value) in [("REDIRECT_STATUS", "303"), ("FORWARD_QUERY", "maybe"), ("REDIRECT_CACHE", "2y")] {
            let error = read(&[(name, value)]).unwrap_err();
            assert!(error.contains(name), "{error}");
        }
    }
}

//! The files of the dashboard, and the page that loads them.
//!
//! A release build contains them with their compressed forms. A debug build reads them from `src/ui` at each request, so
//! that an edit needs no build.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use axum::http::{HeaderMap, header};
use rust_embed::RustEmbed;

use super::render::{self, Page};

#[derive(RustEmbed)]
#[cfg_attr(debug_assertions, folder = "src/ui")]
#[cfg_attr(not(debug_assertions), folder = "$OUT_DIR/ui")]
struct Files;

/// The page of a release build, whose files do not change.
static PAGE: LazyLock<Arc<Page>> = LazyLock::new(|| Arc::new(render_page()));

/// The content codings of compressed files, the smallest first, with the ends of their names.
const CODINGS: [(&str, &str); 2] = [("br", ".br"), ("gzip", ".gz")];

/// The content of a file as it is sent, with its content coding.
pub(super) struct Sent {
    pub(super) content: Cow<'static, [u8]>,
    pub(super) coding: Option<&'static str>,
}

pub(super) fn page() -> Arc<Page> {
    if cfg!(debug_assertions) { Arc::new(render_page()) } else { Arc::clone(&PAGE) }
}

fn render_page() -> Page {
    let is_source = |name: &Cow<str>| CODINGS.iter().all(|(_, end)| !name.ends_with(end));
    let read = |name: Cow<str>| Some((name.clone().into_owned(), Files::get(&name)?.data.into_owned()));
    let mut files: Vec<_> = Files::iter().filter(is_source).filter_map(read).collect();
    files.sort();
    render::render(&files)
}

/// Finds a file by its name, in the smallest form that the client accepts.
pub(super) fn find(name: &str, headers: &HeaderMap) -> Option<Sent> {
    compressed(name, headers)
        .or_else(|| Files::get(name).map(|file| Sent { content: file.data, coding: None }))
        .filter(|_| media_type(name).is_some())
}

/// Finds the compressed form of a file, if the client accepts it. A debug build has none.
pub(super) fn compressed(name: &str, headers: &HeaderMap) -> Option<Sent> {
    let accepted = CODINGS.into_iter().filter(|(coding, _)| accepts(headers, coding));
    accepted
        .filter_map(|(coding, end)| {
            let file = Files::get(&format!("{name}{end}"))?;
            Some(Sent { content: file.data, coding: Some(coding) })
        })
        .next()
}

/// Returns whether `Accept-Encoding` names a coding with a quality above 0.
fn accepts(headers: &HeaderMap, coding: &str) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let is_named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(coding));
        let quality = parts.find_map(|part| part.strip_prefix("q="));
        is_named && quality.is_none_or(|quality| quality.parse::<f32>().is_ok_and(|quality| quality > 0.0))
    })
}

/// Returns the type of a file that may be requested; `None` for the template and for compressed forms.
pub(super) fn media_type(name: &str) -> Option<&'static str> {
    match name.rsplit_once('.')?.1 {
        "js" => Some("text/javascript; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use tern_common::routing::ConditionType;
    use tern_common::visitor::{DEVICE_CLASSES, browsers};

    use super::super::compress;
    use super::*;

    /// The most bytes of all files together, as a browser without a cache receives them.
    const PAYLOAD: usize = 100_000;

    /// A release build has each file in both forms, and a debug build in none; both have the same sources.
    #[test]
    fn compressed_files_are_below_the_payload_of_the_dashboard() {
        let sources = || Files::iter().filter(|name| CODINGS.iter().all(|(_, end)| !name.ends_with(end)));
        let is_sent = |name: &str| name == render::TEMPLATE || media_type(name).is_some();
        let mut sums = [0; 2];
        for name in sources().filter(|name| is_sent(name)) {
            let content = match &*name {
                render::TEMPLATE => page().html.clone().into_bytes(),
                _ => Files::get(&name).unwrap().data.into_owned(),
            };
            let forms = [compress::brotli(&content).unwrap(), compress::gzip(&content).unwrap()];
            for ((sum, form), (coding, end)) in sums.iter_mut().zip(forms).zip(CODINGS) {
                *sum += form.len();
                let embedded = Files::get(&format!("{name}{end}")).map(|file| file.data.into_owned());
                assert_eq!(embedded, (!cfg!(debug_assertions)).then_some(form), "{name} as {coding}");
            }
        }
        println!("brotli {} bytes, gzip {} bytes", sums[0], sums[1]);
        assert!(sources().count() > 40 && sums.iter().all(|sum| (40_000..PAYLOAD).contains(sum)), "{sums:?}");
    }

    #[test]
    fn editor_knows_the_conditions_of_redirectors() {
        let editor = Files::get("editor-conditions.js").unwrap().data;
        let editor = std::str::from_utf8(&editor).unwrap();
        let constant = |name: &str| {
            let start = format!("export const {name} = ");
            editor.lines().find_map(|line| line.strip_prefix(&start)).unwrap()
        };
        let keys = |name| {
            let parts = constant(name).trim_matches(['{', '}', ';', ' ']).split("\", ");
            parts.map(|part| part.split(':').next().unwrap().trim().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(constant("BROWSERS"), format!("\"{}\".split(\"|\");", browsers().join("|")));
        assert_eq!(keys("DEVICES"), DEVICE_CLASSES);
        let mut types = keys("TYPES");
        types.sort_unstable();
        let mut expected = ConditionType::ALL.map(ConditionType::name);
        expected.sort_unstable();
        assert_eq!(types, expected);
    }

    #[test]
    fn coding_is_accepted_if_it_is_named_above_zero() {
        let check = |value: &'static str, coding: &str, expected: bool| {
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(value))]);
            assert_eq!(accepts(&headers, coding), expected, "{value:?} {coding}");
        };
        check("gzip, deflate, br, zstd", "br", true);
        check("gzip;q=0.5, BR", "br", true);
        check("br;q=0, gzip", "br", false);
        check("br;q=0, gzip", "gzip", true);
        check("identity", "gzip", false);
        check("", "gzip", false);
    }
}

//! Pages for people in place of JSON: errors of short codes, and previews. Pure; they load nothing and run no script.

use crate::http::{Answer, Content, Document, FilledUrl, MediaType, StatusCode, html_reference};

/// Header lines of pages and previews. The policy allows the style below by its hash, and the empty icon.
pub const FIELDS: &str = concat!(
    "Content-Security-Policy: default-src 'none'; ",
    "style-src 'sha256-y6mE0+nFYS7Y2RdIsQOnu8ZJuZVOXg/RtjbXx5Q20rc='; ",
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n",
    "X-Robots-Tag: noindex\r\n",
    "Referrer-Policy: no-referrer\r\n",
    "X-Content-Type-Options: nosniff\r\n",
);

/// The greatest length of a preview in bytes: it is shorter than 2 KiB.
const LONGEST_PREVIEW: usize = 2 * 1024 - 1;

/// The number of characters at which a preview cuts a target.
const LONGEST_TARGET: usize = 1_000;

macro_rules! style {
    () => {
        concat!(
            ":root{color-scheme:light dark;--b:#f4f5f7;--c:#fff;--t:#1b2230;--m:#566074;--a:#0a5cc7}",
            "@media(prefers-color-scheme:dark){:root{--b:#11141a;--c:#1b2029;--t:#e9ecf1;--m:#a0aabb;--a:#82b5ff}}",
            "body{margin:0;min-height:100vh;display:grid;place-items:center;background:var(--b);",
            "font:1rem/1.5 system-ui,sans-serif;color:var(--m)}",
            "main{max-width:34rem;margin:1rem;padding:2rem;border-radius:1rem;background:var(--c)}",
            "h1,b{color:var(--t)}h1{margin:0;font-size:1.4rem}p{margin:.6rem 0 0;overflow-wrap:anywhere}a{color:var(--a)}",
        )
    };
}

/// The part of a page up to its first paragraph.
macro_rules! beginning {
    ($title:literal) => {
        concat!(
            "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">",
            "<link rel=icon href=\"data:,\"><title>",
            $title,
            "</title><style>",
            style!(),
            "</style><main><h1>",
            $title,
            "</h1><p>"
        )
    };
}

/// A page around the three pieces of a message.
macro_rules! error_page {
    ($title:literal, $advice:literal) => {
        &[beginning!($title), "", "", concat!(".</p><p>", $advice, "</p></main></html>\n")]
    };
}

macro_rules! preview_page {
    ($behind_target:literal) => {
        &[
            beginning!("Where this link goes"),
            "</p><p><b>",
            concat!("</b>", $behind_target, "</p><p><a href=\""),
            "\">Continue</a></p></main></html>\n",
        ]
    };
}

const NOT_FOUND: &[&str; 4] =
    error_page!("Link not found", "Check the address for typing errors, or ask for the link again.");
const GONE: &[&str; 4] =
    error_page!("This link no longer works", "Ask the person who shared it with you for a new one.");
const TOO_MANY_REQUESTS: &[&str; 4] = error_page!("Too many requests", "Wait a moment, then try again.");
const UNAVAILABLE: &[&str; 4] = error_page!("One moment, please", "Reload this page in a few seconds.");

const PREVIEW: &[&str; 4] = preview_page!("");
const CUT_PREVIEW: &[&str; 4] = preview_page!(" \u{2026} (the rest is not shown)");
const VARYING_PREVIEW: &[&str; 4] = preview_page!("</p><p>Others may be led elsewhere, and so may you.");
const CUT_VARYING_PREVIEW: &[&str; 4] =
    preview_page!(" \u{2026} (the rest is not shown)</p><p>Others may be led elsewhere, and so may you.");

/// A preview of a filled target. It has no link to continue, since that would need the path and the query of the request.
macro_rules! filled_page {
    ($behind_target:literal) => {
        &[beginning!("Where this link goes"), "</p><p><b>", concat!("</b>", $behind_target, "</p></main></html>\n"), ""]
    };
}

const FILLED_PREVIEW: &[&str; 4] = filled_page!("");
const CUT_FILLED_PREVIEW: &[&str; 4] = filled_page!(" \u{2026} (the rest is not shown)");
const VARYING_FILLED_PREVIEW: &[&str; 4] = filled_page!("</p><p>Others may be led elsewhere, and so may you.");
const CUT_VARYING_FILLED_PREVIEW: &[&str; 4] =
    filled_page!(" \u{2026} (the rest is not shown)</p><p>Others may be led elsewhere, and so may you.");

const WITHHELD: &[&str; 4] = &[
    beginning!("A link with a limited number of visits"),
    "</p><p>Open it in a browser to go where it leads. This page has not used up a visit.</p></main></html>\n",
    "",
    "",
];

/// Returns the page that stands for a limited link whose visits are not to be used up. It does not name the target.
pub fn withheld(code: &str) -> Document<'_> {
    Document { media_type: MediaType::Html, fixed: WITHHELD, pieces: [code.as_bytes(), b"", b""], filled: None }
}

/// Returns an error as a page, if its status is one that people see; otherwise the answer as it is.
pub fn error(answer: Answer<'_>) -> Answer<'_> {
    let fixed = match answer.status {
        StatusCode::NOT_FOUND => NOT_FOUND,
        StatusCode::GONE => GONE,
        StatusCode::TOO_MANY_REQUESTS => TOO_MANY_REQUESTS,
        StatusCode::SERVICE_UNAVAILABLE => UNAVAILABLE,
        _ => return answer,
    };
    let Content::Message(pieces) = answer.content else { return answer };
    let page = Document { media_type: MediaType::Html, fixed, pieces, filled: None };
    Answer { further_fields: FIELDS, content: Content::Document(page), ..answer }
}

/// Returns a page that shows where a link goes. A long target is cut, so that the page has less than 2 KiB.
///
/// `location` is the target in visible ASCII, since other characters can hide the real host from a reader. If the link
/// `varies`, it may lead to other targets as well, and the page says so.
pub fn preview<'a>(code: &'a str, location: &'a str, varies: bool) -> Document<'a> {
    let (whole, cut) = if varies { (VARYING_PREVIEW, CUT_VARYING_PREVIEW) } else { (PREVIEW, CUT_PREVIEW) };
    let shown = shown_len(cut, 2 * code.len(), |put| put(location.as_bytes()));
    let fixed = if shown == location.len() { whole } else { cut };
    let pieces = [code.as_bytes(), &location.as_bytes()[..shown], code.as_bytes()];
    Document { media_type: MediaType::Html, fixed, pieces, filled: None }
}

/// Returns a page that shows where a link goes whose placeholders are filled, as [`preview`] does.
pub fn filled_preview<'a>(code: &'a str, url: FilledUrl<'a>, varies: bool) -> Document<'a> {
    let (whole, cut) = if varies {
        (VARYING_FILLED_PREVIEW, CUT_VARYING_FILLED_PREVIEW)
    } else {
        (FILLED_PREVIEW, CUT_FILLED_PREVIEW)
    };
    let shown = shown_len(cut, code.len(), |put| url.write(put));
    let fixed = if shown == url.written_len() { whole } else { cut };
    Document { media_type: MediaType::Html, fixed, pieces: [code.as_bytes(), b"", b""], filled: Some((url, shown)) }
}

/// Returns how many bytes of an ASCII location are shown: at most [`LONGEST_TARGET`], and as many as fit, escaped, beside
/// the fixed text and `others` bytes.
fn shown_len(fixed: &[&str; 4], others: usize, write: impl FnOnce(&mut dyn FnMut(&[u8]))) -> usize {
    let fixed_len: usize = fixed.iter().map(|text| text.len()).sum();
    let mut room = LONGEST_PREVIEW.saturating_sub(fixed_len + others);
    let (mut shown, mut is_full) = (0, false);
    write(&mut |bytes| {
        for byte in bytes {
            let escaped = html_reference(*byte).map_or(1, str::len);
            is_full |= shown == LONGEST_TARGET || escaped > room;
            if !is_full {
                shown += 1;
                room -= escaped;
            }
        }
    });
    shown
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use sha2::{Digest as _, Sha256};

    use super::*;

    fn written(document: &Document<'_>) -> String {
        let mut page = Vec::new();
        document.write(&mut |bytes| page.extend_from_slice(bytes));
        String::from_utf8(page).unwrap()
    }

    fn page_of(answer: Answer<'_>) -> String {
        let Content::Document(document) = answer.content else { panic!("{answer:?}") };
        assert_eq!((document.media_type, answer.further_fields), (MediaType::Html, FIELDS));
        written(&document)
    }

    #[test]
    fn policy_allows_the_style_of_every_page_and_nothing_else_to_load() {
        let hash = BASE64_STANDARD.encode(Sha256::digest(style!()));
        assert!(FIELDS.contains(&format!("style-src 'sha256-{hash}';")), "{hash}");
        let previews = [PREVIEW, CUT_PREVIEW, VARYING_PREVIEW, CUT_VARYING_PREVIEW];
        let filled = [FILLED_PREVIEW, CUT_FILLED_PREVIEW, VARYING_FILLED_PREVIEW, CUT_VARYING_FILLED_PREVIEW];
        let previews = previews.into_iter().chain(filled).chain([WITHHELD]);
        for fixed in [NOT_FOUND, GONE, TOO_MANY_REQUESTS, UNAVAILABLE].into_iter().chain(previews) {
            let page = fixed.concat();
            assert_eq!(page.matches(&format!("<style>{}</style>", style!())).count(), 1);
            for word in ["<script", " style=", "onload=", "http:", "https:", "//", "src=", "url("] {
                assert!(!page.contains(word), "{word}: {page}");
            }
            assert!(page.contains("@media(prefers-color-scheme:dark)"));
        }
    }

    #[test]
    fn error_that_people_see_becomes_a_page_with_its_message() {
        for (status, title) in [
            (StatusCode::NOT_FOUND, "Link not found"),
            (StatusCode::GONE, "This link no longer works"),
            (StatusCode::TOO_MANY_REQUESTS, "Too many requests"),
            (StatusCode::SERVICE_UNAVAILABLE, "One moment, please"),
        ] {
            let message: [&[u8]; 3] = [b"Short code '", b"<script>alert(1)</script>", b"' not found"];
            let answer = Answer::error_in_pieces(status, message).retry_after(3);
            let page = error(answer);
            assert_eq!((page.status, page.retry_after_seconds), (status, Some(3)));
            let text = page_of(page);
            assert!(text.contains(&format!("<title>{title}</title>")) && text.contains(&format!("<h1>{title}</h1>")));
            let escaped = "<p>Short code &#39;&lt;script&gt;alert(1)&lt;/script&gt;&#39; not found.</p>";
            assert!(text.contains(escaped) && !text.contains("<script"), "{text}");
        }
        let other = Answer::error(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD are served here");
        assert_eq!(error(other), other);
    }

    #[test]
    fn preview_shows_the_target_as_inert_text() {
        let target = "https://example.com/?a=1&b=\"><img/src=x/onerror=alert(1)>'<script>#</b>";
        let page = written(&preview("CODE12", target, false));
        let escaped =
            "https://example.com/?a=1&amp;b=&quot;&gt;&lt;img/src=x/onerror=alert(1)&gt;&#39;&lt;script&gt;#&lt;/b&gt;";
        let expected = format!("<p>CODE12</p><p><b>{escaped}</b></p><p><a href=\"CODE12\">Continue</a></p>");
        assert!(page.contains(&expected), "{page}");
    }

    #[test]
    fn preview_of_a_link_that_varies_says_so() {
        let page = written(&preview("CODE12", "https://example.com/", true));
        assert!(page.contains("<p><b>https://example.com/</b></p><p>Others may be led elsewhere, and so may you.</p>"));
        assert!(!written(&preview("CODE12", "https://example.com/", false)).contains("elsewhere"));
    }

    #[test]
    fn page_of_a_withheld_link_is_short_and_has_no_address() {
        let page = written(&withheld(&"c".repeat(64)));
        assert!(page.len() < 2_048 && page.contains(&"c".repeat(64)) && !page.contains("<a "), "{page}");
    }

    #[test]
    fn preview_of_a_long_target_is_cut_and_has_less_than_2_kib() {
        let of_length = |len: usize| format!("https://example.com/{}", "a".repeat(len - 20));
        let code = "CODE12";
        let shown = |target: &str| written(&preview(code, target, false));
        assert!(shown(&of_length(1_000)).contains(&format!("<b>{}</b></p>", of_length(1_000))));
        assert!(shown(&of_length(1_001)).contains(&format!("<b>{}</b> \u{2026} (the rest", of_length(1_000))));
        for target in [of_length(1_000), of_length(8_192), format!("https://example.com/?{}", "&\"".repeat(4_000))] {
            for code in [code, &"c".repeat(64)] {
                for varies in [false, true] {
                    let page = written(&preview(code, &target, varies));
                    assert!(page.len() < 2_048, "{}", page.len());
                }
            }
        }
    }
}

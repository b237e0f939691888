//! The header `Accept`: whether a client prefers a page to JSON. Pure.

/// Returns whether `Accept` names `text/html`, and no type of JSON before it.
///
/// Browsers name `text/html`. Programs name JSON, any type (`*/*`) or nothing. A type with a quality of 0 is not named.
pub fn prefers_html<'a>(values: impl Iterator<Item = &'a [u8]>) -> bool {
    let mut ranges = values.flat_map(|value| value.split(|&byte| byte == b','));
    ranges.find_map(is_html).unwrap_or(false)
}

/// Returns whether a media range is `text/html`; `None` if it is neither that nor JSON, or is not acceptable.
fn is_html(range: &[u8]) -> Option<bool> {
    let mut parts = range.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    let name = parts.next().unwrap_or_default();
    let is_html = name.eq_ignore_ascii_case(b"text/html");
    if !is_html && !is_json(name) {
        return None;
    }
    let quality = parts.find_map(|part| part.strip_prefix(b"q=").or_else(|| part.strip_prefix(b"Q=")));
    quality.is_none_or(is_above_zero).then_some(is_html)
}

fn is_json(name: &[u8]) -> bool {
    let suffix = name.get(name.len().saturating_sub(5)..).unwrap_or_default();
    name.eq_ignore_ascii_case(b"application/json") || suffix.eq_ignore_ascii_case(b"+json")
}

/// Returns whether a quality is a number above 0. A malformed one counts as 0.
fn is_above_zero(quality: &[u8]) -> bool {
    let number = std::str::from_utf8(quality).ok().and_then(|text| text.parse::<f32>().ok());
    number.is_some_and(|number| number > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_is_preferred_if_named_above_zero_and_not_behind_json() {
        let check = |values: &[&str], expected: bool| {
            assert_eq!(prefers_html(values.iter().map(|value| value.as_bytes())), expected, "{values:?}");
        };
        // Firefox, Chrome and Safari.
        check(&["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"], true);
        check(&["text/html"], true);
        check(&["TEXT/HTML"], true);
        check(&[" text/html ; charset=utf-8 ; q=0.1 "], true);
        check(&["text/html;q=1.000"], true);
        check(&["application/xml, text/html;q=0.001, application/json"], true);
        check(&["*/*;q=0.8", "text/html"], true);
        check(&["application/json;q=0, text/html"], true);
        check(&["application/jsonp, text/html"], true);

        check(&[], false);
        check(&[""], false);
        check(&[",;q=1,,"], false);
        check(&["*/*"], false);
        check(&["text/*"], false);
        check(&["text/htmlx, xtext/html, text/plain"], false);
        check(&["application/xhtml+xml"], false);
        check(&["application/json"], false);
        check(&["application/json, text/html"], false);
        check(&["application/json;q=0.1, text/html;q=0.9"], false);
        check(&["application/json", "text/html"], false);
        check(&["application/problem+JSON, text/html"], false);
        check(&["text/html;q=0"], false);
        check(&["text/html;Q=0.000"], false);
        check(&["text/html; q=0.0, application/json"], false);
        check(&["text/html;q=", "text/html;q=much", "text/html;q=-1", "text/html;q=NaN"], false);
        check(&["text/html;q=0, text/html"], true);
    }
}

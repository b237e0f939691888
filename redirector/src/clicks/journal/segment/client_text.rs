//! Rules for the texts that a client sends: which part of them is stored.

/// Returns a client's text without control characters; `None` if nothing is left.
pub fn clean(sent: &[u8]) -> Option<String> {
    let text: String = String::from_utf8_lossy(sent).chars().filter(|c| !c.is_control()).collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Returns a referrer without its query and its fragment, which may contain secrets of the reader.
pub fn without_query(referrer: &[u8]) -> &[u8] {
    &referrer[..memchr::memchr2(b'?', b'#', referrer).unwrap_or(referrer.len())]
}

/// Returns the scheme and the host of a referrer; nothing if it has no host, or has a user before it.
pub fn origin(referrer: &[u8]) -> &[u8] {
    let Some(scheme) = memchr::memmem::find(referrer, b"://") else { return b"" };
    let host = scheme + b"://".len();
    let end = referrer[host..].iter().position(|byte| matches!(byte, b'/' | b'?' | b'#' | b'\\'));
    let origin = &referrer[..end.map_or(referrer.len(), |end| host + end)];
    if origin.contains(&b'@') { b"" } else { origin }
}

/// Returns a referrer without the user and the password before its host.
pub fn without_user(mut referrer: String) -> String {
    if let Some((scheme, rest)) = referrer.split_once("://") {
        let authority = &rest[..rest.find('/').unwrap_or(rest.len())];
        if let Some(at) = authority.rfind('@') {
            let host = scheme.len() + "://".len();
            referrer.replace_range(host..=host + at, "");
        }
    }
    referrer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_of_a_referrer_has_no_path_and_no_user() {
        let check = |sent: &str, expected: &str| assert_eq!(origin(sent.as_bytes()), expected.as_bytes(), "{sent:?}");
        check("https://news.example:8443/a/b?c#d", "https://news.example:8443");
        check("https://news.example", "https://news.example");
        check("https://news.example?secret", "https://news.example");
        check("https://news.example#secret", "https://news.example");
        check("https://news.example\\secret", "https://news.example");
        check("android-app://com.mail/secret", "android-app://com.mail");
        check("https://ada:secret@news.example/", "");
        check("mailto:ada@mail.example", "");
        check("/secret", "");
        check("", "");
    }

    #[test]
    fn cleaned_referrer_has_scheme_host_and_path_only() {
        let check = |sent: &str, stored: &str| {
            let page = clean(without_query(sent.as_bytes())).map(without_user);
            assert_eq!(page.unwrap_or_default(), stored, "{sent:?}");
        };
        check("https://news.example:8443/a/b?token=secret#there", "https://news.example:8443/a/b");
        check("https://news.example/a#b?c", "https://news.example/a");
        check("https://ada:pw@news.example/@b/c@d", "https://news.example/@b/c@d");
        check("https://ada@mail@news.example", "https://news.example");
        check("mailto:ada@mail.example?subject=secret", "mailto:ada@mail.example");
        check("://@", "://");
        check("?secret", "");
    }
}

//! Sources of clicks: the browser family and the referring host, by which clicks are counted.

use crate::Click;
use crate::event::{Details, EventType};

/// The source of a click. It contains no whole header.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct ClickSource {
    /// The browser family; `None` for an event that is no click.
    pub browser: Option<&'static str>,
    /// The host of the referrer, if the referrer has one.
    pub referrer: Option<String>,
}

/// The browser family of a click without a user agent.
pub const UNKNOWN_BROWSER: &str = "Unknown";

/// The browser family of a user agent that matches none of [`BROWSERS`].
const OTHER_BROWSER: &str = "Other";

/// Parts of user agents in lower case, each with its browser family. The first match counts.
///
/// The order matters, since most browsers also claim to be Chrome, and Chrome claims to be Safari.
const BROWSERS: [(&str, &str); 24] = [
    ("bot", "Bot"),
    ("spider", "Bot"),
    ("crawl", "Bot"),
    ("slurp", "Bot"),
    ("facebookexternalhit", "Bot"),
    ("headless", "Bot"),
    ("edg/", "Edge"),
    ("edga/", "Edge"),
    ("edgios/", "Edge"),
    ("edge/", "Edge"),
    ("opr/", "Opera"),
    ("opera", "Opera"),
    ("samsungbrowser/", "Samsung Internet"),
    ("yabrowser/", "Yandex Browser"),
    ("firefox/", "Firefox"),
    ("fxios/", "Firefox"),
    ("chrome/", "Chrome"),
    ("crios/", "Chrome"),
    ("chromium/", "Chrome"),
    ("safari/", "Safari"),
    ("msie ", "Internet Explorer"),
    ("trident/", "Internet Explorer"),
    ("curl/", "curl"),
    ("wget/", "Wget"),
];

/// The number of bytes of a user agent that are searched. The matching parts are near the beginning.
const USER_AGENT_BYTES: usize = 512;

/// The length of the longest DNS name.
const HOST_BYTES: usize = 253;

impl ClickSource {
    pub fn of_click(click: &Click) -> ClickSource {
        ClickSource::of_headers(click.user_agent.as_deref(), click.referrer.as_deref())
    }

    /// Returns the source in the details of an event that a client or a file gave, if it is a click.
    pub fn of_event(event_type: &str, details: &Details) -> ClickSource {
        if event_type != EventType::CLICKED {
            return ClickSource::default();
        }
        // The fields are read separately, so that an invalid one does not hide the other.
        let text = |name| details.field(name)?.text().filter(|text| !text.is_empty());
        ClickSource::of_headers(text("user_agent").as_deref(), text("referrer").as_deref())
    }

    fn of_headers(user_agent: Option<&str>, referrer: Option<&str>) -> ClickSource {
        ClickSource { browser: Some(browser(user_agent)), referrer: referrer.and_then(host) }
    }
}

fn browser(user_agent: Option<&str>) -> &'static str {
    let Some(user_agent) = user_agent else { return UNKNOWN_BROWSER };
    let bytes = user_agent.as_bytes();
    let lower = bytes[..bytes.len().min(USER_AGENT_BYTES)].to_ascii_lowercase();
    let found = BROWSERS.iter().find(|(part, _)| memchr::memmem::find(&lower, part.as_bytes()).is_some());
    found.map_or(OTHER_BROWSER, |(_, family)| family)
}

fn host(referrer: &str) -> Option<String> {
    let url = url::Url::parse(referrer).ok()?;
    url.host_str().filter(|host| !host.is_empty() && host.len() <= HOST_BYTES).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_agent_has_the_family_of_its_browser() {
        let check =
            |user_agent: Option<&str>, expected: &str| assert_eq!(browser(user_agent), expected, "{user_agent:?}");
        let like = "Mozilla/5.0 (X) AppleWebKit/537.36 (KHTML, like Gecko)";
        check(None, "Unknown");
        check(Some(""), "Other");
        check(Some("Mozilla/5.0 (X; rv:128.0) Gecko/20100101 Firefox/128.0"), "Firefox");
        check(Some(&format!("{like} Chrome/126.0.0.0 Safari/537.36")), "Chrome");
        check(Some(&format!("{like} Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0")), "Edge");
        check(Some(&format!("{like} Chrome/126.0.0.0 Safari/537.36 OPR/112.0")), "Opera");
        check(Some(&format!("{like} SamsungBrowser/25.0 Chrome/121.0 Mobile Safari/537.36")), "Samsung Internet");
        check(Some("Mozilla/5.0 (iPhone) AppleWebKit/605.1.15 CriOS/126.0 Mobile/15E148 Safari/604.1"), "Chrome");
        check(Some("Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 Version/17.5 Safari/605.1.15"), "Safari");
        check(Some("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"), "Bot");
        check(Some("Mozilla/5.0 (Windows NT 10.0; Trident/7.0; rv:11.0) like Gecko"), "Internet Explorer");
        check(Some("curl/8.5.0"), "curl");
        check(Some("\u{fffd}\u{10ffff}"), "Other");
        check(Some(&format!("{}Firefox/1", "é".repeat(400))), "Other");
    }

    #[test]
    fn referrer_is_reduced_to_its_host() {
        let check =
            |referrer: &str, expected: Option<&str>| assert_eq!(host(referrer).as_deref(), expected, "{referrer:?}");
        check("https://News.Example/a?b#c", Some("news.example"));
        check("https://user:secret@news.example:8443/", Some("news.example"));
        check("https://bücher.example/", Some("xn--bcher-kva.example"));
        check("http://[2001:db8::1]/", Some("[2001:db8::1]"));
        check("android-app://com.mail", Some("com.mail"));
        check("news.example", None);
        check("mailto:ada@mail.example", None);
        check("https://a\0b.example/", None);
        check("", None);
        check(&format!("https://{}.example/", "a".repeat(300)), None);
    }

    #[test]
    fn details_of_a_click_have_its_source_and_others_have_none() {
        let of = |event_type: &str, details: &str| ClickSource::of_event(event_type, &Details::parse(details).unwrap());
        let complete = r#"{"short_code":"a","user_agent":"curl\u002f8","referrer":"https://news.example/"}"#;
        let source = ClickSource { browser: Some("curl"), referrer: Some("news.example".to_owned()) };
        assert_eq!(of("clicked", complete), source);
        assert_eq!(of("created", complete), ClickSource::default());
        let unknown = ClickSource { browser: Some("Unknown"), referrer: None };
        for details in ["{}", r#"{"user_agent":7}"#, r#"{"user_agent":null,"referrer":[]}"#, r#"{"user_agent":""}"#] {
            assert_eq!(of("clicked", details), unknown, "{details}");
        }
        let half_valid = r#"{"user_agent":7,"referrer":"https://news.example/"}"#;
        assert_eq!(of("clicked", half_valid), ClickSource { referrer: source.referrer, ..unknown });
    }
}

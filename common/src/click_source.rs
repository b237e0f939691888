//! Sources of clicks: the visitor, the referring host and the named source, by which clicks are counted.

use crate::event::{Details, EventType};
use crate::json::Kind;
use crate::placeholders::Template;
use crate::visitor::{UNKNOWN, Visitor, country_of, language_of, primary_subtag};
use crate::{Click, TargetUrl};

/// The source of a click. It contains no whole header.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct ClickSource {
    /// The visitor; `None` for an event that is no click.
    pub visitor: Option<Visitor>,
    /// The host of the referrer, if the referrer has one.
    pub referrer: Option<String>,
    /// [`QR`], or the `utm_source` of the target to which the visitor was redirected.
    pub source: Option<String>,
    /// The target to which rules or a split of the link led the visitor, cut to a bounded length.
    pub target: Option<String>,
}

/// The source of a click on a link in a QR code.
pub const QR: &str = "qr";

/// The parameter of a target that names its source.
const UTM_SOURCE: &str = "utm_source";

/// The length of the longest source that is counted, in bytes.
const SOURCE_BYTES: usize = 64;

/// The length of the longest part of a target that is counted, in bytes. An index of PostgreSQL has room for it.
const TARGET_BYTES: usize = 512;

/// The length of the longest DNS name.
const HOST_BYTES: usize = 253;

impl ClickSource {
    pub fn of_click(click: &Click) -> ClickSource {
        ClickSource {
            visitor: Some(click.visitor),
            referrer: click.referrer.as_deref().and_then(host),
            source: click.source.clone().or_else(|| source_of_target(&click.original_url)),
            target: click.choice.map(|_| cut_target(&click.original_url)),
        }
    }

    /// Returns the source in the details of an event that a client or a file gave, if it is a click.
    ///
    /// Such a click is a person's, unless its details have a field `bot` or the user agent of a bot.
    /// Its language and country are those of its details.
    pub fn of_event(event_type: &str, details: &Details) -> ClickSource {
        if event_type != EventType::CLICKED {
            return ClickSource::default();
        }
        // The fields are read separately, so that an invalid one does not hide the others.
        let text = |name| details.field(name)?.text().filter(|text| !text.is_empty());
        let visitor = Visitor {
            language: text("language").map_or(UNKNOWN, |sent| language_of(&primary_subtag(sent.as_bytes()))),
            country: text("country").map_or(UNKNOWN, |code| country_of(code.as_bytes())),
            ..Visitor::of_user_agent(text("user_agent").unwrap_or_default().as_bytes())
        };
        let is_true = || details.field("bot").is_some_and(|bot| bot.as_str() == "true");
        let visitor = match text("bot") {
            Some(family) => visitor.as_bot(&family),
            None if is_true() && visitor.bot.is_none() => visitor.as_bot(crate::visitor::BOT),
            None => visitor,
        };
        let source = text("source").and_then(|text| clean_source(&text));
        let is_chosen =
            ["rule", "variant"].iter().any(|name| details.field(name).is_some_and(|n| n.kind() == Kind::Number));
        let chosen = || text("original_url").filter(|target| TargetUrl::check(target).is_ok());
        ClickSource {
            visitor: Some(visitor),
            referrer: text("referrer").as_deref().and_then(host),
            source: source.or_else(|| source_of_target(&text("original_url")?)),
            target: is_chosen.then(chosen).flatten().map(|target| cut_target(&target)),
        }
    }
}

/// Returns the part of a target under which clicks are counted.
fn cut_target(target: &str) -> String {
    target[..target.floor_char_boundary(TARGET_BYTES)].to_owned()
}

fn host(referrer: &str) -> Option<String> {
    let url = url::Url::parse(referrer).ok()?;
    url.host_str().filter(|host| !host.is_empty() && host.len() <= HOST_BYTES).map(str::to_owned)
}

/// Returns the `utm_source` of a target.
fn source_of_target(target: &str) -> Option<String> {
    let page = target.split_once('#').map_or(target, |(page, _)| page);
    let query = page.split_once('?')?.1;
    // Most targets have no source, and need no decoding.
    memchr::memmem::find(query.as_bytes(), b"utm")?;
    url::form_urlencoded::parse(query.as_bytes())
        .find(|(name, value)| name == UTM_SOURCE && !value.is_empty())
        // A click that filled the source has it beside the target.
        .filter(|(_, value)| Template::encode(value).is_none())
        .and_then(|(_, value)| clean_source(&value))
}

/// Decodes the value of a `utm_source` in a query; `None` if nothing is left.
pub fn decoded_source(value: &[u8]) -> Option<String> {
    let value: Vec<u8> = value.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    clean_source(&percent_encoding::percent_decode(&value).decode_utf8_lossy())
}

/// Returns a source without control characters, of bounded length; `None` if nothing is left.
pub fn clean_source(sent: &str) -> Option<String> {
    let text: String = sent.chars().filter(|char| !char.is_control()).collect();
    let text = text.trim();
    let text = text[..text.floor_char_boundary(SOURCE_BYTES)].trim_end();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn source_of_a_target_is_its_utm_source() {
        let check = |target: &str, expected: Option<&str>| {
            assert_eq!(source_of_target(target).as_deref(), expected, "{target:?}");
        };
        check("https://example.com/?utm_source=news", Some("news"));
        check("https://example.com/?a=1&utm_source=News+Letter%20%C3%BC&b=2#c", Some("News Letter ü"));
        check("https://example.com/?utm%5Fsource=news", Some("news"));
        check("https://example.com/?utm_source=&utm_source=late", Some("late"));
        check("https://example.com/?utm_source=%0D%0Ax%00y%09", Some("xy"));
        check(&format!("https://example.com/?utm_source={}", "ü".repeat(50)), Some(&"ü".repeat(32)));
        check("https://example.com/?utm_source=%FF", Some("\u{fffd}"));
        check("https://example.com/", None);
        check("https://example.com/?utm_source", None);
        check("https://example.com/?utm_source={query:from}", None);
        check("https://example.com/?utm_source=poster-{1}", None);
        check("https://example.com/?utm_source={city}", Some("{city}"));
        check("https://example.com/?utm_source=+", None);
        check("https://example.com/?xutm_source=a&utm_sources=b&UTM_SOURCE=c", None);
        check("https://example.com/utm_source=a", None);
        check("https://example.com/#?utm_source=a", None);
    }

    #[test]
    fn details_of_a_click_have_its_source_and_others_have_none() {
        let of = |event_type: &str, details: &str| ClickSource::of_event(event_type, &Details::parse(details).unwrap());
        let complete =
            r#"{"short_code":"a","user_agent":"curl\u002f8","referrer":"https://news.example/","source":"qr"}"#;
        let source = ClickSource {
            visitor: Some(Visitor::of_user_agent(b"curl/8")),
            referrer: Some("news.example".to_owned()),
            source: Some(QR.to_owned()),
            target: None,
        };
        assert_eq!(of("clicked", complete), source);
        assert_eq!(of("created", complete), ClickSource::default());
        let unknown = ClickSource { visitor: Some(Visitor::UNKNOWN), ..ClickSource::default() };
        for details in ["{}", r#"{"user_agent":7}"#, r#"{"user_agent":null,"referrer":[]}"#, r#"{"user_agent":""}"#] {
            assert_eq!(of("clicked", details), unknown, "{details}");
        }
        let half_valid = r#"{"user_agent":7,"referrer":"https://news.example/"}"#;
        assert_eq!(of("clicked", half_valid), ClickSource { referrer: source.referrer, ..unknown });
        let tagged = r#"{"original_url":"https://example.com/?utm_source=mail"}"#;
        assert_eq!(of("clicked", tagged).source.as_deref(), Some("mail"));
    }

    #[test]
    fn only_a_click_that_rules_or_a_split_led_has_a_target() {
        let of = |details: &str| ClickSource::of_event("clicked", &Details::parse(details).unwrap()).target;
        let target = || Some("https://a.example/".to_owned());
        assert_eq!(of(r#"{"original_url":"https://a.example/","rule":2}"#), target());
        assert_eq!(of(r#"{"original_url":"https://a.example/","variant":1}"#), target());
        let long = format!(r#"{{"original_url":"https://a.example/{}","rule":1}}"#, "ü".repeat(600));
        assert_eq!(of(&long).map(|target| target.len()), Some(512));
        for none in [
            r#"{"original_url":"https://a.example/"}"#,
            r#"{"original_url":"https://a.example/","rule":"2"}"#,
            r#"{"original_url":"javascript:x","rule":2}"#,
            r#"{"rule":2}"#,
        ] {
            assert_eq!(of(none), None, "{none}");
        }
    }

    #[test]
    fn event_from_outside_has_the_language_and_country_of_its_details() {
        let of = |details: &str| {
            let details = Details::parse(details).unwrap();
            ClickSource::of_event("clicked", &details).visitor.unwrap().to_string()
        };
        let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
        let complete = format!(r#"{{"user_agent":"{firefox}","language":"de","country":"DE"}}"#);
        assert_eq!(of(&complete), "Firefox|Linux|desktop|de|DE|");
        assert_eq!(of(r#"{"language":"en-GB,en;q=0.9","country":"gb"}"#), "Unknown|Unknown|Unknown|en|GB|");
        assert_eq!(of(r#"{"language":"Klingon","country":"Narnia"}"#), "Unknown|Unknown|Unknown|Other|Unknown|");
        assert_eq!(
            of(r#"{"language":7,"country":null,"bot":"Slack"}"#),
            "Unknown|Unknown|Unknown|Unknown|Unknown|Slack"
        );
    }

    #[test]
    fn event_from_outside_is_a_persons_unless_its_details_say_otherwise() {
        let of = |details: &str| ClickSource::of_event("clicked", &Details::parse(details).unwrap()).visitor.unwrap();
        assert_eq!(of("{}").bot, None);
        assert_eq!(of(r#"{"user_agent":"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Firefox/128.0"}"#).bot, None);
        assert_eq!(of(r#"{"user_agent":"curl/8"}"#).bot, Some("curl"));
        assert_eq!(of(r#"{"bot":"Slack"}"#), Visitor { bot: Some("Slack"), browser: UNKNOWN, ..Visitor::UNKNOWN });
        assert_eq!(of(r#"{"bot":"of another program"}"#).bot, Some("Other"));
        assert_eq!(of(r#"{"bot":true}"#).bot, Some("Bot"));
        assert_eq!(of(r#"{"bot":true,"user_agent":"curl/8"}"#).bot, Some("curl"));
        for details in [r#"{"bot":false}"#, r#"{"bot":""}"#, r#"{"bot":null}"#, r#"{"bot":[]}"#] {
            assert_eq!(of(details).bot, None, "{details}");
        }
    }
}

use std::time::{Duration, SystemTime};

use tern_common::config::{Reader, Setting, Variables};
use tern_common::routing::Choice;
use tern_common::served_link::{LinkEncoder, LinkRow};

use super::*;
use crate::http::Method;

struct Lines<'a>(&'a [(&'a str, &'a str)]);

impl<'a> Fields<'a> for Lines<'a> {
    fn values(&self, name: &'static str) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        let lines = self.0.iter().filter(move |line| line.0.eq_ignore_ascii_case(name));
        lines.map(|line| line.1.as_bytes())
    }

    fn for_each(&self, mut visit: impl FnMut(&[u8], &'a [u8])) {
        self.0.iter().for_each(|(name, value)| visit(name.as_bytes(), value.as_bytes()));
    }
}

/// A request with what conditions may ask for.
struct Asked<'a> {
    rules: &'a str,
    split: &'a str,
    lines: &'a [(&'a str, &'a str)],
    peer: &'a str,
    query: &'a str,
}

const NOBODY: Asked<'_> = Asked { rules: "", split: "", lines: &[], peer: "203.0.113.7", query: "" };

impl Asked<'_> {
    /// Returns the choice. A choice never allocates, but when it is the first of the process.
    fn choice(&self) -> Option<Choice> {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let plain = LinkRow::plain("CODE12", "https://example.com/");
        let row = LinkRow { rules: text(self.rules), split: text(self.split), ..plain };
        let mut encoder = LinkEncoder::default();
        let link = encoder.check(&row).unwrap();
        let visit = Visit {
            path: b"/CODE12",
            query: self.query.as_bytes(),
            is_from_qr: false,
            code: Some("CODE12"),
            is_preview: false,
            rest: None,
            method: Method::Get,
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(60),
            peer: self.peer.parse().unwrap(),
            is_http_1_0: false,
            affinity: 0,
        };
        let variables: Variables = [("COUNTRY_HEADER".to_owned(), "X-Country".to_owned())].into_iter().collect();
        let tracking = Tracking::read(&mut Reader::new(&variables));
        let proxies = Proxies::parse("10.0.0.0/8").unwrap();
        let sources = Sources { proxies: &proxies, tracking: &tracking, countries: &Countries::default() };
        let routing = link.extension().unwrap().routing().unwrap();
        let choose = || sources.choose(routing, link, &visit, &Lines(self.lines)).map(|chosen| chosen.choice);
        let first = choose();
        let mut second = None;
        let counted = allocation_counter::measure(|| second = choose());
        assert_eq!((second, counted.count_total), (first, 0), "{} {}", self.rules, self.split);
        first
    }

    /// Returns whether the request meets one condition.
    fn meets(condition: &str, asked: Asked<'_>) -> bool {
        let rules = format!(r#"[{{"target":"https://a.example/","if":[{condition}]}}]"#);
        Asked { rules: &rules, ..asked }.choice() == Some(Choice::Rule(1))
    }
}

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";

#[test]
fn condition_is_decided_by_the_first_line_of_its_header_field() {
    let lines = [
        ("user-agent", FIREFOX),
        ("User-Agent", "curl/8"),
        ("ACCEPT-LANGUAGE", "de-AT,en;q=0.8"),
        ("Referer", "https://news.example/a?b"),
    ];
    let meets = |condition| Asked::meets(condition, Asked { lines: &lines, query: "a=b&c", ..NOBODY });
    for condition in [
        r#"{"type":"device","value":"linux"}"#,
        r#"{"type":"browser","value":"Firefox"}"#,
        r#"{"type":"bot","value":false}"#,
        r#"{"type":"language","value":"de"}"#,
        r#"{"type":"referrer","value":"news.example"}"#,
        r#"{"type":"query","key":"a","value":"b"}"#,
        r#"{"type":"query_any","key":"c"}"#,
        r#"{"type":"after","value":"1970-01-01T00:01:00Z"}"#,
    ] {
        assert!(meets(condition), "{condition}");
    }
    for condition in [
        r#"{"type":"bot","value":true}"#,
        r#"{"type":"language","value":"en"}"#,
        r#"{"type":"country","value":"AT"}"#,
        r#"{"type":"before","value":"1970-01-01T00:01:00Z"}"#,
    ] {
        assert!(!meets(condition), "{condition}");
    }
}

#[test]
fn prefetch_and_request_without_a_user_agent_are_bots() {
    let bot = |lines| Asked::meets(r#"{"type":"bot","value":true}"#, Asked { lines, ..NOBODY });
    assert!(bot(&[]));
    assert!(bot(&[("User-Agent", FIREFOX), ("Sec-Purpose", "prefetch;prerender")]));
    assert!(bot(&[("User-Agent", "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)")]));
    assert!(!bot(&[("User-Agent", FIREFOX)]));
}

#[test]
fn country_is_that_of_a_trusted_proxy_and_otherwise_of_the_network() {
    let is_in = |country: &str, peer, lines| {
        let condition = format!(r#"{{"type":"country","value":"{country}"}}"#);
        Asked::meets(&condition, Asked { peer, lines, ..NOBODY })
    };
    assert!(is_in("US", "8.8.8.8", &[]));
    assert!(is_in("US", "8.8.8.8", &[("X-Country", "AT")]), "a client names no country");
    assert!(is_in("AT", "10.0.0.1", &[("X-Country", " at "), ("X-Forwarded-For", "8.8.8.8")]));
    assert!(is_in("US", "10.0.0.1", &[("X-Country", "XX"), ("X-Forwarded-For", "8.8.8.8")]));
    assert!(is_in("US", "10.0.0.1", &[("X-Forwarded-For", "8.8.8.8")]));
    for country in ["AT", "US"] {
        assert!(!is_in(country, "203.0.113.7", &[("X-Forwarded-For", "8.8.8.8")]), "{country}");
    }
}

#[test]
fn split_knows_a_client_by_its_network_and_user_agent() {
    let split = r#"[{"target":"https://a.example/","weight":50},{"target":"https://b.example/","weight":50}]"#;
    let choice = |peer: &str, user_agent: &str| {
        Asked { split, peer, lines: &[("User-Agent", user_agent)], ..NOBODY }.choice().unwrap()
    };
    let choices: Vec<Choice> = (0..64).map(|n| choice(&format!("203.0.{n}.7"), FIREFOX)).collect();
    let again: Vec<Choice> = (0..64).map(|n| choice(&format!("203.0.{n}.250"), FIREFOX)).collect();
    assert_eq!(choices, again, "the same networks");
    for variant in [Choice::Variant(1), Choice::Variant(2)] {
        assert!(choices.contains(&variant));
        assert!((0..64).any(|n| choice("203.0.113.7", &format!("{FIREFOX} {n}")) == variant));
    }
    let forwarded = |client: &str| {
        let lines = [("User-Agent", FIREFOX), ("X-Forwarded-For", client)];
        Asked { split, peer: "10.0.0.1", lines: &lines, ..NOBODY }.choice().unwrap()
    };
    assert_eq!(forwarded("203.0.5.1"), choices[5], "the client is that which a trusted proxy names");
}

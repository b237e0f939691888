//! Tests of rules and splits, sentence by sentence.

mod properties;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::visitor::{DEVICE_CLASSES, Signs};
use crate::{Timestamp, Visitor};

/// The facts of a request, all given.
#[derive(Clone, Debug)]
struct Request {
    user_agent: String,
    is_prefetch: bool,
    accept_language: String,
    referrer: String,
    country: &'static str,
    query: String,
    at: i64,
    hundredth: u8,
}

impl Default for Request {
    fn default() -> Request {
        Request {
            user_agent: String::new(),
            is_prefetch: false,
            accept_language: String::new(),
            referrer: String::new(),
            country: "Unknown",
            query: String::new(),
            at: 0,
            hundredth: 0,
        }
    }
}

impl Facts for Request {
    fn visitor(&mut self) -> Visitor {
        let (user_agent, is_prefetch) = (self.user_agent.as_bytes(), self.is_prefetch);
        Visitor::of_request(&Signs { user_agent, is_prefetch, ..Signs::default() })
    }

    fn accept_language(&mut self) -> &[u8] {
        self.accept_language.as_bytes()
    }

    fn referrer(&mut self) -> &[u8] {
        self.referrer.as_bytes()
    }

    fn country(&mut self) -> &'static str {
        self.country
    }

    fn query(&self) -> &[u8] {
        self.query.as_bytes()
    }

    fn at(&self) -> Timestamp {
        Timestamp::from_unix_seconds(self.at)
    }

    fn hundredth(&mut self) -> u8 {
        self.hundredth
    }
}

fn condition(kind: &str, key: &str, value: &str) -> Condition {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Condition { kind: kind.to_owned(), key: text(key), value: text(value) }
}

/// Returns the bytes of rules and of a split.
fn encoded(rules: &Rules, split: &Split) -> (Vec<u8>, Vec<u8>) {
    let (mut of_rules, mut of_split) = (Vec::new(), Vec::new());
    rules.encode(&mut of_rules);
    split.encode(&mut of_split);
    (of_rules, of_split)
}

/// Returns whether a request meets one condition.
fn meets(condition: Condition, mut request: Request) -> bool {
    let rule = Rule { target: "https://example.com/".to_owned(), conditions: vec![condition] };
    let (rules, split) = encoded(&Rules::new(vec![rule]).unwrap(), &Split::default());
    Routing::of(&rules, &split).unwrap().choose(&mut request).is_some()
}

const IPAD: &str = "Mozilla/5.0 (iPad; CPU OS 12_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/12.1 \
    Mobile/15E148 Safari/604.1";
const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";

#[test]
fn device_and_browser_are_those_of_the_user_agent() {
    let of = |kind: &str, value: &str, user_agent: &str| {
        meets(condition(kind, "", value), Request { user_agent: user_agent.to_owned(), ..Request::default() })
    };
    let classes = |user_agent: &str| DEVICE_CLASSES.map(|class| of("device", class, user_agent));
    assert_eq!(classes(IPAD), [true, false, true, false, false, false, false], "an iPad is ios and mobile");
    assert_eq!(classes(FIREFOX), [false, false, false, true, false, false, true]);
    assert_eq!(classes(""), [false; 7]);
    assert!(of("browser", "safari", IPAD) && of("browser", "Firefox", FIREFOX));
    assert!(!of("browser", "Chrome", FIREFOX) && !of("browser", "Firefox", ""));
}

#[test]
fn language_matches_its_forms_with_a_high_weight() {
    let of = |value: &str, header: &str| {
        let request = Request { accept_language: header.to_owned(), ..Request::default() };
        meets(condition("language", "", value), request)
    };
    for (value, header) in [
        ("en", "en"),
        ("en", "en-US"),
        ("EN", "de, en-gb ; q=0.9"),
        ("en-US", "en-us,en;q=0.5"),
        ("de", "de_AT"),
        ("en", "de;q=0.1,en;q=1.000"),
        ("en", "en;q=0.95"),
        ("en", "en;level=1"),
    ] {
        assert!(of(value, header), "{value} {header}");
    }
    for (value, header) in [
        ("en", ""),
        ("en", "*"),
        ("en-US", "en"),
        ("en", "eng"),
        ("en", "fr-en"),
        ("en", "de,en;q=0.8"),
        ("en", "de,en;q=0.89"),
        ("en", "en;q=0"),
        ("en", "en;q="),
        ("en", "en;q=x"),
        ("en", "en;q=.9"),
        ("en", "en;level=1;q=0.5"),
    ] {
        assert!(!of(value, header), "{value} {header}");
    }
}

#[test]
fn query_is_compared_decoded_and_any_of_repeated_values_counts() {
    let of = |kind: &str, key: &str, value: Option<&str>, query: &str| {
        let condition = Condition { value: value.map(str::to_owned), ..condition(kind, key, "") };
        meets(condition, Request { query: query.to_owned(), ..Request::default() })
    };
    let equals = |key, value, query| of("query", key, Some(value), query);
    for (key, value, query) in [
        ("a", "b", "a=b"),
        ("a", "b", "x=1&a=c&a=b"),
        ("a", "ü c", "%61=%C3%BC+c"),
        ("a", "ü c", "a=%c3%bc%20c"),
        ("a", "x+y", "a=x+y"),
        ("a", "x+y", "a=x%2By"),
        ("a", "b=c", "a=b=c"),
        ("a", "", "a"),
        ("a", "", "a="),
        ("a", "%zz", "a=%zz"),
    ] {
        assert!(equals(key, value, query), "{key}={value} {query}");
    }
    for (key, value, query) in
        [("a", "b", ""), ("a", "b", "a"), ("a", "b", "a=bc"), ("a", "bc", "a=b"), ("a", "b", "A=b"), ("a", "b", "a=B")]
    {
        assert!(!equals(key, value, query), "{key}={value} {query}");
    }
    for query in ["a", "a=", "a=x", "x&%61"] {
        assert!(of("query_any", "a", None, query), "{query}");
    }
    for query in ["", "ab", "b=a", "&"] {
        assert!(!of("query_any", "a", None, query), "{query}");
    }
}

#[test]
fn time_of_the_request_decides_before_and_after() {
    let of =
        |kind: &str, at: i64| meets(condition(kind, "", "1970-01-01T00:01:00Z"), Request { at, ..Request::default() });
    assert_eq!([59, 60, 61].map(|at| of("before", at)), [true, false, false]);
    assert_eq!([59, 60, 61].map(|at| of("after", at)), [false, true, true]);
}

#[test]
fn referrer_is_an_exact_host_or_with_a_star_a_sub_domain() {
    let of = |value: &str, referrer: &str| {
        meets(condition("referrer", "", value), Request { referrer: referrer.to_owned(), ..Request::default() })
    };
    for (value, referrer) in [
        ("example.com", "https://example.com/"),
        ("Example.com", "http://EXAMPLE.com:8080/a?b#c"),
        ("example.com", "https://user:secret@example.com"),
        ("example.com.", "https://example.com./x"),
        ("*.example.com", "https://a.b.Example.com/"),
        ("bücher.example", "https://xn--bcher-kva.example/"),
        ("[2001:db8::1]", "http://[2001:db8::1]:8080/"),
        ("com.mail", "android-app://com.mail/x"),
    ] {
        assert!(of(value, referrer), "{value} {referrer}");
    }
    for (value, referrer) in [
        ("example.com", ""),
        ("example.com", "https://a.example.com/"),
        ("example.com", "https://example.com.evil.example/"),
        ("example.com", "https://evil.example/example.com"),
        ("example.com", "https://evil.example\\@example.com"),
        ("*.example.com", "https://example.com/"),
        ("*.example.com", "https://badexample.com/"),
        ("example.com", "example.com"),
        ("example.com", "mailto:a@example.com"),
    ] {
        assert!(!of(value, referrer), "{value} {referrer}");
    }
}

#[test]
fn bot_and_country_are_compared() {
    let of = |kind: &str, value: &str, request: &Request| meets(condition(kind, "", value), request.clone());
    let bot = |user_agent: &str, is_prefetch| {
        let request = Request { user_agent: user_agent.to_owned(), is_prefetch, ..Request::default() };
        assert_ne!(of("bot", "true", &request), of("bot", "false", &request));
        of("bot", "true", &request)
    };
    assert!(bot("Slackbot-LinkExpanding 1.0", false) && bot("", false) && bot(FIREFOX, true));
    assert!(!bot(FIREFOX, false));
    let in_austria = Request { country: "AT", ..Request::default() };
    assert!(of("country", "at", &in_austria) && !of("country", "DE", &in_austria));
    assert!(!of("country", "AT", &Request::default()));
}

#[test]
fn first_rule_whose_conditions_all_match_wins_over_the_split() {
    let rules = r#"[
        {"target":"https://example.com/1","if":[{"type":"query","key":"a","value":"1"},{"type":"query_any","key":"b"}]},
        {"target":"https://example.com/ü","if":[{"type":"query_any","key":"a"}]},
        {"target":"https://example.com/3","if":[{"type":"query_any","key":"a"}]}
    ]"#;
    let split = r#"[{"target":"https://example.com/a","weight":1},{"target":"https://example.com/b","weight":98}]"#;
    let (rules, split) = (Rules::parse(rules).unwrap(), Split::parse(split).unwrap());
    let (of_rules, of_split) = encoded(&rules, &split);
    let routing = Routing::of(&of_rules, &of_split).unwrap();
    let choose = |query: &str, hundredth| {
        let mut request = Request { query: query.to_owned(), hundredth, ..Request::default() };
        routing.choose(&mut request).map(|chosen| (chosen.choice, chosen.given, chosen.location))
    };
    let same = |choice, target| Some((choice, target, target));
    assert_eq!(choose("b&a=1", 0), same(Choice::Rule(1), "https://example.com/1"));
    assert_eq!(choose("a=1", 0), Some((Choice::Rule(2), "https://example.com/ü", "https://example.com/%C3%BC")));
    assert_eq!(choose("", 0), same(Choice::Variant(1), "https://example.com/a"));
    assert_eq!(choose("b", 1), same(Choice::Variant(2), "https://example.com/b"));
    assert_eq!(choose("", 98), same(Choice::Variant(2), "https://example.com/b"));
    assert_eq!(choose("", 99), None, "the rest is led to the plain target");
    assert_eq!(Routing::of(&of_rules, &[]).unwrap().choose(&mut Request::default()), None);
    assert_eq!(Routing::of(&[], &[]), None);
    assert_eq!(routing.rules_as_json(), Some(rules.to_stored()));
    assert_eq!(routing.split_as_json(), Some(split.to_stored()));
}

#[test]
fn target_with_placeholders_has_its_template() {
    let rules = r#"[{"target":"https://a.example/ü/{1}?q={query:q}","if":[{"type":"bot","value":true}]}]"#;
    let split = r#"[{"target":"https://b.example/","weight":1},{"target":"https://b.example/{path}","weight":99}]"#;
    let (rules, split) = (Rules::parse(rules).unwrap(), Split::parse(split).unwrap());
    let (of_rules, of_split) = encoded(&rules, &split);
    let routing = Routing::of(&of_rules, &of_split).unwrap();
    let choose = |user_agent: &str, hundredth| {
        let mut request = Request { user_agent: user_agent.to_owned(), hundredth, ..Request::default() };
        let chosen = routing.choose(&mut request).unwrap();
        let placeholders = chosen.template.map_or(0, |template| template.placeholders().count());
        (chosen.given, chosen.location, placeholders)
    };
    let location = "https://a.example/%C3%BC/{1}?q={query:q}";
    assert_eq!(choose("", 0), ("https://a.example/ü/{1}?q={query:q}", location, 2));
    assert_eq!(choose(FIREFOX, 0), ("https://b.example/", "https://b.example/", 0));
    assert_eq!(choose(FIREFOX, 1), ("https://b.example/{path}", "https://b.example/{path}", 1));
    assert!(routing.has_placeholders());
    assert_eq!(routing.rules_as_json(), Some(rules.to_stored()));
    let (of_rules, _) = encoded(&Rules::default(), &split);
    assert!(!Routing::of(&of_rules, &[]).unwrap_or_default().has_placeholders());
}

#[test]
fn choice_is_read_from_its_byte() {
    let choices = (1..=20).map(Choice::Rule).chain((1..=4).map(Choice::Variant)).chain([Choice::Plain]);
    for choice in choices {
        assert_eq!(Choice::of_byte(choice.to_byte()), Some(choice));
    }
    assert_eq!(Choice::of_byte(0), None);
}

/// The hash must be the same in every process and release: a client that comes back is led to the same target.
#[test]
fn hundredth_of_a_client_never_changes() {
    let client = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));
    let same_network = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 250));
    assert_eq!(hundredth_of("CODE12", client, b"Firefox"), hundredth_of("CODE12", same_network, b"Firefox"));
    let known = [("CODE12", "203.0.113.7"), ("CODE13", "203.0.113.7"), ("CODE12", "203.0.114.7"), ("a", "2001:db8::1")]
        .map(|(code, client)| hundredth_of(code, client.parse().unwrap(), FIREFOX.as_bytes()));
    assert_eq!(known, [64, 35, 67, 96]);
}

#[test]
fn hundredths_of_many_clients_are_spread_evenly() {
    let mut counts = HashMap::<u8, u32>::new();
    let clients = 100_000_u32;
    for n in 0..clients {
        let client = IpAddr::V4(Ipv4Addr::from(n << 8));
        *counts.entry(hundredth_of("CODE12", client, FIREFOX.as_bytes())).or_default() += 1;
    }
    assert!(counts.keys().all(|hundredth| *hundredth < 100) && counts.len() == 100);
    // Each is 1000 with a standard deviation of 31.
    assert!(counts.values().all(|count| (820..=1180).contains(count)), "{counts:?}");
}

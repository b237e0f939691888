//! Properties of rules and splits, against a second, naive implementation.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::super::*;
use super::{FIREFOX, IPAD, Request, condition, encoded};
use crate::visitor::{DEVICE_CLASSES, browsers};
use crate::{TargetUrl, Timestamp};

/// A second implementation of conditions, without regard for speed.
fn naive_meets(condition: &Condition, request: &Request) -> bool {
    let mut facts = request.clone();
    let visitor = facts.visitor();
    let value = condition.value.clone().unwrap_or_default();
    let time = || Timestamp::parse(&value).unwrap().unix_seconds();
    let pairs: Vec<(String, String)> =
        url::form_urlencoded::parse(request.query.as_bytes()).map(|(k, v)| (k.into_owned(), v.into_owned())).collect();
    match condition.kind.as_str() {
        "device" => match value.as_str() {
            "ios" => visitor.system == "iOS",
            "android" => visitor.system == "Android",
            "mobile" => ["mobile", "tablet"].contains(&visitor.device),
            "desktop" => visitor.device == "desktop",
            "windows" => visitor.system == "Windows",
            "macos" => visitor.system == "macOS",
            _ => visitor.system == "Linux",
        },
        "language" => request.accept_language.split(',').any(|range| {
            let (tag, rest) = range.split_once(";q=").unwrap_or((range, "1"));
            let tag = tag.to_ascii_lowercase();
            let language = value.to_ascii_lowercase();
            let is_of = tag == language || tag.starts_with(&format!("{language}-"));
            is_of && rest.parse::<f64>().unwrap() >= 0.9
        }),
        "country" => request.country == value,
        "query" => pairs.contains(&(condition.key.clone().unwrap(), value)),
        "query_any" => pairs.iter().any(|(name, _)| Some(name) == condition.key.as_ref()),
        "before" => request.at < time(),
        "after" => request.at >= time(),
        "browser" => visitor.browser == value,
        "referrer" => {
            let url = url::Url::parse(&request.referrer).ok();
            let host = url.as_ref().and_then(|url| url.host_str()).unwrap_or_default();
            match value.strip_prefix('*') {
                Some(domain) => host.ends_with(domain),
                None => host == value,
            }
        }
        _ => visitor.bot.is_some() == (value == "true"),
    }
}

fn naive_choice(rules: &Rules, split: &Split, request: &Request) -> Option<(Choice, String)> {
    let number = |n: usize| u8::try_from(n + 1).unwrap();
    let rules = rules.as_slice().iter().enumerate();
    for (n, rule) in rules {
        if rule.conditions.iter().all(|condition| naive_meets(condition, request)) {
            return Some((Choice::Rule(number(n)), rule.target.clone()));
        }
    }
    let mut numbers = Vec::new();
    for (n, variant) in split.as_slice().iter().enumerate() {
        numbers.extend((0..variant.weight).map(|_| n));
    }
    let n = *numbers.get(usize::from(request.hundredth))?;
    Some((Choice::Variant(number(n)), split.as_slice()[n].target.clone()))
}

fn one_of(texts: &[&str]) -> impl Strategy<Value = String> + use<> {
    proptest::sample::select(texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
}

fn conditions() -> impl Strategy<Value = Condition> {
    let kinds = [
        ("device", "", &DEVICE_CLASSES[..]),
        ("language", "", &["en", "en-US", "de"]),
        ("country", "", &["AT", "DE"]),
        ("query", "a", &["1", "ü", "x y"]),
        ("query_any", "b", &[""]),
        ("before", "", &["1970-01-01T00:00:05"]),
        ("after", "", &["1970-01-01T00:00:05"]),
        ("browser", "", &["Firefox", "Safari", "Chrome"]),
        ("referrer", "", &["a.example", "*.a.example"]),
        ("bot", "", &["true", "false"]),
    ];
    let kind =
        kinds.map(|(kind, key, values)| one_of(values).prop_map(move |value| condition(kind, key, &value)).boxed());
    proptest::strategy::Union::new(kind)
}

fn targets() -> impl Strategy<Value = String> {
    one_of(&["https://a.example/", "https://b.example/ü?x", "http://münchen.example/", "https://c.example/ü/{1}"])
}

fn rule_sets() -> impl Strategy<Value = Rules> {
    let rule = (targets(), proptest::collection::vec(conditions(), 1..4))
        .prop_map(|(target, conditions)| Rule { target, conditions });
    proptest::collection::vec(rule, 0..=Rules::MAX).prop_map(|rules| Rules::new(rules).unwrap())
}

fn splits() -> impl Strategy<Value = Split> {
    let variant = (targets(), 1_i64..=25).prop_map(|(target, weight)| Variant { target, weight });
    let variants = proptest::collection::vec(variant, Split::MIN..=Split::MAX);
    proptest::option::of(variants).prop_map(|variants| Split::new(variants.unwrap_or_default()).unwrap())
}

fn requests() -> impl Strategy<Value = Request> {
    let parts = (
        one_of(&["", IPAD, FIREFOX, "curl/8", "Mozilla/5.0 (Linux; Android 14) Chrome/126.0.0.0 Mobile Safari/537.36"]),
        any::<bool>(),
        one_of(&["", "en", "en-US,de;q=0.9", "de-AT,en;q=0.8", "*"]),
        one_of(&["", "https://a.example/x", "https://b.a.example", "https://evila.example/"]),
        proptest::sample::select(vec!["AT", "DE", "Unknown"]),
        one_of(&["", "a=1", "a=2&a=1", "b", "a=%C3%BC&b=1", "a=x+y", "a=x%20y", "c=1"]),
        0_i64..10,
        0_u8..100,
    );
    parts.prop_map(|(user_agent, is_prefetch, accept_language, referrer, country, query, at, hundredth)| Request {
        user_agent,
        is_prefetch,
        accept_language,
        referrer,
        country,
        query,
        at,
        hundredth,
    })
}

proptest! {
    #[test]
    fn choice_is_that_of_a_naive_implementation(rules in rule_sets(), split in splits(), request in requests()) {
        let (of_rules, of_split) = encoded(&rules, &split);
        let chosen = Routing::of(&of_rules, &of_split).and_then(|routing| routing.choose(&mut request.clone()));
        let expected = naive_choice(&rules, &split, &request);
        prop_assert_eq!(chosen.map(|chosen| (chosen.choice, chosen.given.to_owned())), expected);
        if let Some(chosen) = chosen {
            let target = TargetUrl::parse(chosen.given).unwrap();
            prop_assert_eq!(chosen.location, target.location());
        }
    }

    #[test]
    fn share_of_each_variant_is_within_bounds_and_sticky(split in splits(), code in "[a-zA-Z0-9]{1,8}", first: u16) {
        const CLIENTS: u32 = 4000;
        let (_, of_split) = encoded(&Rules::default(), &split);
        let Some(routing) = Routing::of(&[], &of_split) else { return Ok(()) };
        let choose = |n: u32| {
            let client = IpAddr::V4(Ipv4Addr::from((u32::from(first) << 16).wrapping_add(n << 8)));
            let hundredth = hundredth_of(&code, client, FIREFOX.as_bytes());
            routing.choose(&mut Request { hundredth, ..Request::default() }).map(|chosen| chosen.choice)
        };
        let mut counts = HashMap::<Option<Choice>, u32>::new();
        for n in 0..CLIENTS {
            let choice = choose(n);
            prop_assert_eq!(choose(n), choice);
            *counts.entry(choice).or_default() += 1;
        }
        for (n, variant) in split.as_slice().iter().enumerate() {
            let count = f64::from(counts.get(&Some(Choice::Variant(u8::try_from(n + 1).unwrap()))).copied().unwrap_or(0));
            let share = count / f64::from(CLIENTS) - f64::from(u8::try_from(variant.weight).unwrap()) / 100.0;
            // Six standard deviations of a share of a quarter.
            prop_assert!(share.abs() < 0.042, "{} {share}", variant.weight);
        }
    }

    #[test]
    fn rules_are_read_from_their_bytes_unchanged(rules in rule_sets(), split in splits()) {
        let (of_rules, of_split) = encoded(&rules, &split);
        let routing = Routing::of(&of_rules, &of_split).unwrap_or_default();
        prop_assert_eq!(routing.rules_as_json(), Some(rules.to_stored()));
        prop_assert_eq!(routing.split_as_json(), Some(split.to_stored()));
        let stored = rules.to_stored().unwrap_or_default();
        prop_assert_eq!(Rules::parse(&stored), Ok(rules));
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_matched(
        rules in proptest::collection::vec(any::<u8>(), 0..200),
        split in proptest::collection::vec(any::<u8>(), 0..60),
        request in requests(),
    ) {
        let routing = Routing::of(&rules, &split).unwrap_or_default();
        let _ = routing.choose(&mut request.clone());
        if let Some(Some(json)) = routing.rules_as_json() {
            let _ = Rules::parse(&json);
        }
        let _ = routing.split_as_json();
    }

    #[test]
    fn names_of_browsers_are_taken_in_any_case(n in any::<prop::sample::Index>()) {
        let names = browsers();
        let name = names[n.index(names.len())];
        let given = condition("browser", "", &name.to_ascii_lowercase());
        let rule = Rule { target: "https://a.example/".to_owned(), conditions: vec![given] };
        let rules = Rules::new(vec![rule]).unwrap();
        prop_assert_eq!(rules.as_slice()[0].conditions[0].value.as_deref(), Some(name));
    }
}

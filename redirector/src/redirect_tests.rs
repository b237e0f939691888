//! The order of decisions, and the answer of each.

use tern_common::Timestamp;
use tern_common::served_link::LinkRow;

use super::*;
use crate::link_map::Replacement;

fn visit(code: Option<&str>, method: Method) -> Visit<'_> {
    let peer = std::net::Ipv4Addr::LOCALHOST.into();
    let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(5);
    Visit {
        path: b"/path",
        query: b"",
        is_from_qr: false,
        code,
        is_preview: false,
        rest: None,
        method,
        at,
        peer,
        is_http_1_0: false,
        affinity: 0,
    }
}

/// Chooses the plain target.
fn choose_plain<'a>(_: Routing<'a>, _: ServedLink<'a>) -> Option<Chosen<'a>> {
    None
}

fn at(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp::from_unix_seconds(seconds))
}

fn links(rows: &[LinkRow<&str>]) -> Replacement {
    let mut links = Replacement::default();
    rows.iter().for_each(|row| links.put(row).unwrap());
    links
}

#[test]
fn decision_checks_readiness_code_link_method_and_state_in_this_order() {
    use Method::{Get, Head, Other};
    let ((map, mut writer), defaults) = (LinkMap::new(), LinkDefaults::default());
    let check = |code: Option<&str>, method: Method, expected: Kind| {
        MapPin::scope(|pin| {
            let outcome = decide(&map, pin, &visit(code, method), &defaults, choose_plain);
            assert_eq!(outcome.kind, expected, "{method:?} {code:?}");
            assert_eq!(outcome.link.is_some(), expected == Kind::Redirect, "{method:?} {code:?}");
        });
    };
    check(Some("CODE12"), Get, Kind::NotReady);
    check(None, Get, Kind::NotReady);
    let row = |code| LinkRow::plain(code, "https://example.com/");
    let fallback = Some("https://example.com/over");
    // The links of a snapshot file are not served yet: the store may have changed them.
    writer.replace(links(&[
        row("CODE12"),
        LinkRow { is_active: false, ..row("GONE12") },
        LinkRow { is_active: false, starts_at: at(6), ..row("GONE13") },
        LinkRow { is_active: false, expires_at: at(5), expired_url: fallback, ..row("GONE14") },
        LinkRow { starts_at: at(6), expires_at: at(7), expired_url: fallback, ..row("SOON12") },
        LinkRow { starts_at: at(5), expires_at: at(6), ..row("OPEN12") },
        LinkRow { expires_at: at(5), ..row("ENDED1") },
        LinkRow { expires_at: at(5), expired_url: fallback, ..row("ENDED2") },
        LinkRow { max_clicks: Some(5), ..row("FEW123") },
        LinkRow { max_clicks: Some(5), is_exhausted: true, ..row("USED12") },
        LinkRow { max_clicks: Some(5), is_exhausted: true, expired_url: fallback, ..row("USED13") },
        LinkRow { max_clicks: Some(5), is_exhausted: true, is_active: false, ..row("USED14") },
        LinkRow { max_clicks: Some(5), is_exhausted: true, starts_at: at(6), ..row("USED15") },
        LinkRow { max_clicks: Some(5), is_exhausted: true, expires_at: at(5), ..row("USED16") },
        LinkRow { is_exhausted: true, ..row("OPEN13") },
        LinkRow { max_clicks: Some(5), ..LinkRow::plain("FILL34", "https://example.com/{1}") },
    ]));
    check(Some("CODE12"), Get, Kind::NotReady);
    check(Some("GONE12"), Get, Kind::NotReady);
    check(Some("SOON12"), Get, Kind::NotReady);
    check(Some("code12"), Get, Kind::NotReady);
    writer.declare_loaded();
    check(None, Get, Kind::NoCode);
    check(None, Other, Kind::NoCode);
    check(Some("code12"), Get, Kind::NotFound);
    check(Some("code12"), Other, Kind::NotFound);
    for code in ["CODE12", "GONE12", "SOON12", "ENDED1", "ENDED2"] {
        check(Some(code), Other, Kind::OtherMethod);
    }
    for method in [Get, Head] {
        check(Some("GONE12"), method, Kind::Gone);
        check(Some("GONE13"), method, Kind::Gone);
        check(Some("GONE14"), method, Kind::Gone);
        check(Some("SOON12"), method, Kind::Scheduled);
        check(Some("ENDED1"), method, Kind::Expired);
        check(Some("ENDED2"), method, Kind::ExpiredElsewhere);
        check(Some("OPEN12"), method, Kind::Redirect);
        check(Some("CODE12"), method, Kind::Redirect);
        check(Some("OPEN13"), method, Kind::Redirect);
        check(Some("USED12"), method, Kind::Exhausted);
        check(Some("USED13"), method, Kind::ExhaustedElsewhere);
        check(Some("USED14"), method, Kind::Gone);
        check(Some("USED15"), method, Kind::Scheduled);
        check(Some("USED16"), method, Kind::Expired);
    }
    check(Some("FEW123"), Get, Kind::Redirect);
    check(Some("FILL34"), Get, Kind::Unfilled);
    MapPin::scope(|pin| {
        let is_limited = |code| decide(&map, pin, &visit(Some(code), Get), &defaults, choose_plain).is_limited;
        assert_eq!(["FEW123", "CODE12", "OPEN12", "FILL34"].map(is_limited), [true, false, false, false]);
    });

    let check_kind = |visit: Visit<'_>, expected: Kind| {
        MapPin::scope(|pin| assert_eq!(decide(&map, pin, &visit, &defaults, choose_plain).kind, expected, "{visit:?}"));
    };
    let preview = |code, method| Visit { is_preview: true, ..visit(Some(code), method) };
    check_kind(preview("code12", Get), Kind::NotFound);
    check_kind(preview("CODE12", Other), Kind::OtherMethod);
    check_kind(preview("GONE12", Get), Kind::Gone);
    check_kind(preview("SOON12", Get), Kind::Scheduled);
    check_kind(preview("ENDED1", Get), Kind::Expired);
    check_kind(preview("ENDED2", Get), Kind::ExpiredElsewhere);
    check_kind(preview("CODE12", Get), Kind::Preview);
    check_kind(preview("OPEN12", Head), Kind::Preview);
    check_kind(preview("USED12", Get), Kind::Exhausted);
    check_kind(preview("FEW123", Get), Kind::Withheld);
    check_kind(visit(Some("FEW123"), Head), Kind::Withheld);
    check_kind(visit(Some("FEW123"), Other), Kind::OtherMethod);
    let root = |method| Visit { path: b"/", ..visit(None, method) };
    check_kind(root(Get), Kind::Root);
    check_kind(root(Head), Kind::Root);
    check_kind(root(Other), Kind::NoCode);
}

#[test]
fn path_behind_a_code_is_only_for_links_with_placeholders() {
    let ((map, mut writer), defaults) = (LinkMap::new(), LinkDefaults::default());
    let plain = LinkRow::plain("CODE12", "https://example.com/");
    let filled = LinkRow { original_url: "https://example.com/{1}", ..plain.clone() };
    let expired_url = Some("https://example.com/over");
    writer.replace(links(&[
        plain.clone(),
        LinkRow { short_code: "GONE12", is_active: false, ..plain.clone() },
        LinkRow { short_code: "ENDED1", expires_at: at(5), ..plain },
        LinkRow { short_code: "FILL12", ..filled.clone() },
        LinkRow { short_code: "GONE34", is_active: false, ..filled.clone() },
        LinkRow { short_code: "SOON34", starts_at: at(6), ..filled.clone() },
        LinkRow { short_code: "ENDED3", expires_at: at(5), ..filled.clone() },
        LinkRow { short_code: "ENDED4", expires_at: at(5), expired_url, ..filled },
    ]));
    writer.declare_loaded();
    let check = |code, rest: Option<&str>, expected: Kind| {
        for (method, is_preview) in [(Method::Get, false), (Method::Head, false), (Method::Get, true)] {
            let visit = Visit { rest: rest.map(str::as_bytes), is_preview, ..visit(Some(code), method) };
            let expected = if is_preview && expected == Kind::Redirect { Kind::Preview } else { expected };
            MapPin::scope(|pin| {
                let mut kind = None;
                let decided = || kind = Some(decide(&map, pin, &visit, &defaults, choose_plain).kind);
                let counted = allocation_counter::measure(decided);
                assert_eq!((kind, counted.count_total), (Some(expected), 0), "{visit:?}");
            });
        }
    };
    for code in ["nope", "CODE12", "GONE12", "ENDED1"] {
        check(code, Some("x"), Kind::NoCode);
        check(code, Some(""), Kind::NoCode);
    }
    check("FILL12", Some("x"), Kind::Redirect);
    for rest in [None, Some(""), Some("x/y"), Some("..")] {
        check("FILL12", rest, Kind::Unfilled);
    }
    check("GONE34", Some("x"), Kind::Gone);
    check("SOON34", Some("x"), Kind::Scheduled);
    check("ENDED3", Some("x"), Kind::Expired);
    check("ENDED4", None, Kind::ExpiredElsewhere);
    let post = |code| Visit { rest: Some(b"x"), ..visit(Some(code), Method::Other) };
    for (code, expected) in [("FILL12", Kind::OtherMethod), ("CODE12", Kind::NoCode)] {
        let visit = post(code);
        MapPin::scope(|pin| assert_eq!(decide(&map, pin, &visit, &defaults, choose_plain).kind, expected));
    }
}

/// Returns the status, the location and the `Cache-Control` that a link answers.
fn answer(row: &LinkRow<&str>, query: &str, defaults: &LinkDefaults) -> (u16, String, Option<String>) {
    let (map, mut writer) = LinkMap::new();
    writer.replace(links(std::slice::from_ref(row)));
    writer.declare_loaded();
    MapPin::scope(|pin| {
        let visit = Visit { query: query.as_bytes(), ..visit(Some(row.short_code), Method::Get) };
        let outcome = decide(&map, pin, &visit, defaults, choose_plain);
        let answer = outcome.answer();
        let Content::Redirect(location, cache_control) = answer.content else { panic!("{answer:?}") };
        let mut written = Vec::with_capacity(4096);
        let counted = allocation_counter::measure(|| location.write(|bytes| written.extend_from_slice(bytes)));
        assert_eq!(counted.count_total, 0, "{written:?}");
        (answer.status.as_u16(), String::from_utf8(written).unwrap(), cache_control.map(str::to_owned))
    })
}

#[test]
fn expired_link_redirects_to_its_other_address_without_being_stored() {
    let row = LinkRow::plain("CODE12", "https://example.com/");
    let expired_url = Some("https://example.com/ü?a=1");
    let row = LinkRow { expires_at: at(5), expired_url, forward_query: Some(true), ..row };
    let defaults = LinkDefaults { status: 301.try_into().unwrap(), ..LinkDefaults::default() };
    let expected = (302, "https://example.com/%C3%BC?a=1".to_owned(), Some("no-store".to_owned()));
    assert_eq!(answer(&row, "x=1", &defaults), expected);
    let row = LinkRow { expires_at: None, max_clicks: Some(1), is_exhausted: true, ..row };
    assert_eq!(answer(&row, "x=1", &defaults), expected, "its limit is used up");
}

#[test]
fn status_of_a_redirect_is_that_of_the_link_or_the_default() {
    let row = || LinkRow::plain("CODE12", "https://example.com/");
    let check = |default: i64, row: LinkRow<&str>, expected: u16| {
        let defaults = LinkDefaults { status: default.try_into().unwrap(), ..LinkDefaults::default() };
        let cache = if [301, 308].contains(&expected) { "private, max-age=30" } else { "no-store" };
        let expected = (expected, "https://example.com/".to_owned(), Some(cache.to_owned()));
        assert_eq!(answer(&row, "x=1", &defaults), expected, "{default} {row:?}");
    };
    for status in [301, 302, 307, 308] {
        check(i64::from(status), row(), status);
        check(302, LinkRow { redirect_status: i16::try_from(status).ok(), ..row() }, status);
        check(301, LinkRow { redirect_status: i16::try_from(status).ok(), ..row() }, status);
    }
    let rules = || Some(r#"[{"target":"https://a.example/","if":[{"type":"bot","value":"true"}]}]"#.to_owned());
    check(301, LinkRow { rules: rules(), ..row() }, 302);
    check(307, LinkRow { rules: rules(), ..row() }, 307);
    check(301, LinkRow { rules: rules(), redirect_status: Some(307), ..row() }, 307);
    check(301, LinkRow { starts_at: at(1), ..row() }, 301);
    check(301, LinkRow { expires_at: at(9), ..row() }, 302);
    check(308, LinkRow { expires_at: at(9), ..row() }, 302);
    check(307, LinkRow { expires_at: at(9), ..row() }, 307);
    check(301, LinkRow { expires_at: at(9), redirect_status: Some(307), ..row() }, 307);
    check(301, LinkRow { max_clicks: Some(5), ..row() }, 302);
    check(308, LinkRow { max_clicks: Some(5), ..row() }, 302);
    check(307, LinkRow { max_clicks: Some(5), ..row() }, 307);
}

#[test]
fn query_is_merged_where_the_link_or_the_default_says_so() {
    let row = |forward_query| LinkRow { forward_query, ..LinkRow::plain("CODE12", "https://example.com/ü?a=1&x=0") };
    let (alone, merged) = ("https://example.com/%C3%BC?a=1&x=0", "https://example.com/%C3%BC?a=1&x=1");
    let check = |default: bool, link: Option<bool>, query: &str, expected: &str| {
        let defaults = LinkDefaults { forward_query: default, ..LinkDefaults::default() };
        assert_eq!(answer(&row(link), query, &defaults).1, expected, "{default} {link:?}");
    };
    check(false, None, "x=1", alone);
    check(true, None, "x=1", merged);
    check(false, Some(true), "x=1", merged);
    check(true, Some(false), "x=1", alone);
    check(true, Some(true), "", alone);
    check(true, Some(true), &"x".repeat(9000), alone);
    let row = LinkRow::plain("CODE12", "https://example.com/");
    let defaults = LinkDefaults { forward_query: true, ..LinkDefaults::default() };
    assert_eq!(answer(&row, "x=1", &defaults).1, "https://example.com/?x=1");
}

#[test]
fn query_that_cannot_be_merged_is_reported() {
    let (map, mut writer) = LinkMap::new();
    writer.replace(links(&[LinkRow::plain("CODE12", "https://example.com/")]));
    writer.declare_loaded();
    for (forward_query, query, drops) in
        [(true, "x".repeat(9000), true), (true, "x".to_owned(), false), (false, "x".repeat(9000), false)]
    {
        let defaults = LinkDefaults { forward_query, ..LinkDefaults::default() };
        MapPin::scope(|pin| {
            let visit = Visit { query: query.as_bytes(), ..visit(Some("CODE12"), Method::Get) };
            assert_eq!(decide(&map, pin, &visit, &defaults, choose_plain).drops_query, drops);
        });
    }
}

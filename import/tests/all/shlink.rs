//! Files and answers of Shlink.

use serde_json::{Value, json};
use tern_import::{ImportedLink, Options, Row, Source};

use crate::reading::{at, codes, dropped, links, rows_with};

#[test]
fn file_for_an_import_is_read_in_any_case_with_blanks_in_its_header() {
    let text = "LONG URL , short code,Domain,title,TAGS\n\
        https://example.com/1,one,,First,a|b c\n\
        \"https://example.com/2,3\",two,go.example.com,\"Two, too\",\"news, mail\"\n\
        https://example.com/4,,,,\n";
    let links = links(text, Source::Shlink);
    assert_eq!(codes(&links), ["one", "two", "(new)"]);
    assert_eq!((links[0].domain.as_deref(), links[0].tags.clone()), (None, vec!["a".to_owned(), "b c".to_owned()]));
    assert_eq!((links[1].target.as_str(), links[1].title.as_deref()), ("https://example.com/2,3", Some("Two, too")));
    assert_eq!((links[1].domain.as_deref(), links[1].tags.len()), (Some("go.example.com"), 2));
    assert_eq!(links[2].title, None);
}

#[test]
fn file_with_only_the_needed_columns_is_recognised() {
    let links = links("longurl,Short code\nhttps://example.com/1,one\n", Source::Shlink);
    assert_eq!(codes(&links), ["one"]);
}

const OUT: &str = "\"createdAt\",\"domain\",\"shortCode\",\"shortUrl\",\"longUrl\",\"title\",\"tags\",\"visits\"\n\
    \"2025-09-01T20:00:00+02:00\",\"s.example.com\",\"one\",\"https://s.example.com/one\",\"https://example.com/1\",\"A \"\"b\"\"\",\"x|y\",328\n\
    \"2024-09-01T20:00:00+02:00\",\"go.example.com\",\"my/deep\",\"https://go.example.com/my/deep\",\"https://example.com/2\",\"\",\"\",0\n";

#[test]
fn exported_file_is_read_with_times_and_visits() {
    let links = links(OUT, Source::Shlink);
    assert_eq!(codes(&links), ["one", "my/deep"]);
    assert_eq!((links[0].created_at, links[0].clicks), (at("2025-09-01T18:00:00Z"), 328));
    assert_eq!((links[0].title.as_deref(), links[0].tags.len()), (Some("A \"b\""), 2));
    assert!(links[0].dropped.is_empty());
}

#[test]
fn chosen_domain_skips_rows_of_others_and_rows_without_one() {
    let options = Options { domain: Some("https://go.example.com".to_owned()), ..Options::default() };
    let rows = rows_with(OUT, Source::Shlink, &options);
    assert!(matches!(&rows[0], Row::Skipped { row: 2, .. }) && matches!(&rows[1], Row::Link(_)), "{rows:?}");
    let text = "Long URL,Short code,Domain\nhttps://example.com/1,one,\n";
    let reason = "names no domain, and only the links of go.example.com are imported".to_owned();
    let skipped = Row::Skipped { row: 2, short_code: Some("one".to_owned()), reason };
    assert_eq!(rows_with(text, Source::Shlink, &options), [skipped]);
}

fn answer(people: u64, limit: &str) -> Vec<ImportedLink> {
    let text = format!(
        r#"{{"shortUrls":{{"data":[{{"shortCode":"one","shortUrl":"https://s.example.com/one","longUrl":"https://example.com/1",
        "dateCreated":"2025-09-01T20:00:00+02:00","visitsSummary":{{"total":328,"nonBots":{people},"bots":28}},"visitsCount":328,
        "tags":["x"],"meta":{{"validSince":"2025-09-02T00:00:00+02:00","validUntil":"2027-01-01T00:00:00+01:00","maxVisits":{limit}}},
        "domain":null,"title":"One","crawlable":false,"forwardQuery":true,"hasRedirectRules":true}}],
        "pagination":{{"currentPage":1}}}}}}"#
    );
    links(text, Source::Shlink)
}

#[test]
fn answer_of_the_api_is_read_with_its_limits_of_time() {
    let links = answer(300, "null");
    let [link] = &links[..] else { panic!("{links:?}") };
    assert_eq!((link.short_code.as_deref(), link.domain.as_deref()), (Some("one"), Some("s.example.com")));
    assert_eq!((link.starts_at, link.expires_at), (at("2025-09-01T22:00:00Z"), at("2026-12-31T23:00:00Z")));
    assert_eq!((link.clicks, link.forward_query, link.clicks_left), (328, Some(true), None));
    assert_eq!(dropped(link), ["hasRedirectRules"]);
}

#[test]
fn redirect_rules_become_rules_or_are_named() {
    let text = r#"[{"shortCode":"one","longUrl":"https://example.com/1","dateCreated":"2025-09-01T20:00:00+02:00","redirectRules":[
        {"longUrl":"https://example.com/app","priority":1,"conditions":[
            {"type":"device","matchKey":null,"matchValue":"ios"},{"type":"query-param","matchKey":"from","matchValue":"mail"}]},
        {"longUrl":"https://example.com/office","priority":2,"conditions":[{"type":"ip-address","matchKey":null,"matchValue":"192.0.2.*"}]},
        {"longUrl":"https://example.com/any","priority":3,"conditions":[{"type":"any-value-query-param","matchKey":"q","matchValue":null}]}]}]"#;
    let links = links(text, Source::Shlink);
    let rules: Value = serde_json::from_str(links[0].rules.as_deref().unwrap()).unwrap();
    let expected = json!([
        { "target": "https://example.com/app", "if": [
            { "type": "device", "value": "ios" }, { "type": "query", "key": "from", "value": "mail" }] },
        { "target": "https://example.com/any", "if": [{ "type": "query_any", "key": "q" }] },
    ]);
    assert_eq!(rules, expected);
    assert_eq!(links[0].remarks, ["the redirect rule 2 was left out: Tern has no condition like \"ip-address\""]);
}

#[test]
fn limit_of_visits_is_less_by_those_of_people_and_switches_off_when_used_up() {
    let left = &answer(300, "1000")[0];
    assert_eq!((left.clicks_left, left.is_active), (Some(700), true));
    assert_eq!(dropped(left), ["hasRedirectRules"]);
    let used = &answer(300, "300")[0];
    assert_eq!((used.clicks_left, used.is_active), (Some(0), false));
    assert_eq!(used.remarks, ["switched off, because its limit of clicks was used up"]);
}

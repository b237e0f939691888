//! The part of a request that a click stores: people and bots apart, and the settings of privacy.

use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};

use crate::mmdb;
use crate::support::{Tern, eventually};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";

/// The name and the value of a header field.
type Field = (&'static str, &'static str);

/// A person's request, each of whose texts can be found again.
const PERSON: [Field; 3] = [
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0 agentmark"),
    ("referer", "https://ada:usermark@news.example/pathmark?querymark#fragmentmark"),
    ("x-forwarded-for", "203.0.113.77"),
];

/// Returns the files of a directory that contain `bytes`, and the number of all files.
pub fn files_with(directory: &Path, bytes: &[u8]) -> (Vec<PathBuf>, usize) {
    let (mut waiting, mut found, mut files) = (vec![directory.to_owned()], Vec::new(), 0);
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        files += 1;
        if memchr::memmem::find(&std::fs::read(&path).unwrap(), bytes).is_some() {
            found.push(path);
        }
    }
    (found, files)
}

/// Asserts that no file of an ended process contains one of the texts.
fn check_absent(directory: &Path, texts: &[&[u8]]) {
    for text in texts {
        let (found, files) = files_with(directory, text);
        assert!(found.is_empty(), "{} in {found:?}", String::from_utf8_lossy(text));
        assert!(files > 3, "database and journals: {files}");
    }
}

/// Starts Tern with a link that forwards queries; returns it and the path of the link.
async fn start_with(variables: &[(&str, &str)]) -> (Tern, String) {
    let variables = [variables, &[("TRUSTED_PROXIES", "127.0.0.0/8")]].concat();
    let tern = Tern::start_with(&[], &variables);
    let owner = tern.create_user("ada").await;
    let link = tern.create_link(owner, "https://example.com/a?b=1").await;
    assert_eq!(tern.change_link(&link["id"], json!({"forward_query": true})).await.status(), 200);
    let path = format!("/{}", link["short_code"].as_str().unwrap());
    (tern, path)
}

/// Follows a link on both ports and returns the location, which must be equal.
async fn follow(tern: &Tern, fields: &[(&str, &str)], path: &str) -> String {
    let mut locations = Vec::new();
    for address in [&tern.fast, &tern.api] {
        let answer = tern.get_with(fields, address, path).await;
        assert_eq!(answer.status(), 302, "{path}");
        locations.push(answer.headers()["location"].to_str().unwrap().to_owned());
    }
    assert_eq!(locations[0], locations[1]);
    locations.remove(0)
}

/// Waits for as many clicks and returns the details of their events, the newest last.
async fn details(tern: &Tern, clicks: u64) -> Vec<Value> {
    eventually("each click is an event", async || tern.count_events("clicked").await == clicks).await;
    let events = tern.get_json("/events?event_type=clicked&per_page=100").await;
    events.as_array().unwrap().iter().map(|event| event["details"].clone()).collect()
}

#[tokio::test]
async fn event_of_a_bot_names_its_family_and_bots_are_redirected() {
    let (tern, path) = start_with(&[]).await;
    let firefox = ("user-agent", FIREFOX);
    let visits: [(&[Field], Option<&str>); 8] = [
        (&[firefox], None),
        (&[firefox, ("sec-purpose", "prefetch;prerender")], Some("Prefetch")),
        (&[firefox, ("purpose", "prefetch")], Some("Prefetch")),
        (&[firefox, ("x-moz", "prefetch")], Some("Prefetch")),
        (&[], Some("No user agent")),
        (&[("user-agent", "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)")], Some("Slack")),
        (&[("user-agent", "my-shop/3.2")], Some("HTTP library")),
        (&[("user-agent", "Mozilla/5.0 (Linux; Android 9; CUBOT) Chrome/99.0.4844.73 Mobile Safari/537.36")], None),
    ];
    let mut clicks = 0;
    for (fields, family) in visits {
        follow(&tern, fields, &path).await;
        clicks += 2;
        let details = details(&tern, clicks).await;
        for details in &details[details.len() - 2..] {
            assert_eq!(details.get("bot").and_then(Value::as_str), family, "{fields:?}");
        }
    }
    for address in [&tern.fast, &tern.api] {
        assert_eq!(tern.send(Method::HEAD, address, &path).await.status(), 302);
    }
    follow(&tern, &[firefox], &path).await;
    details(&tern, clicks + 2).await;
}

#[tokio::test]
async fn click_from_a_qr_code_is_counted_and_its_mark_is_not_forwarded() {
    let (tern, path) = start_with(&[]).await;
    let target = "https://example.com/a?b=1";
    for (query, location, source) in [
        ("?qr", target.to_owned(), Some("qr")),
        ("?qr&c=2", format!("{target}&c=2"), Some("qr")),
        ("?qr&utm_source=mail", format!("{target}&utm_source=mail"), Some("qr")),
        ("?utm_source=News+Letter%21", format!("{target}&utm_source=News+Letter%21"), Some("News Letter!")),
        ("?qr=1", format!("{target}&qr=1"), None),
        ("?c=qr", format!("{target}&c=qr"), None),
        ("", target.to_owned(), None),
    ] {
        let before = tern.count_events("clicked").await;
        assert_eq!(follow(&tern, &[("user-agent", FIREFOX)], &format!("{path}{query}")).await, location);
        let details = details(&tern, before + 2).await;
        assert_eq!(details.last().unwrap().get("source").and_then(Value::as_str), source, "{query}");
    }
}

#[tokio::test]
async fn minimal_click_leaves_no_user_agent_path_or_network_anywhere() {
    let opt_outs: [(&str, &[Field]); 3] = [("minimal", &[]), ("full", &[("sec-gpc", "1")]), ("full", &[("dnt", "1")])];
    for (tracking, opt_out) in opt_outs {
        let (tern, path) = start_with(&[("TRACKING", tracking)]).await;
        follow(&tern, &[&PERSON, opt_out].concat(), &format!("{path}?utm_source=sourcemark")).await;
        details(&tern, 2).await;
        let referrer = ("referer", "https://news.example/pathmark?querymark");
        let plain = [&[PERSON[0], referrer, PERSON[2], ("sec-purpose", "prefetch")], opt_out].concat();
        follow(&tern, &plain, &path).await;
        for (n, details) in details(&tern, 4).await.iter().enumerate() {
            let mut expected = json!({ "short_code": &path[1..], "original_url": "https://example.com/a?b=1" });
            // A referrer with a user is dropped as a whole.
            if n >= 2 {
                expected["referrer"] = json!("https://news.example");
                expected["bot"] = json!("Prefetch");
            }
            assert_eq!(details, &expected, "{tracking} {opt_out:?}");
        }
        let (_, directory) = tern.end(Signal::SIGTERM);
        let marks = ["agentmark", "usermark", "pathmark", "querymark", "fragmentmark", "sourcemark", "203.0.113.77"];
        check_absent(directory.path(), &marks.map(str::as_bytes));
        // The log of the API port has the network of each request.
        check_absent(&directory.path().join("data"), &[b"203.0.113"]);
        let in_journal = files_with(&directory.path().join("data/clicks"), b"Firefox|Linux|desktop|").0;
        assert!(!in_journal.is_empty(), "the journal has the families");
    }
}

/// Returns the visitors of all clicks, the newest last.
fn visitors(tern: &Tern) -> Vec<String> {
    let database = rusqlite::Connection::open(tern.directory.path().join("data/tern.db")).unwrap();
    let mut statement =
        database.prepare("SELECT visitor FROM events WHERE event_type = 'clicked' ORDER BY id").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

#[tokio::test]
async fn visitor_has_the_language_of_the_request_and_the_country_of_proxy_file_or_registry() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("countries.mmdb");
    let write =
        |code| std::fs::write(&path, mmdb::file(&[("203.0.113.0/24", mmdb::map(&[("country", mmdb::iso(code))]))]));
    write("FR").unwrap();
    let settings = [("COUNTRY_HEADER", "X-Country"), ("GEOIP_FILE", path.to_str().unwrap())];
    let (tern, path) = start_with(&settings).await;
    let language = ("accept-language", "de-AT, en;q=0.5");
    let mut clicks = 0;
    let mut visitor = async |client: &'static str, further: &[Field]| {
        let fields = [&[("user-agent", FIREFOX), language, ("x-forwarded-for", client)], further].concat();
        follow(&tern, &fields, &path).await;
        clicks += 2;
        eventually("each click is an event", async || tern.count_events("clicked").await == clicks).await;
        visitors(&tern).pop().unwrap()
    };
    assert_eq!(visitor("203.0.113.77", &[("x-country", "at")]).await, "Firefox|Linux|desktop|de|AT|");
    assert_eq!(visitor("203.0.113.77", &[("x-country", "XX")]).await, "Firefox|Linux|desktop|de|FR|");
    assert_eq!(visitor("8.8.8.8", &[]).await, "Firefox|Linux|desktop|de|US|");
    assert_eq!(visitor("8.8.8.8", &[("dnt", "1")]).await, "Firefox|Linux|desktop|de|US|");
    assert_eq!(visitor("10.1.2.3", &[]).await, "Firefox|Linux|desktop|de|Unknown|");
    write("ES").unwrap();
    eventually("the changed file is read", async || {
        visitor("203.0.113.77", &[]).await == "Firefox|Linux|desktop|de|ES|"
    })
    .await;
}

#[tokio::test]
async fn client_may_not_ask_for_a_minimal_click_where_the_operator_refuses() {
    let (tern, path) = start_with(&[("HONOUR_GPC", "false")]).await;
    follow(&tern, &[&PERSON[..], &[("sec-gpc", "1"), ("dnt", "1")]].concat(), &path).await;
    for details in details(&tern, 2).await {
        assert_eq!(details["user_agent"], PERSON[0].1);
        assert_eq!(details["referrer"], "https://news.example/pathmark");
    }
}

#[tokio::test]
async fn nothing_is_recorded_without_tracking() {
    let (tern, path) = start_with(&[("TRACKING", "off")]).await;
    follow(&tern, &PERSON, &path).await;
    assert_eq!(tern.metric("tern_clicks_accepted_total").await, 0.0);
    let (_, directory) = tern.end(Signal::SIGTERM);
    check_absent(directory.path(), &[b"agentmark", b"pathmark"]);
    check_absent(&directory.path().join("data"), &[b"203.0.113", &[203, 0, 113, 0]]);
}

#[tokio::test]
async fn click_from_an_ignored_network_is_redirected_and_only_counted_in_a_metric() {
    let (tern, path) = start_with(&[("IGNORE_CLICKS_FROM", "203.0.113.64/26, 2001:db8::1")]).await;
    for client in ["203.0.113.77", "2001:db8::1", "::ffff:203.0.113.64"] {
        follow(&tern, &[("user-agent", "ignored"), ("x-forwarded-for", client)], &path).await;
    }
    for client in ["203.0.113.1", "2001:db8::2"] {
        follow(&tern, &[("user-agent", FIREFOX), ("x-forwarded-for", client)], &path).await;
    }
    assert!(details(&tern, 4).await.iter().all(|details| details["user_agent"] == FIREFOX));
    assert_eq!(tern.metric("tern_clicks_ignored_total").await, 6.0);
    assert_eq!(tern.metric("tern_clicks_accepted_total").await, 4.0);
}

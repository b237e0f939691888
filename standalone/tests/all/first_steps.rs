//! First steps of a new user.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use tern_common::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Tern, eventually, run, tern, text};

#[tokio::test]
async fn sample_link_redirects_on_both_ports_and_clicks_become_events() {
    let tern = Tern::start(&["--sample"]);
    let code = tern.announced_code.clone().unwrap();
    let link = &tern.get_json(&format!("/urls?short_code={code}")).await[0];
    let target = link["original_url"].as_str().unwrap().to_owned();
    for address in [&tern.api, &tern.fast] {
        assert_eq!(tern.follow(address, &code).await, (302, Some(target.clone())));
    }
    eventually("both clicks are events", async || tern.count_clicks(1).await == 2).await;
    for event in tern.get_json("/events?event_type=clicked&url_id=1").await.as_array().unwrap() {
        assert_eq!(event["url_id"], link["id"]);
        assert_eq!(event["user_id"], link["user_id"]);
        assert_eq!(event["details"]["short_code"], link["short_code"]);
        assert_eq!(event["details"]["original_url"], link["original_url"]);
    }
}

#[tokio::test]
async fn second_start_with_sample_loads_no_second_sample() {
    let first = Tern::start(&["--sample"]);
    let code = first.announced_code.clone().unwrap();
    let (status, directory) = first.end(nix::sys::signal::Signal::SIGTERM);
    assert!(status.success());
    let second = Tern::start_in(directory, &["--sample"], &[]);
    assert_eq!(second.announced_code.as_ref(), Some(&code));
    assert_eq!(second.get(&second.api, "/urls").await.headers()["x-total-count"], "2000");
    assert_eq!(second.follow(&second.fast, &code).await.0, 302);
}

/// Checks every link of a sample, on both ports, against the file it was loaded from.
#[tokio::test]
async fn loaded_sample_links_answer_by_their_rows_and_ids_continue() {
    let directory = tempfile::tempdir().unwrap();
    let written = run(&mut tern(directory.path(), &["sample", "files"]));
    assert!(written.status.success(), "{}", text(&written.stderr));
    let files = ["users.csv", "urls.csv", "events.csv"].map(|name| format!("files/{name}"));
    let loaded = run(&mut tern(directory.path(), &["load", &files[0], &files[1], &files[2]]));
    assert_eq!(
        text(&loaded.stdout),
        "Loaded 400 rows into User from users.csv\n\
         Loaded 2000 rows into Url from urls.csv\n\
         Loaded 3422 rows into Event from events.csv\n"
    );
    let urls = fs::read(directory.path().join("files/urls.csv")).unwrap();
    let tern = Tern::start_in(directory, &[], &[]);
    for list in [("/users", "400"), ("/urls", "2000"), ("/events", "3422")] {
        assert_eq!(tern.get(&tern.api, list.0).await.headers()["x-total-count"], list.1);
    }
    let now = Timestamp::now().to_string().replace('T', " ");
    let (mut active, mut kinds, mut go_links) = (0_u64, BTreeSet::new(), 0);
    let mut features = 0;
    for row in csv::Reader::from_reader(&*urls).into_records() {
        let row = row.unwrap();
        let cells: Vec<&str> = row.iter().collect();
        let (code, target, is_active) = (cells[2], cells[3], cells[5] == "True");
        let &[starts_at, expires_at, expired_url, status, forward_query, max_clicks, rules, split, _tags] = &cells[8..]
        else {
            panic!("{row:?}")
        };
        let (path, target) = if target.contains("{1}") {
            assert_eq!(tern.follow(&tern.fast, code).await, (404, None), "its placeholder is not filled");
            (format!("{code}/ABC-1"), target.replace("{1}", "ABC-1"))
        } else {
            (code.to_owned(), target.to_owned())
        };
        let lies_ahead = |time: &str| time > now.as_str();
        let expected = if !is_active {
            (410, None)
        } else if lies_ahead(starts_at) {
            (404, None)
        } else if !expires_at.is_empty() && !lies_ahead(expires_at) {
            if expired_url.is_empty() { (410, None) } else { (302, Some(expired_url.to_owned())) }
        } else {
            active += 1;
            let query = if forward_query == "True" { "?q" } else { "" };
            (if status.is_empty() { 302 } else { status.parse().unwrap() }, Some(format!("{target}{query}")))
        };
        kinds.insert((expected.0, expected.1.is_some(), forward_query == "True"));
        go_links += usize::from(path.contains('/'));
        features += [max_clicks, rules, split].iter().filter(|cell| !cell.is_empty()).count();
        let mut answers = Vec::new();
        for address in [&tern.api, &tern.fast] {
            answers.push(tern.follow(address, &format!("{path}?q")).await);
        }
        if split.is_empty() {
            assert_eq!(answers, [expected.clone(), expected], "{row:?}");
        } else {
            // The client has one of the three targets, on both ports.
            assert_eq!((answers[0].0, &answers[0]), (302, &answers[1]), "{row:?}");
        }
    }
    assert!((1_400..1_900).contains(&active), "{active}");
    let statuses: BTreeSet<u16> = kinds.iter().map(|(status, _, _)| *status).collect();
    assert_eq!(statuses, BTreeSet::from([301, 302, 307, 308, 404, 410]), "the sample has links of every kind");
    assert!(kinds.contains(&(302, true, true)), "a link forwards queries");
    assert_eq!(go_links, 1, "one link has a placeholder");
    assert_eq!(features, 3, "one link has rules, one a split and one a limit");
    eventually("every click is an event", async || tern.count_events("clicked").await == 2 * active).await;

    assert_eq!(tern.create_user("next").await, 401);
    let next = tern.create_link(401, "https://example.com/").await;
    assert_eq!(next["id"], 2001);
    let created = tern.get_json("/events?user_id=401").await;
    assert_eq!(created[0]["id"].as_u64().unwrap(), 3422 + 2 * active + 1);
}

#[tokio::test]
async fn sample_files_are_deterministic_and_never_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let written = |name: &str| {
        let output = run(&mut tern(directory.path(), &["sample", name]));
        (output.status.code(), text(&output.stderr))
    };
    assert_eq!(written("a"), (Some(0), String::new()));
    assert_eq!(written("b"), (Some(0), String::new()));
    for (file, rows) in [("users.csv", 400), ("urls.csv", 2000), ("events.csv", 3422), ("clicks.csv", 6000)] {
        let [a, b] = ["a", "b"].map(|name| fs::read_to_string(directory.path().join(name).join(file)).unwrap());
        assert_eq!(a.lines().count(), rows + 1);
        assert!(a == b, "{file} differs");
    }
    assert_eq!(written("a"), (Some(1), "tern: a/users.csv is there already\n".to_owned()));
}

/// Twenty headers and four KiB of cookies, as a browser behind a proxy sends them.
#[tokio::test]
async fn browser_request_is_answered_on_both_ports() {
    let tern = Tern::start(&["--sample"]);
    let code = tern.announced_code.clone().unwrap();
    let mut head = format!("GET /{code} HTTP/1.1\r\nHost: tern.example\r\nConnection: keep-alive\r\n");
    for (name, value) in [
        ("Cache-Control", "max-age=0"),
        ("Sec-Ch-Ua", "\"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\""),
        ("Sec-Ch-Ua-Mobile", "?0"),
        ("Sec-Ch-Ua-Platform", "\"Linux\""),
        ("DNT", "1"),
        ("Upgrade-Insecure-Requests", "1"),
        (
            "User-Agent",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36",
        ),
        ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Mode", "navigate"),
        ("Sec-Fetch-User", "?1"),
        ("Sec-Fetch-Dest", "document"),
        ("Referer", "https://news.example/a/long/page?with=query"),
        ("Accept-Encoding", "gzip, deflate, br, zstd"),
        ("Accept-Language", "en-GB,en;q=0.9,de;q=0.8"),
        ("X-Forwarded-For", "203.0.113.7"),
        ("X-Forwarded-Proto", "https"),
        ("X-Request-Id", "3f0e4d5c-1b2a-4c3d-9e8f-7a6b5c4d3e2f"),
    ] {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("Cookie: session={}\r\n\r\n", "c".repeat(4096));
    for address in [&tern.api, &tern.fast] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 302");
    }
}

#[tokio::test]
async fn operators_port_reports_readiness_and_metrics() {
    let tern = Tern::start(&["--sample"]);
    assert_eq!(tern.get(&tern.ops, "/live").await.status(), 200);
    assert_eq!(tern.get(&tern.ops, "/ready").await.status(), 200);
    assert_eq!(tern.metric("tern_replica_links").await, 2000.0);
    assert!(tern.metric("tern_replica_staleness_seconds").await < 5.0);
    tern.follow(&tern.fast, "no-such-code").await;
    tern.follow(&tern.fast, &tern.announced_code.clone().unwrap()).await;
    assert_eq!(tern.metric("tern_redirects_total{outcome=\"not_found\"}").await, 1.0);
    assert_eq!(tern.metric("tern_redirects_total{outcome=\"redirect\"}").await, 1.0);
    let accepted = tern.metric("tern_clicks_accepted_total").await;
    eventually("the click is committed", async || tern.metric("tern_clicks_committed_total").await == accepted).await;
}

/// The health check that container runtimes run.
#[tokio::test]
async fn healthcheck_command_reports_readiness() {
    let server = Tern::start(&[]);
    let check = |ops: &str| {
        let output = run(tern(server.directory.path(), &["healthcheck"]).env("REDIRECTOR_OPS_LISTEN", ops));
        (output.status.code(), text(&output.stderr))
    };
    eventually("it is ready", async || check(&server.ops) == (Some(0), String::new())).await;
    let ops = server.ops.clone();
    let (code, error_output) = check(&server.fast);
    assert!(code == Some(1) && error_output.contains("/ready answered \"HTTP/1.1 404"), "{error_output}");
    let (status, directory) = server.end(nix::sys::signal::Signal::SIGTERM);
    assert!(status.success());
    let gone = run(tern(directory.path(), &["healthcheck"]).env("REDIRECTOR_OPS_LISTEN", &ops));
    assert_eq!(
        (gone.status.code(), text(&gone.stderr)),
        (Some(1), format!("tern: no answer from {ops}: Connection refused (os error 111)\n"))
    );
}

#[tokio::test]
async fn metrics_contain_process_and_version_once_with_help_sentences() {
    let tern = Tern::start(&["--sample"]);
    let of_operators = tern.get(&tern.ops, "/metrics").await.text().await.unwrap();
    let of_api = tern.get(&tern.api, "/metrics").await.text().await.unwrap();
    for text in [of_operators, of_api] {
        for name in [
            "process_cpu_seconds_total",
            "process_resident_memory_bytes",
            "process_virtual_memory_bytes",
            "process_threads",
            "process_open_fds",
            "process_max_fds",
            "process_start_time_seconds",
        ] {
            let values: Vec<f64> = text
                .lines()
                .filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
                .map(|value| value.parse().unwrap())
                .collect();
            assert!(values.len() == 1 && values[0] > 0.0, "{name}: {values:?}");
        }
        let build = format!("tern_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
        assert_eq!(text.lines().filter(|line| **line == build).count(), 1, "{text}");
        for help in text.lines().filter_map(|line| line.strip_prefix("# HELP ")) {
            let (name, sentence) = help.split_once(' ').unwrap();
            let begins_well = sentence.starts_with(|c: char| c.is_uppercase() || c.is_ascii_digit());
            assert!(begins_well && sentence.ends_with('.') && !sentence.contains(",."), "{name}: {sentence}");
        }
    }
}

#[test]
fn start_without_room_for_clicks_warns_on_standard_error() {
    let directory = tempfile::tempdir().unwrap();
    let mut serving = tern(directory.path(), &["serve"]);
    let mut serving =
        serving.env("CLICK_DISK_FLOOR", "1PiB").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(serving.stderr.take().unwrap()).lines();
    let error_output =
        lines.find_map(|line| line.unwrap().strip_prefix("tern: no room to record clicks").map(str::to_owned));
    serving.kill().unwrap();
    serving.wait().unwrap();
    let error_output = error_output.expect("the program prints no such line");
    assert!(
        error_output.contains("the disk of data/clicks has ")
            && error_output.contains("CLICK_DISK_FLOOR reserves 1.0 PiB"),
        "{error_output}"
    );
    let log = fs::read_to_string(directory.path().join("logs/app.log")).unwrap();
    assert!(log.contains("no room to record clicks; they are dropped") && log.contains("CLICK_DISK_FLOOR"), "{log}");
}

#[tokio::test]
async fn metric_help_texts_are_sentences() {
    let tern = Tern::start(&["--sample"]);
    let metrics = tern.get(&tern.api, "/metrics").await.text().await.unwrap();
    let helps: Vec<(&str, &str)> =
        metrics.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' ')).collect();
    assert!(helps.len() > 40, "{metrics}");
    for (name, help) in helps.into_iter().filter(|(name, _)| name.starts_with("tern_")) {
        let begins = help.starts_with(|first: char| first.is_ascii_uppercase() || first.is_ascii_digit());
        assert!(begins && help.ends_with('.') && help.contains(' '), "{name}: {help}");
        assert!(![",.", " .", "  ", "..", "\\n"].iter().any(|slip| help.contains(slip)), "{name}: {help}");
    }
}

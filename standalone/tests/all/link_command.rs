//! The command `tern link` against a running server: in pipes and on a terminal.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use reqwest::Method;
use rqrr::PreparedImage;
use serde_json::{Value, json};

use crate::support::{Tern, eventually, tern, text};

/// Runs `tern link` in a pipe, against a server.
fn link(server: &Tern, arguments: &[&str]) -> Output {
    let mut command = tern(server.directory.path(), &[&["link"], arguments].concat());
    command.env("TERN_URL", format!("http://{}", server.api)).output().unwrap()
}

/// Runs `tern link` in a pipe and returns the lines of its output, if it succeeds.
#[track_caller]
fn lines(server: &Tern, arguments: &[&str]) -> Vec<String> {
    let output = link(server, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout).lines().map(str::to_owned).collect()
}

#[track_caller]
fn json_of(server: &Tern, arguments: &[&str]) -> Value {
    serde_json::from_str(&lines(server, &[arguments, &["--json"]].concat()).join("\n")).unwrap()
}

/// Checks the exit code of a failed command, its empty output, and its sentence.
#[track_caller]
fn check_failure(output: &Output, code: i32, sentence: &str) {
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
    assert!(error.contains(sentence), "{error}");
}

/// Runs `tern link` on a terminal of some columns that receives `input`; returns the exit code and what is shown.
fn on_terminal(server: &Tern, columns: usize, arguments: &str, input: &str) -> (i32, String) {
    let ours = tern(server.directory.path(), &[]);
    let program = ours.get_program().to_str().unwrap().to_owned();
    let mut script = Command::new("/usr/bin/script");
    let command = format!("stty cols {columns} rows 50; exec {program} link {arguments}");
    script.args(["-q", "-e", "-c", &command, "/dev/null"]).current_dir(server.directory.path()).env_clear();
    script.env("SHELL", "/bin/sh").env("TERM", "xterm").env("PATH", "/usr/bin:/bin").env("LANG", "C.UTF-8");
    script.env("TERN_URL", format!("http://{}", server.api));
    let mut script = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    script.stdin.as_mut().unwrap().write_all(input.as_bytes()).unwrap();
    let stdin = script.stdin.take();
    let output = script.wait_with_output().unwrap();
    drop(stdin);
    (output.status.code().unwrap(), text(&output.stdout).replace('\r', ""))
}

fn width(line: &str) -> usize {
    line.chars().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn new_link_is_printed_as_its_short_url_alone() {
    let server = Tern::start(&[]);
    check_failure(&link(&server, &["add", "https://example.com/"]), 65, "has no user");
    let ada = server.create_user("ada").await;
    let printed = lines(&server, &["add", "https://example.com/hello", "--code", "hello"]);
    assert_eq!(printed, [format!("http://{}/hello", server.api)]);
    assert_eq!(server.follow(&server.fast, "hello").await, (302, Some("https://example.com/hello".to_owned())));

    // Each field has an option.
    let row = json_of(
        &server,
        &[
            "add",
            "https://example.com/a",
            "--code=all",
            "--title",
            "Spring sale",
            "--tag",
            "Print",
            "--tag",
            "b",
            "--notes",
            "a\nb",
            "--starts",
            "2020-01-01T00:00:00",
            "--expires",
            "2099-01-31 18:00:00",
            "--expired-url",
            "https://example.com/over",
            "--status",
            "307",
            "--forward-query",
            "--max-clicks",
            "9",
            "--external-id",
            "poster-1",
            "--active",
            "false",
        ],
    );
    let expected = json!({
        "short_code": "all", "original_url": "https://example.com/a", "title": "Spring sale", "tags": ["print", "b"],
        "notes": "a\nb", "starts_at": "2020-01-01T00:00:00", "expires_at": "2099-01-31T18:00:00",
        "expired_url": "https://example.com/over", "redirect_status": 307, "forward_query": true,
        "max_clicks": 9, "clicks_left": 9, "external_id": "poster-1", "is_active": false, "user_id": ada, "state": "inactive",
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&row[field], value, "{field}");
    }
    let ends = json_of(&server, &["add", "https://example.com/", "--expires", "8h"]);
    assert!(ends["expires_at"].is_string(), "{ends}");
    // An existing link is answered if that is asked.
    assert_eq!(lines(&server, &["add", "https://example.com/hello", "--reuse"]), printed);
    // Which of two users owns the link has to be said.
    let eve = server.create_user("eve").await;
    check_failure(&link(&server, &["add", "https://example.com/"]), 65, "--user ID");
    let row = json_of(&server, &["add", "https://example.com/", "--user", &eve.to_string()]);
    assert_eq!(row["user_id"], eve);
}

#[tokio::test(flavor = "multi_thread")]
async fn list_in_a_pipe_has_each_short_url_on_a_line() {
    let server = Tern::start(&[]);
    let ada = server.create_user("ada").await;
    assert_eq!(lines(&server, &["ls"]), [""; 0]);
    assert_eq!(json_of(&server, &["ls"]), json!([]));
    let items: Vec<Value> = (0..250)
        .map(|n| {
            let tags = if n % 2 == 0 { json!(["even"]) } else { json!([]) };
            json!({"user_id": ada, "original_url": format!("https://example.com/{n}"), "short_code": format!("code{n}"),
                   "tags": tags, "title": format!("Link \u{1b}[31m{n}")})
        })
        .collect();
    let client = reqwest::Client::new();
    let created = client.post(format!("http://{}/urls/bulk", server.api)).json(&items).send().await.unwrap();
    assert_eq!(created.status(), 200);
    let url = |n: usize| format!("http://{}/code{n}", server.api);
    assert_eq!(lines(&server, &["ls"]), (0..250).map(url).collect::<Vec<_>>());
    assert_eq!(lines(&server, &["ls", "--limit", "120"]), (0..120).map(url).collect::<Vec<_>>());
    assert_eq!(lines(&server, &["ls", "--sort", "-id", "-m", "2"]), [url(249), url(248)]);
    assert_eq!(lines(&server, &["ls", "--sort=-id"]).len(), 250);
    let even: BTreeSet<String> = lines(&server, &["ls", "--tag", "even"]).into_iter().collect();
    assert_eq!(even, (0..250).step_by(2).map(url).collect());
    assert_eq!(lines(&server, &["ls", "--not-tag", "even", "--never-clicked", "--host", "example.com"]).len(), 125);
    assert_eq!(lines(&server, &["ls", "code24"]).len(), 11);
    assert_eq!(lines(&server, &["ls", "--state", "expired"]), [""; 0]);
    assert_eq!(lines(&server, &["ls", "--created-to", "2020-01-01"]), [""; 0]);
    assert_eq!(lines(&server, &["ls", "--created-from", "2020-01-01", "--user", &ada.to_string()]).len(), 250);
    let rows = json_of(&server, &["ls"]);
    assert_eq!(rows.as_array().unwrap().len(), 250);
    assert_eq!(rows[249]["short_url"], url(249));
    check_failure(&link(&server, &["ls", "--sort", "size"]), 65, "sort");

    // A reader that has enough ends the command quietly.
    let mut head = Command::new("/bin/sh");
    head.args(["-c", "\"$0\" link ls | head -1"])
        .arg(env!("CARGO_BIN_EXE_tern"))
        .env("TERN_URL", format!("http://{}", server.api));
    let head = head.current_dir(server.directory.path()).output().unwrap();
    assert_eq!((text(&head.stdout), text(&head.stderr)), (format!("{}\n", url(0)), String::new()));

    // On a terminal the list is a table that fits.
    for columns in [60, 80, 132] {
        let (code, shown) = on_terminal(&server, columns, "ls", "");
        let shown: Vec<&str> = shown.lines().collect();
        assert_eq!(code, 0);
        assert!(shown[0].starts_with("SHORT URL ") && shown[0].contains("CLICKS"), "{shown:?}");
        assert!(shown[1].starts_with(&url(0)), "{shown:?}");
        assert_eq!(shown.len(), 102, "{shown:?}");
        assert!(shown[101].contains("these are 100 of 250 links"), "{shown:?}");
        for line in &shown[..101] {
            assert!(width(line) <= columns && !line.contains('\u{1b}'), "{columns}: {line:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn link_is_shown_changed_and_deleted_by_its_code_or_short_url() {
    let server = Tern::start(&[]);
    server.create_user("ada").await;
    let url =
        lines(&server, &["add", "https://example.com/", "--code", "one", "--title", "First", "--tag", "a"]).remove(0);
    for name in ["one", &url, &format!("{url}?qr")] {
        assert_eq!(lines(&server, &["show", name]), std::slice::from_ref(&url), "{name}");
    }
    assert_eq!(json_of(&server, &["show", "one"])["title"], "First");
    assert_eq!(
        lines(&server, &["edit", "one", "--title", "", "--add-tag", "b", "--url", "https://example.net/"]),
        std::slice::from_ref(&url)
    );
    let row = json_of(&server, &["show", "one"]);
    assert_eq!(
        (&row["title"], &row["tags"], &row["original_url"]),
        (&json!(null), &json!(["a", "b"]), &json!("https://example.net/"))
    );
    assert_eq!(server.follow(&server.fast, "one").await.1.as_deref(), Some("https://example.net/"));
    let row = json_of(&server, &["edit", "one", "--remove-tag", "a", "--active=false"]);
    assert_eq!((&row["tags"], &row["state"]), (&json!(["b"]), &json!("inactive")));

    let (code, shown) = on_terminal(&server, 80, "show one", "");
    assert_eq!(code, 0);
    assert!(shown.contains("target         https://example.net/\n") && shown.contains("tags           b\n"), "{shown}");

    // A terminal is asked, and nothing but "y" deletes.
    let (code, shown) = on_terminal(&server, 80, "rm one", "n\n");
    assert!(code == 1 && shown.contains("[y/N]") && shown.contains("nothing was deleted"), "{shown}");
    assert_eq!(lines(&server, &["show", "one"]), std::slice::from_ref(&url));
    let (code, shown) = on_terminal(&server, 80, "rm one", "y\n");
    assert!(code == 0 && shown.contains(&format!("Deleted {url}")), "{shown}");
    assert_eq!(server.follow(&server.fast, "one").await.0, 404);

    // An unknown code is found before anything is deleted.
    let urls: Vec<String> =
        ["a1", "a2"].map(|code| lines(&server, &["add", "https://example.com/", "-c", code]).remove(0)).into();
    check_failure(&link(&server, &["rm", "a1", "nope", "a2"]), 66, "no link with the short code 'nope'");
    assert_eq!(lines(&server, &["ls"]), urls);
    assert_eq!(lines(&server, &["rm", "a1", "a2"]), urls);
    assert_eq!(lines(&server, &["ls"]), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn failure_has_an_exit_code_and_the_sentence_of_the_api() {
    let server = Tern::start(&[]);
    server.create_user("ada").await;
    lines(&server, &["add", "https://example.com/", "--code", "one"]);
    for (arguments, code, sentence) in [
        (&["add", "ftp://example.com/"][..], 65, "original_url"),
        (&["add", "https://example.com/", "--code", "a b"], 65, "short_code"),
        (&["add", "https://example.com/", "--code", "one"], 65, "already taken"),
        (&["add", "https://example.com/", "--expires", "soon"], 65, "expires_at"),
        (&["add", "https://example.com/", "--user", "99"], 66, "99"),
        (&["show", "nope"], 66, "no link with the short code 'nope'"),
        (&["edit", "nope", "--title", "x"], 66, "nope"),
        (&["rm", "nope"], 66, "nope"),
        (&["stats", "nope"], 66, "nope"),
        (&["qr", "nope"], 66, "nope"),
        (&["stats", "one", "--timezone", "Mars/Base"], 65, "Mars/Base"),
        (&["qr", "one", "--size", "10"], 65, "size must be an integer from 64 to 2048"),
        (&["qr", "one", "-o", "file.gif"], 65, "--format"),
        (&["add"], 2, "Usage"),
        (&["add", "https://example.com/", "--status", "303"], 2, "possible values"),
        (&["edit", "one", "--tag", "a", "--add-tag", "b"], 2, "cannot be used with"),
    ] {
        check_failure(&link(&server, arguments), code, sentence);
    }
    let at = |url: &str| tern(server.directory.path(), &["link", "ls"]).env("TERN_URL", url).output().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    check_failure(&at(&format!("http://{free}")), 69, "does not answer");
    check_failure(&at("go.example"), 64, "TERN_URL: expected the address of a server");
    // The redirect port is no API.
    check_failure(&at(&format!("http://{}", server.fast)), 66, "Short code 'urls' not found");
    check_failure(&at(&format!("http://{}/docs", server.api)), 66, "No short code has this form");
    let help = lines(&server, &["--help"]).join("\n");
    assert!(
        ["65  refused", "66  not found", "69  unavailable", "77  unauthorised"].iter().all(|code| help.contains(code)),
        "{help}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn token_is_sent_where_the_api_needs_one() {
    let server = Tern::start_with(&[], &[("ADMIN_AUTH", "tokens")]);
    let first = server.directory.path().join("data/admin.token");
    let with = |name: &str, value: &str| {
        let mut command = tern(server.directory.path(), &["link", "ls"]);
        command.env("TERN_URL", format!("http://{}", server.api)).env(name, value).output().unwrap()
    };
    check_failure(&link(&server, &["ls"]), 77, "set TERN_TOKEN");
    check_failure(&with("TERN_TOKEN", "tern_wrong"), 77, "TERN_TOKEN");
    let secret = std::fs::read_to_string(&first).unwrap();
    assert!(with("TERN_TOKEN", secret.trim()).status.success());
    assert!(with("TERN_TOKEN_FILE", first.to_str().unwrap()).status.success());
    // A viewer may not change anything.
    let made = tern(server.directory.path(), &["token", "create", "ci", "--role", "viewer"]).output().unwrap();
    let mut add = tern(server.directory.path(), &["link", "add", "https://example.com/", "--user", "1"]);
    add.env("TERN_URL", format!("http://{}", server.api)).env("TERN_TOKEN", text(&made.stdout).trim());
    check_failure(&add.output().unwrap(), 77, "role");
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_show_people_and_bots_apart() {
    let server = Tern::start(&[]);
    server.create_user("ada").await;
    lines(&server, &["add", "https://example.com/", "--code", "one"]);
    let browser = [("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")];
    for agent in [&browser[..], &browser, &[("user-agent", "curl/8.0")]] {
        assert_eq!(server.send_with(Method::GET, agent, &server.fast, "/one").await.status(), 302);
    }
    eventually("the clicks are stored", async || lines(&server, &["stats", "one"])[2] == "total\t3").await;
    assert_eq!(lines(&server, &["stats", "one"]), ["people\t2", "bots\t1", "total\t3"]);
    assert_eq!(json_of(&server, &["stats", "one"])["browsers"], json!([{"browser": "Firefox", "clicks": 2}]));
    let (code, shown) = on_terminal(&server, 80, "stats one --per week --timezone Europe/Berlin", "");
    assert_eq!(code, 0, "{shown}");
    for part in ["people 2   bots 1   all 3", "by week, Europe/Berlin", "▁▁", "█\n", "at most 2", "Browsers\n  Firefox"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(shown.lines().all(|line| width(line) <= 80), "{shown}");
    let (_, shown) = on_terminal(&server, 80, "stats one --bots", "");
    assert!(shown.contains("at most 3"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn qr_code_is_a_file_in_a_pipe_and_drawn_on_a_terminal() {
    let server = Tern::start(&[]);
    server.create_user("ada").await;
    let url = lines(&server, &["add", "https://example.com/", "--code", "one"]).remove(0);
    let of_api =
        async |query: &str| server.get(&server.api, &format!("/urls/1/qr?{query}")).await.bytes().await.unwrap();
    assert_eq!(link(&server, &["qr", "one"]).stdout, of_api("").await);
    assert_eq!(link(&server, &["qr", "one", "--format", "png", "--track"]).stdout, of_api("format=png&track=1").await);
    let file = server.directory.path().join("code.PNG");
    let options = [
        "-o",
        file.to_str().unwrap(),
        "--size",
        "300",
        "-l",
        "h",
        "--color",
        "#c00",
        "--background",
        "transparent",
        "-m",
        "2",
    ];
    let written = link(&server, &[&["qr", "one"][..], &options].concat());
    assert!(written.status.success() && written.stdout.is_empty(), "{}", text(&written.stderr));
    let expected = of_api("format=png&size=300&level=H&color=c00&background=transparent&margin=2").await;
    assert_eq!(std::fs::read(&file).unwrap(), expected);

    for (arguments, address) in [("qr one", url.clone()), ("qr one --track --level q", format!("{url}?qr"))] {
        let (code, shown) = on_terminal(&server, 60, arguments, "");
        assert_eq!(code, 0, "{shown}");
        assert_eq!(read_drawn(&shown).as_deref(), Some(&*address), "{shown}");
    }
    let (code, shown) = on_terminal(&server, 20, "qr one", "");
    assert!(code == 65 && shown.contains("--output"), "{shown}");
    let (code, shown) = on_terminal(&server, 80, "qr one --format png", "");
    assert!(code == 65 && shown.contains("a terminal shows no image"), "{shown}");
}

/// Reads a code that is drawn with half blocks, as a camera sees it.
fn read_drawn(shown: &str) -> Option<String> {
    let rows: Vec<Vec<char>> = shown
        .lines()
        .filter_map(|line| line.split_once("231m")?.1.split_once("\x1b[0m"))
        .map(|(row, _)| row.chars().collect())
        .collect();
    let width = rows[0].len();
    let is_dark = |x: usize, y: usize| {
        let shape = rows[y / 2][x];
        shape == '█' || shape == if y.is_multiple_of(2) { '▀' } else { '▄' }
    };
    let scale = 8;
    let grey = |x: usize, y: usize| if is_dark(x / scale, y / scale) { 0 } else { 255 };
    let mut image = PreparedImage::prepare_from_greyscale(width * scale, rows.len() * 2 * scale, grey);
    Some(image.detect_grids().first()?.decode().ok()?.1)
}

//! `POST /urls/import` and `DELETE /urls/import`.

use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tern_common::token::{NewToken, Role, Secret};
use tern_common::{Id, Timestamp};

use crate::support::{Answer, App, eventually, spawn_app};

/// An export of a service with a date, which Bitly writes.
const BITLY: &str = "Link,Custom Link,Date created,Title,Destination URL,Engagements,Status
https://bit.ly/one,,2024-03-10T12:15:09+0000,First,https://example.com/one,1200,Active
https://bit.ly/two,,2024-03-11T12:15:09+0000,,https://example.com/two,0,Deleted
https://bit.ly/health,,2024-03-12T12:15:09+0000,,https://example.com/three,7,Active
https://bit.ly/four,,2024-03-12T12:15:09+0000,,ftp://example.com/four,7,Active
";

/// Links of an export of Tern, with a code and a target each.
fn links(links: &[(&str, &str)]) -> String {
    let rows: String = links.iter().map(|(code, target)| format!("1,{code},{target}\n")).collect();
    "user_id,short_code,original_url\n".to_owned() + &rows
}

async fn import_with(app: &App, query: &str, headers: &[(&str, &str)], file: impl Into<Vec<u8>>) -> Answer {
    let form = Form::new().part("file", Part::bytes(file.into()).file_name("links.csv"));
    let request = reqwest::Client::new().post(format!("http://{}/urls/import?{query}", app.address)).multipart(form);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    Answer::read(request.send().await.unwrap()).await
}

async fn import(app: &App, query: &str, file: impl Into<Vec<u8>>) -> Value {
    let answer = import_with(app, query, &[], file).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// An app with one user.
async fn app_with_user() -> App {
    let app = spawn_app().await;
    app.create_user("ann").await;
    app
}

async fn link(app: &App, code: &str) -> Value {
    let found = app.get(&format!("/urls?short_code={code}")).await.json();
    found.as_array().unwrap().first().cloned().unwrap_or(Value::Null)
}

async fn total(app: &App) -> String {
    app.get("/urls?per_page=1").await.header("x-total-count").unwrap().to_owned()
}

fn counts(created: u64, skipped: u64, renamed: u64, overwritten: u64, invalid: u64) -> Value {
    json!({
        "created": created, "skipped": skipped, "renamed": renamed, "overwritten": overwritten, "invalid": invalid,
        "clicks": 0,
    })
}

fn outcomes(answer: &Value) -> Vec<(&str, &str)> {
    let text = |value: &'_ Value| value.as_str().unwrap_or_default().to_owned();
    let rows = answer["rows"].as_array().unwrap();
    rows.iter()
        .map(|row| (row["outcome"].as_str().unwrap(), row["short_code"].as_str().unwrap_or_default()))
        .inspect(|(outcome, _)| assert!(!text(&json!(outcome)).is_empty()))
        .collect()
}

async fn token(app: &App, name: &str, user: Option<i64>) -> String {
    let secret = Secret::generate();
    let token = NewToken {
        name: name.parse().unwrap(),
        role: Role::Editor,
        hash: secret.hash(),
        user_id: user.and_then(Id::new),
        expires_at: None,
    };
    app.store.insert_token(token).await.unwrap();
    secret.reveal().to_owned()
}

#[tokio::test]
async fn imported_links_have_the_values_of_their_rows_and_the_tag_of_the_import() {
    let app = app_with_user().await;
    let answer = import(&app, "", BITLY).await;
    let today = Timestamp::now().to_string();
    let tag = format!("import:bitly-{}", today.split('T').next().unwrap());
    assert_eq!(answer["source"], "bitly");
    assert_eq!((&answer["tag"], &answer["dry_run"]), (&json!(tag), &json!(false)));
    assert_eq!(answer["counts"], counts(2, 0, 0, 0, 2));
    let rows = [("created", "one"), ("created", "two"), ("invalid", "health"), ("invalid", "four")];
    assert_eq!(outcomes(&answer), rows);
    assert!(answer["rows"][2]["reason"].as_str().unwrap().contains("reserved"), "{answer}");
    assert!(answer["rows"][3]["reason"].as_str().unwrap().contains("http"), "{answer}");
    let one = link(&app, "one").await;
    assert_eq!((&one["original_url"], &one["title"]), (&json!("https://example.com/one"), &json!("First")));
    assert_eq!((&one["imported_clicks"], &one["clicks"]), (&json!(1200), &json!(0)));
    assert_eq!((&one["created_at"], &one["tags"]), (&json!("2024-03-10T12:15:09"), &json!([tag])));
    assert_eq!((&one["is_active"], &one["revision"]), (&json!(true), &json!(1)));
    let two = link(&app, "two").await;
    assert_eq!(two["is_active"], false);
    assert!(two["notes"].is_string(), "a link that is switched off says why: {two}");
}

#[tokio::test]
async fn dry_run_answers_the_outcomes_and_writes_nothing() {
    let app = app_with_user().await;
    let tried = import(&app, "dry_run=true", BITLY).await;
    assert_eq!((&tried["dry_run"], &tried["counts"]), (&json!(true), &counts(2, 0, 0, 0, 2)));
    assert_eq!(tried["sample"][0]["short_code"], "one");
    assert_eq!(tried["sample"].as_array().unwrap().len(), 3);
    assert_eq!(total(&app).await, "0");
    let made = import(&app, "", BITLY).await;
    assert_eq!((&made["rows"], &made["tag"]), (&tried["rows"], &tried["tag"]));
    let twice = links(&[("new", "https://example.com/"), ("new", "https://other.example/")]);
    let tried = import(&app, "dry_run=1", twice).await;
    assert_eq!(outcomes(&tried), [("created", "new"), ("skipped", "new")], "an earlier row has the code");
}

#[tokio::test]
async fn second_import_changes_nothing_whatever_happens_to_conflicts() {
    for policy in ["skip", "rename", "overwrite"] {
        let app = app_with_user().await;
        app.post("/urls", json!({ "user_id": 1, "original_url": "https://mine.example/", "short_code": "one" })).await;
        let query = format!("on_conflict={policy}");
        let first = import(&app, &query, BITLY).await;
        let before = app.get("/urls?per_page=100").await.json();
        let second = import(&app, &query, BITLY).await;
        assert_eq!(app.get("/urls?per_page=100").await.json(), before, "{policy}: {first} {second}");
        assert_eq!((&second["tag"], &second["counts"]["created"]), (&Value::Null, &json!(0)), "{second}");
    }
}

#[tokio::test]
async fn row_whose_code_is_taken_is_skipped_renamed_overwritten_or_ends_the_import() {
    let file = links(&[("one", "https://example.com/new"), ("other", "https://example.com/other")]);
    for (policy, expected, target) in [
        ("skip", counts(1, 1, 0, 0, 0), "https://mine.example/"),
        ("rename", counts(1, 0, 1, 0, 0), "https://mine.example/"),
        ("overwrite", counts(1, 0, 0, 1, 0), "https://example.com/new"),
    ] {
        let app = app_with_user().await;
        let mine = json!({ "user_id": 1, "original_url": "https://mine.example/", "short_code": "one" });
        app.post("/urls", mine).await;
        let answer = import(&app, &format!("on_conflict={policy}"), file.clone()).await;
        assert_eq!(answer["counts"], expected, "{policy}");
        assert_eq!(link(&app, "one").await["original_url"], target, "{policy}");
        if policy == "rename" {
            let code = answer["rows"][0]["short_code"].as_str().unwrap().to_owned();
            assert_eq!(link(&app, &code).await["original_url"], "https://example.com/new");
        }
    }
    let app = app_with_user().await;
    app.post("/urls", json!({ "user_id": 1, "original_url": "https://mine.example/", "short_code": "one" })).await;
    import_with(&app, "on_conflict=fail", &[], file).await.check_error(409, "1 rows have codes that are taken");
    assert_eq!(total(&app).await, "1", "nothing at all was imported");
}

#[tokio::test]
async fn refused_or_absent_code_gets_a_new_one_where_that_is_asked_for() {
    let app = app_with_user().await;
    let file = "Destination,Slug,Title\nhttps://example.com/a,no space,A\nhttps://example.com/b,,B\n";
    let map = "from=csv&map=code=Slug,target=Destination,title=Title";
    let answer = import(&app, map, file).await;
    assert_eq!(answer["counts"], counts(1, 0, 0, 0, 1));
    assert!(answer["rows"][0]["reason"].as_str().unwrap().contains("rename"), "{answer}");
    let answer = import(&app, &format!("{map}&on_conflict=rename"), file).await;
    assert_eq!(answer["counts"], counts(0, 1, 1, 0, 0), "{answer}");
    let code = answer["rows"][0]["short_code"].as_str().unwrap();
    assert_eq!((code.len(), &link(&app, code).await["title"]), (6, &json!("A")));
}

#[tokio::test]
async fn value_that_tern_refuses_is_left_out_and_named_in_its_row() {
    let app = app_with_user().await;
    let title = "x".repeat(300);
    let file =
        format!("user_id,short_code,original_url,title,tags\n1,one,https://example.com/,{title},\"good|b,ad\"\n");
    let answer = import(&app, "", file).await;
    let reason = answer["rows"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("the title was cut to 255 characters") && reason.contains("b,ad"), "{reason}");
    let one = link(&app, "one").await;
    assert_eq!(one["title"].as_str().unwrap().len(), 255);
    assert_eq!(one["tags"][0], "good");
    assert_eq!(one["tags"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn full_tags_make_room_for_the_tag_of_the_import() {
    let app = app_with_user().await;
    let tags: Vec<String> = (0..20).map(|n| format!("tag{n:02}")).collect();
    let file = format!("user_id,short_code,original_url,tags\n1,one,https://example.com/,{}\n", tags.join("|"));
    let answer = import(&app, "", file).await;
    assert!(answer["rows"][0]["reason"].as_str().unwrap().contains("tag19"), "{answer}");
    let tags = link(&app, "one").await["tags"].clone();
    assert_eq!((tags.as_array().unwrap().len(), &tags[19]), (20, &answer["tag"]));
}

#[tokio::test]
async fn external_id_of_another_link_is_left_out_and_named() {
    let app = app_with_user().await;
    let mine = json!({ "user_id": 1, "original_url": "https://mine.example/", "external_id": "order-1" });
    app.post("/urls", mine).await;
    let file = "user_id,short_code,original_url,external_id\n1,one,https://example.com/,order-1\n\
                1,two,https://example.com/,order-2\n1,three,https://example.com/,order-2\n";
    let answer = import(&app, "", file).await;
    assert_eq!(answer["counts"], counts(3, 0, 0, 0, 0), "{answer}");
    assert!(answer["rows"][0]["reason"].as_str().unwrap().contains("external id"), "{answer}");
    assert_eq!(link(&app, "one").await["external_id"], Value::Null);
    assert_eq!(link(&app, "two").await["external_id"], "order-2");
    assert_eq!(link(&app, "three").await["external_id"], Value::Null);
}

#[tokio::test]
async fn owner_is_the_named_user_or_the_only_one() {
    let app = spawn_app().await;
    import_with(&app, "", &[], BITLY).await.check_error(400, "create a user first");
    app.create_user("ann").await;
    assert_eq!(import(&app, "", BITLY).await["counts"]["created"], 2);
    assert_eq!(link(&app, "one").await["user_id"], 1);
    app.create_user("ben").await;
    import_with(&app, "", &[], BITLY).await.check_error(400, "user_id is required");
    import_with(&app, "user_id=9", &[], BITLY).await.check_error(404, "User 9 not found");
    let file = links(&[("three", "https://example.com/three")]);
    assert_eq!(import(&app, "user_id=2", file).await["counts"]["created"], 1);
    assert_eq!(link(&app, "three").await["user_id"], 2);
}

#[tokio::test]
async fn token_of_a_user_imports_for_that_user_and_changes_no_other_links() {
    let app = app_with_user().await;
    app.create_user("ben").await;
    app.post("/urls", json!({ "user_id": 1, "original_url": "https://mine.example/", "short_code": "one" })).await;
    let file = links(&[("one", "https://example.com/one"), ("two", "https://example.com/two")]);
    let of_ann = import(&app, "user_id=1", links(&[("anns", "https://example.com/")])).await;
    let bearer = format!("Bearer {}", token(&app, "ben", Some(2)).await);
    eventually(async || (app.get("/urls").await.status == 401).then_some(())).await;
    let headers = [("authorization", bearer.as_str())];
    let answer = import_with(&app, "on_conflict=overwrite", &headers, file).await.json();
    assert_eq!(answer["counts"], counts(1, 1, 0, 0, 0));
    assert!(!answer.to_string().contains("mine.example"), "{answer}");
    import_with(&app, "user_id=1", &headers, BITLY).await.check_error(403, "another user");
    let tag = of_ann["tag"].as_str().unwrap();
    let undone = app.send_with("DELETE", &format!("/urls/import?tag={tag}-2"), &headers).await;
    assert_eq!(undone.json()["deleted"], 1, "{undone:?}");
    let other = app.send_with("DELETE", &format!("/urls/import?tag={tag}"), &headers).await;
    other.check_error(404, "no link has the tag");
    let all = format!("Bearer {}", token(&app, "all", None).await);
    let links = eventually(async || {
        let answer = app.send_with("GET", "/urls", &[("authorization", &all)]).await;
        (answer.status == 200).then(|| answer.json())
    });
    let codes: Vec<Value> = links.await.as_array().unwrap().iter().map(|link| link["short_code"].clone()).collect();
    assert_eq!(codes, ["one", "anns"]);
}

#[tokio::test]
async fn targets_of_sink_become_rules_and_unusable_ones_are_named() {
    let app = app_with_user().await;
    let file = r#"{"version":"1.0","links":[{"url":"https://example.com/hello","slug":"hello","createdAt":1760000000,
        "updatedAt":1760000000,"geo":{"DE":"https://example.com/de","Z9":"https://example.com/nowhere"},
        "apple":"itms-apps://apps.example.com/1","google":"https://play.example.com/1"}]}"#;
    let answer = import(&app, "", file).await;
    assert_eq!(answer["counts"], counts(1, 0, 0, 0, 0), "{answer}");
    let expected = json!([
        { "target": "https://play.example.com/1", "if": [{ "type": "device", "value": "android" }] },
        { "target": "https://example.com/de", "if": [{ "type": "country", "value": "DE" }] },
    ]);
    assert_eq!(link(&app, "hello").await["rules"], expected);
    let reason = answer["rows"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("rule 2 was left out: its target "), "{reason}");
    assert!(reason.contains("rule 4 was left out: if[0].value "), "{reason}");
}

#[tokio::test]
async fn undo_deletes_created_links_and_puts_overwritten_ones_back() {
    let app = app_with_user().await;
    let mine = json!({
        "user_id": 1, "original_url": "https://mine.example/", "short_code": "one", "title": "Mine",
        "tags": ["kept"], "notes": "n", "expires_at": "2099-01-01T00:00:00", "forward_query": true, "max_clicks": 9,
        "rules": [{ "target": "https://app.example/", "if": [{ "type": "device", "value": "ios" }] }],
        "split": [{ "target": "https://a.example/", "weight": 1 }, { "target": "https://b.example/", "weight": 99 }],
    });
    app.post("/urls", mine).await;
    let before = link(&app, "one").await;
    let file =
        "user_id,short_code,original_url,clicks\n1,one,https://example.com/new,7\n1,two,https://example.com/,0\n";
    let answer = import(&app, "on_conflict=overwrite", file).await;
    assert_eq!(answer["counts"], counts(1, 0, 0, 1, 0));
    let changed = link(&app, "one").await;
    assert_eq!((&changed["title"], &changed["imported_clicks"]), (&Value::Null, &json!(7)));
    // Somebody else's later change of a created link does not save it.
    let two = link(&app, "two").await;
    app.put(&format!("/urls/{}", two["id"]), json!({ "title": "later" })).await;
    let tag = answer["tag"].as_str().unwrap();
    let path = format!("/urls/import?tag={tag}");
    app.delete(&format!("{path}&expect=3")).await.check_error(409, "2 links have the tag and not 3");
    assert_eq!(total(&app).await, "2");
    let undone = app.delete(&format!("{path}&expect=2")).await;
    assert_eq!(undone.json(), json!({ "deleted": 1, "restored": 1, "kept": [] }));
    assert!(undone.header("tern-visible").is_some());
    let after = link(&app, "one").await;
    for name in before.as_object().unwrap().keys().filter(|name| !["revision", "updated_at"].contains(&name.as_str())) {
        assert_eq!(after[name], before[name], "{name}");
    }
    assert_eq!(total(&app).await, "1");
    app.delete(&path).await.check_error(404, "no link has the tag");
    app.delete("/urls/import?tag=kept").await.check_error(400, "is no tag of an import");
    app.delete("/urls/import").await.check_error(400, "tag");
    assert_eq!(link(&app, "one").await["tags"], json!(["kept"]));
}

#[tokio::test]
async fn tags_of_imports_of_one_day_carry_a_running_number() {
    let app = app_with_user().await;
    let tags = [
        import(&app, "", links(&[("a", "https://example.com/")])).await["tag"].clone(),
        import(&app, "", links(&[("b", "https://example.com/")])).await["tag"].clone(),
        import(&app, "", links(&[("c", "https://example.com/")])).await["tag"].clone(),
    ];
    let first = tags[0].as_str().unwrap();
    assert_eq!(tags, [json!(first), json!(format!("{first}-2")), json!(format!("{first}-3"))]);
}

#[tokio::test]
async fn lines_for_all_rows_are_sent_to_a_client_that_accepts_them() {
    let app = app_with_user().await;
    let rows: Vec<(String, String)> =
        (0..12_000).map(|n| (format!("code{n}"), format!("https://example.com/{n}"))).collect();
    let rows: Vec<(&str, &str)> = rows.iter().map(|(code, target)| (code.as_str(), target.as_str())).collect();
    let answer = import_with(&app, "", &[("accept", "application/x-ndjson")], links(&rows)).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/x-ndjson")));
    let lines: Vec<Value> = answer.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 12_000);
    assert_eq!(lines[0]["outcome"], "created");
    assert_eq!(total(&app).await, "12000");
    let again = import(&app, "", links(&rows)).await;
    assert_eq!(again["counts"], counts(0, 12_000, 0, 0, 0));
    assert_eq!(again["rows"].as_array().unwrap().len(), 1000, "JSON has the first rows");
}

#[tokio::test]
async fn faulty_request_is_refused_with_the_option_or_the_fault_of_its_file() {
    let app = app_with_user().await;
    let check = async |query: &str, file: &str, message: &str| {
        import_with(&app, query, &[], file).await.check_error(400, message);
    };
    check("from=myspace", BITLY, "from must be one of").await;
    check("timezone=Mars/Base", BITLY, "timezone").await;
    check("map=code", BITLY, "map").await;
    check("on_conflict=shout", BITLY, "on_conflict").await;
    check("dry_run=maybe", BITLY, "dry_run").await;
    check("", "colour,taste\nred,sweet\n", "colour").await;
    check("", "", "").await;
    check("", &format!("{BITLY}https://bit.ly/five,\"unclosed\n"), "line 6").await;
    let plain = app.send("POST", "/urls/import", Some("text/csv"), BITLY).await;
    plain.check_error(400, "multipart/form-data");
    let form = Form::new().text("file_name", "links.csv");
    let request = reqwest::Client::new().post(format!("http://{}/urls/import", app.address)).multipart(form);
    Answer::read(request.send().await.unwrap()).await.check_error(400, "A part named file is required");
}

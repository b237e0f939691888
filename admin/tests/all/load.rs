//! The `load` command: files, their kinds and their errors.

use serde_json::{Value, json};
use tern_admin::AdminConfig;
use tern_admin::load::{LoadCommand, OnError};
use tern_common::OwnAddresses;
use tern_common::config::Setting;

use crate::support::{App, Setup, spawn_app, spawn_app_with};

const USERS: &str = "id,username,email,created_at
7,ann,ann@mail.example,2024-03-10 12:15:09
9,bob,bob@mail.example,2025-04-06 19:45:22
";
const URLS: &str = "id,user_id,short_code,original_url,title,is_active,created_at,updated_at
1,7,YUrtmo,https://example.com/dawn,Notes,True,2025-05-22 05:19:55,2025-11-23 20:47:39
5,9,Xn7LQo,https://example.com/ember,,False,2025-04-15 01:48:04,2025-11-04 00:48:17
";
const EVENTS: &str = "id,url_id,user_id,event_type,timestamp,details
1,1,7,created,2025-05-22 05:19:55,\"{\"\"short_code\"\":\"\"YUrtmo\"\"}\"
3,5,7,deleted,2025-05-22 05:19:55,
";
const PRODUCTS: &str = "id,name,category,price,stock\n4,Tea,Drinks,3.5,12\n";

async fn app_with_loaded_rows() -> App {
    let app = spawn_app().await;
    app.load(&[("users.csv", USERS), ("urls.csv", URLS)]).await.unwrap();
    app
}

#[tokio::test]
async fn files_are_recognised_by_header_and_loaded() {
    let app = spawn_app().await;
    let files = [("u.csv", USERS), ("l.csv", URLS), ("e.csv", EVENTS), ("p.csv", PRODUCTS)];
    assert_eq!(
        app.load(&files).await.unwrap(),
        "Loaded 2 rows into User from u.csv\nLoaded 2 rows into Url from l.csv\n\
         Loaded 2 rows into Event from e.csv\nLoaded 1 rows into Product from p.csv\n"
    );
    assert_eq!(
        app.get("/users/7").await.json(),
        json!({ "id": 7, "username": "ann", "email": "ann@mail.example", "created_at": "2024-03-10T12:15:09" })
    );
    assert_eq!(
        app.get("/urls/5").await.json(),
        json!({
            "id": 5, "user_id": 9, "short_code": "Xn7LQo", "original_url": "https://example.com/ember",
            "title": null, "is_active": false, "starts_at": null, "expires_at": null,
            "expired_url": null, "redirect_status": null, "forward_query": null, "max_clicks": null, "clicks_left": null, "rules": [], "split": [], "tags": [], "notes": null, "external_id": null,
            "short_url": format!("http://{}/Xn7LQo", app.address), "state": "inactive",
            "revision": 1, "clicks": 0, "last_clicked_at": null, "imported_clicks": 0,
            "created_at": "2025-04-15T01:48:04", "updated_at": "2025-11-04T00:48:17",
        })
    );
    assert_eq!(app.get("/events/1").await.json()["details"], json!({ "short_code": "YUrtmo" }));
    assert_eq!(app.get("/events/3").await.json()["details"], json!({}), "the properties are not an object");
    assert_eq!(app.get("/urls?is_active=true").await.header("x-total-count"), Some("1"));
    assert_eq!(app.get("/products").await.json()[0]["id"], 4);

    let user = app.create_user("cid").await;
    assert_eq!(user["id"], 10, "a new id is not above the loaded ones");
    assert_eq!(app.shorten(&user, "https://example.com/").await["id"], 6);
    assert_eq!(app.get("/events?url_id=6").await.ids(), [4]);
}

#[tokio::test]
async fn second_load_reports_existing_rows_and_changes_nothing() {
    let app = spawn_app().await;
    let files = [("users.csv", USERS), ("urls.csv", URLS), ("events.csv", EVENTS), ("products.csv", PRODUCTS)];
    app.load(&files).await.unwrap();
    let before = app.get("/users").await.json();
    assert_eq!(
        app.load(&files).await.unwrap(),
        "Loaded 0 rows into User from users.csv: all 2 are there already\n\
         Loaded 0 rows into Url from urls.csv: all 2 are there already\n\
         Loaded 0 rows into Event from events.csv: all 2 are there already\n\
         Loaded 0 rows into Product from products.csv: all 1 are there already\n"
    );
    assert_eq!(app.get("/users").await.json(), before);
}

#[tokio::test]
async fn file_with_faulty_row_is_loaded_not_at_all() {
    let app = spawn_app().await;
    let mut users: String = (1..=2500).map(|n| format!("user{n},user{n}@mail.example\n")).collect();
    users.insert_str(0, "username,email\n");
    users.push_str("bad,nonsense\n");
    let error = app.load(&[("some users.csv", &users)]).await.unwrap_err();
    assert_eq!(error, "some users.csv: line 2502: email must look like name@example.com");
    assert_eq!(app.get("/users").await.json(), json!([]));

    let twice = format!("{USERS}11,ann,else@mail.example,\n");
    let error = app.load(&[("users.csv", USERS), ("twice.csv", &twice)]).await.unwrap_err();
    assert!(error.starts_with("twice.csv: line 4: ") || error.starts_with("twice.csv: line 2: "), "{error}");
    assert_eq!(app.get("/users").await.header("x-total-count"), Some("2"), "rows of the file before it were removed");
}

#[tokio::test]
async fn faulty_row_is_reported_with_its_line() {
    let app = app_with_loaded_rows().await;
    let check = async |text: &str, expected: &str| {
        let error = app.load(&[("x.csv", text)]).await.unwrap_err();
        assert!(error.starts_with("x.csv: "), "{error}");
        assert!(error.contains(expected), "{text:?}: {error:?} and not {expected:?}");
    };
    check("username,email\ncid\n", "line 2: the row has 1 fields and not 2").await;
    check("username,email\r\ncid,cid@mail.example\r\n,x@y.z\r\n", "line 3: username").await;
    check("username,email,x\ncid,c@y.z,\"a\nb\nc\"\n,x@y.z,\n", "line 5: username").await;
    check("\u{feff}username,email\n\n\n,x@y.z\n", "line 4: username").await;
    check("id,username,email\n9007199254740992,cid,c@y.z\n", "line 2: id must be").await;
    check("id,username,email\n4503599627370497,cid,c@y.z\n", "line 2: id must be").await;
    let too_far = "line 2: id 4294967306 is more than 4294967296 beyond the largest id so far, 9";
    check("id,username,email\n4294967306,cid,c@y.z\n", too_far).await;
    check("username,email\ncid,\"c@y.z\ndan,d@y.z\n", "line 2: the quote opened in line 2 is never closed").await;
    check("id,username,email\n0,cid,c@y.z\n", "line 2: id must be").await;
    check("username,email,created_at\ncid,c@y.z,now\n", "line 2: created_at").await;

    let url = |user: &str, code: &str, target: &str, active: &str| {
        format!("user_id,short_code,original_url,is_active\n{user},{code},{target},{active}\n")
    };
    check(&url("7", "health", "https://e.example/", "1"), "line 2: this short code is reserved").await;
    check(&url("7", "a b", "https://e.example/", "1"), "line 2: a short code has only").await;
    check(&url("7", "", "https://e.example/", "1"), "line 2: a short code has").await;
    check(&url("7", "abc", "ftp://e.example/", "1"), "line 2: original_url").await;
    check(&url("7", "abc", "https://e.example/", "maybe"), "line 2: is_active").await;
    check(&url("7", "abc", "https://e.example/", ""), "line 2: is_active").await;
    check(&url("x", "abc", "https://e.example/", "1"), "line 2: user_id").await;
    check(&url("99", "abc", "https://e.example/", "1"), "line 2: User 99 not found").await;
    check(&url("7", "YUrtmo", "https://e.example/", "1"), "line 2: ").await;

    let event =
        |url: &str, kind: &str, details: &str| format!("event_type,url_id,user_id,details\n{kind},{url},7,{details}\n");
    check(&event("1", "", "{}"), "line 2: event_type").await;
    check(&event("0", "x", "{}"), "line 2: url_id").await;
    check(&event("99", "x", "{}"), "line 2: URL 99 not found").await;
    check(&event("1", "x", "[]"), "line 2: details").await;
    check(&event("1", "x", &format!("\"{{\"\"a\"\":{}{}}}\"", "[".repeat(31), "]".repeat(31))), "at most 31 deep")
        .await;

    let product =
        |name: &str, price: &str, stock: &str| format!("name,category,price,stock\n{name},Drinks,{price},{stock}\n");
    check(&product("", "1", "1"), "line 2: name").await;
    check(&product("Tea", "1.234", "1"), "line 2: price").await;
    check(&product("Tea", "1", "many"), "line 2: stock").await;
    check(&product("Tea", "1", "-1"), "line 2: stock").await;
}

/// Links loaded afterwards would belong to the wrong users.
#[tokio::test]
async fn file_with_ids_of_other_rows_is_refused() {
    let app = app_with_loaded_rows().await;
    let check = async |text: &str, expected: &str| {
        assert_eq!(app.load(&[("x.csv", text)]).await.unwrap_err(), expected, "{text:?}");
    };
    let users = "id,username,email\n7,someone-else,else@mail.example\n9,another-one,another@mail.example\n";
    check(users, "x.csv: line 2: id 7 belongs to another user: ann").await;
    let urls =
        "id,user_id,short_code,original_url\n1,7,YUrtmo,https://example.com/dawn\n5,9,other1,https://e.example/\n";
    check(urls, "x.csv: line 3: id 5 belongs to another link: Xn7LQo").await;
    app.load(&[("events.csv", EVENTS), ("products.csv", PRODUCTS)]).await.unwrap();
    let event = "id,event_type,url_id,user_id,timestamp\n3,imported,1,7,2020-01-01T00:00:00\n";
    check(event, "x.csv: line 2: id 3 belongs to another event: deleted of link 5").await;
    let product = "id,name,category,price,stock\n4,Coffee,Drinks,3.5,12\n";
    check(product, "x.csv: line 2: id 4 belongs to another product: Tea").await;
    check(
        "name,category,price,stock\nPen,Office,1.00,5\nPen,Office,1.00,5\n",
        "x.csv: line 3: this row repeats line 2 of this file",
    )
    .await;
}

#[tokio::test]
async fn events_without_ids_and_times_are_loaded_once() {
    let app = app_with_loaded_rows().await;
    let events = [("e.csv", "event_type,url_id,user_id,details\nshared,1,7,{}\n")];
    assert_eq!(app.load(&events).await.unwrap(), "Loaded 1 rows into Event from e.csv\n");
    assert_eq!(app.load(&events).await.unwrap(), "Loaded 0 rows into Event from e.csv: all 1 are there already\n");
}

#[tokio::test]
async fn file_of_unknown_kind_is_refused() {
    let app = spawn_app().await;
    let check = async |text: &str, expected: &str| {
        assert_eq!(app.load(&[("x.csv", text)]).await.unwrap_err(), expected, "{text:?}");
    };
    check("", "x.csv: is empty").await;
    let needs = "which fit no kind of rows: User rows need username, email; \
                 Url rows need short_code, user_id, original_url; Event rows need event_type, url_id, user_id; \
                 Product rows need name, category, price, stock";
    check("a,b\n1,2\n", &format!("x.csv: has the columns a, b, {needs}")).await;
    check("name,email\nann,a@y.z\n", &format!("x.csv: has the columns name, email, {needs}")).await;
    check(
        "name,price\nTea,1\n",
        "x.csv: taken for a file of Product rows, lacks the column category, stock; it has name, price",
    )
    .await;
    check("username,id\nann,1\n", "x.csv: taken for a file of User rows, lacks the column email; it has username, id")
        .await;
    check(
        "short_code\nabc\n",
        "x.csv: taken for a file of Url rows, lacks the column user_id, original_url; it has short_code",
    )
    .await;
    check(
        "username,email,email\nann,a@y.z,b@y.z\n",
        "x.csv: has the column email twice, in places 2 and 3 of its header",
    )
    .await;
    let files = vec![app.log_file.with_file_name("nowhere.csv")];
    let error = app.run_load(&LoadCommand { files, on_error: OnError::Fail }).await.unwrap_err();
    assert!(error.starts_with("nowhere.csv: cannot be read: "), "{error}");
}

#[tokio::test]
async fn is_active_in_several_spellings_is_loaded() {
    let app = app_with_loaded_rows().await;
    let states = ["True", "False", "true", "false", "1", "0", "TRUE", "FALSE", "t", "f", "yes", "no"];
    let rows: String =
        states.iter().enumerate().map(|(n, state)| format!("7,code{n},https://e.example/,{state}\n")).collect();
    app.load(&[("urls.csv", &format!("user_id,short_code,original_url,is_active\n{rows}"))]).await.unwrap();
    app.load(&[("more.csv", "user_id,short_code,original_url\n7,code99,https://e.example/\n")]).await.unwrap();
    let listed = app.get("/urls?per_page=100").await.json();
    let active: Vec<&Value> = listed.as_array().unwrap()[2..].iter().map(|url| &url["is_active"]).collect();
    let expected = (0..states.len()).map(|n| n % 2 == 0).chain([true]).map(Value::from);
    assert!(active.into_iter().eq(&expected.collect::<Vec<_>>()), "{listed}");
}

/// Samples of spreadsheets from several countries and systems.
#[tokio::test]
async fn spreadsheet_files_are_loaded() {
    let app = spawn_app().await;
    let check = async |name: &str, text: &str| {
        let expected = format!("Loaded 1 rows into User from {name}\n");
        assert_eq!(app.load(&[(name, text)]).await.unwrap(), expected, "{text:?}");
    };
    check("semicolons.csv", "\u{feff}id;username;email\r\n7;ann;ann@mail.example\r\n").await;
    check("tabs.csv", "username\temail\nbob\tbob@mail.example\n").await;
    check("cr.csv", "username,email\rcid,cid@mail.example\r").await;
    check("commas.csv", "username,email\ndan,dan@mail.example\n,\n,\n").await;
    let urls = "short_code;user_id;original_url;is_active;created_at\r\nxlTRUE;7;https://e.example/;TRUE;2025-01-01 10:00\r\n\
                xlFALSE;7;https://e.example/;FALSE;\r\n;;;;\r\n";
    assert_eq!(app.load(&[("urls.csv", urls)]).await.unwrap(), "Loaded 2 rows into Url from urls.csv\n");
    let utf_16: Vec<u8> = "\u{feff}username\temail\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let error = app.load(&[("unicode.txt", utf_16)]).await.unwrap_err();
    assert!(error.starts_with("unicode.txt: is in UTF-16") && error.contains("iconv"), "{error}");
}

#[tokio::test]
async fn row_with_target_at_own_address_is_refused_with_its_line() {
    let own_addresses = OwnAddresses::parse("https://go.example").unwrap();
    let config = AdminConfig { own_addresses, ..AdminConfig::default() };
    let app = spawn_app_with(Setup { config, ..Setup::default() }).await;
    app.create_user("ann").await;
    let rows =
        |target: &str| format!("user_id,short_code,original_url\n1,CODE12,https://a.example/\n1,LOOP12,{target}\n");
    let refused = app.load(&[("urls.csv", &rows("http://GO.example./CODE12"))]).await.unwrap_err();
    assert_eq!(
        refused,
        "urls.csv: line 3: original_url points at this Tern itself (go.example.:80); a short link cannot lead to another"
    );
    assert_eq!(app.get("/urls").await.header("x-total-count"), Some("0"));
    app.load(&[("urls.csv", &rows("https://elsewhere.example/CODE12"))]).await.unwrap();
}

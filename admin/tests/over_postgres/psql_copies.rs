//! Tables of another system, as `\copy ... csv` of psql writes them.

use serde_json::json;
use tern_testkit::postgres::Postgres;

use crate::support::spawn_app;

/// Tables whose times have fractions, with and without zones, and NULL wherever it is allowed.
const TABLES: &str = r#"
    CREATE TABLE "user" (id serial PRIMARY KEY, username varchar(255) NOT NULL, email varchar(255) NOT NULL,
        created_at timestamp NOT NULL);
    CREATE TABLE url (id serial PRIMARY KEY, user_id integer NOT NULL, short_code varchar(10) NOT NULL,
        original_url text NOT NULL, title varchar(255), is_active boolean NOT NULL, created_at timestamptz NOT NULL,
        updated_at timestamptz);
    CREATE TABLE event (id serial PRIMARY KEY, url_id integer NOT NULL, user_id integer NOT NULL,
        event_type varchar(50) NOT NULL, "timestamp" timestamp NOT NULL, details text);
    CREATE TABLE event_json (LIKE event INCLUDING ALL);
    ALTER TABLE event_json ALTER details TYPE jsonb USING details::jsonb;
    CREATE TABLE product (id serial PRIMARY KEY, name varchar(255) NOT NULL, category varchar(255) NOT NULL,
        price numeric(10, 5) NOT NULL, stock integer NOT NULL);
    INSERT INTO "user" VALUES (7, 'ann', 'ann@mail.example', '2025-01-01 10:00:00.123456'),
        (9, 'quote " and, comma', 'bob@mail.example', '2025-01-01 10:00:00');
    SET timezone = 'Europe/Berlin';
    INSERT INTO url VALUES (1, 7, 'YUrtmo', 'https://example.com/?a=1,2', 'Notes', true,
            '2025-07-01 12:00:00.999999+02', '2025-12-01 12:00:00+00'),
        (5, 9, 'Xn7LQo', 'https://example.com/', NULL, false, '2025-01-01 00:30:00+01', NULL);
    INSERT INTO event VALUES (1, 1, 7, 'created', '2025-05-22 05:19:55.5', '{"short_code": "YUrtmo", "n": 1.10}'),
        (2, 5, 9, 'clicked', '2025-05-22 05:19:55', NULL);
    INSERT INTO event_json VALUES (3, 1, 7, 'shared', '2025-05-22 05:19:55', '{"to": ["a", "b"], "line": "1\n2"}'),
        (4, 5, 9, 'clicked', '2025-05-22 05:19:55', NULL);
    INSERT INTO product VALUES (4, 'Tea', 'Drinks', 19.9, 12);
"#;

#[tokio::test]
async fn tables_copied_by_psql_from_another_system_are_loaded() {
    let server = Postgres::shared();
    let url = server.create_database();
    let database = url.rsplit('/').next().unwrap();
    server.psql(database, TABLES);
    // The client's time zone shows in columns with a zone.
    server.psql(database, &format!("ALTER DATABASE {database} SET timezone = 'Europe/Berlin'"));
    let copy = |table: &str| server.psql(database, &format!("\\copy {table} TO STDOUT CSV HEADER"));
    let files = [
        ("user.csv", copy("\"user\"")),
        ("url.csv", copy("url")),
        ("event.csv", copy("event")),
        ("event_json.csv", copy("event_json")),
        ("product.csv", copy("product")),
    ];
    assert!(files[1].1.contains(",t,2025-07-01 12:00:00.999999+02,2025-12-01 13:00:00+01\n"), "{}", files[1].1);
    let app = spawn_app().await;
    let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
    assert_eq!(
        app.load(&files).await.unwrap(),
        "Loaded 2 rows into User from user.csv\nLoaded 2 rows into Url from url.csv\n\
         Loaded 2 rows into Event from event.csv\nLoaded 2 rows into Event from event_json.csv\n\
         Loaded 1 rows into Product from product.csv\n"
    );
    assert_eq!(
        app.get("/users").await.json(),
        json!([
            { "id": 7, "username": "ann", "email": "ann@mail.example", "created_at": "2025-01-01T10:00:00" },
            { "id": 9, "username": "quote \" and, comma", "email": "bob@mail.example", "created_at": "2025-01-01T10:00:00" },
        ])
    );
    let short_url = |code: &str| format!("http://{}/{code}", app.address);
    assert_eq!(
        app.get("/urls").await.json(),
        json!([
            {
                "id": 1, "user_id": 7, "short_code": "YUrtmo", "original_url": "https://example.com/?a=1,2",
                "title": "Notes", "is_active": true, "starts_at": null, "expires_at": null,
                "expired_url": null, "redirect_status": null, "forward_query": null, "max_clicks": null, "clicks_left": null, "rules": [], "split": [],
                "tags": [], "notes": null, "external_id": null, "revision": 1, "clicks": 0, "last_clicked_at": null, "imported_clicks": 0,
                "short_url": short_url("YUrtmo"), "state": "active",
                "created_at": "2025-07-01T10:00:00", "updated_at": "2025-12-01T12:00:00",
            },
            {
                "id": 5, "user_id": 9, "short_code": "Xn7LQo", "original_url": "https://example.com/",
                "title": null, "is_active": false, "starts_at": null, "expires_at": null,
                "expired_url": null, "redirect_status": null, "forward_query": null, "max_clicks": null, "clicks_left": null, "rules": [], "split": [],
                "tags": [], "notes": null, "external_id": null, "revision": 1, "clicks": 2, "last_clicked_at": "2025-05-22T05:19:55", "imported_clicks": 0,
                "short_url": short_url("Xn7LQo"), "state": "inactive",
                "created_at": "2024-12-31T23:30:00", "updated_at": "2024-12-31T23:30:00",
            },
        ])
    );
    let events = app.get("/events").await.json();
    let details: Vec<_> = events.as_array().unwrap().iter().map(|event| &event["details"]).collect();
    assert_eq!(details[0], &json!({ "short_code": "YUrtmo", "n": 1.10 }));
    assert_eq!(details[2], &json!({ "to": ["a", "b"], "line": "1\n2" }));
    assert_eq!((details[1], details[3]), (&json!({}), &json!({})), "NULL is not read as the empty object");
    assert_eq!(events[0]["timestamp"], "2025-05-22T05:19:55");
    let uploaded = spawn_app().await.upload(files[0].1).await.json();
    assert_eq!((&uploaded["imported"], &uploaded["failed"]), (&json!(2), &json!(0)), "{uploaded}");
}

//! Changes through the API are served by the time they are answered.

use serde_json::json;

use crate::support::Tern;

#[tokio::test]
async fn changed_links_are_never_answered_stale() {
    let tern = Tern::start(&[]);
    let owner = tern.create_user("ada").await;
    for n in 0..1_000 {
        let target = format!("https://example.com/{n}");
        let link = tern.create_link(owner, &target).await;
        let code = link["short_code"].as_str().unwrap();
        let check = async |expected: (u16, Option<&str>)| {
            for address in [&tern.api, &tern.fast] {
                let (status, location) = tern.follow(address, code).await;
                assert_eq!((status, location.as_deref()), expected, "round {n}");
            }
        };
        check((302, Some(&target))).await;
        let changed = tern.change_link(&link["id"], json!({"is_active": false})).await;
        assert_eq!((changed.status().as_u16(), &changed.headers()["tern-visible"]), (200, &"1/1".parse().unwrap()));
        check((410, None)).await;
        let deleted = tern.delete_link(&link["id"]).await;
        assert_eq!((deleted.status().as_u16(), &deleted.headers()["tern-visible"]), (204, &"1/1".parse().unwrap()));
        check((404, None)).await;
    }
}

#[tokio::test]
async fn new_target_and_cascading_deletion_are_served_at_once() {
    let tern = Tern::start(&[]);
    let owner = tern.create_user("ada").await;
    let link = tern.create_link(owner, "https://example.com/old").await;
    let code = link["short_code"].as_str().unwrap();
    let change = json!({"original_url": "https://example.com/new", "title": "New"});
    assert_eq!(tern.change_link(&link["id"], change).await.status(), 200);
    assert_eq!(tern.follow(&tern.fast, code).await, (302, Some("https://example.com/new".to_owned())));
    let deleted = tern.send(reqwest::Method::DELETE, &tern.api, &format!("/users/{owner}?cascade=true")).await;
    assert_eq!(deleted.status(), 204);
    assert_eq!(tern.follow(&tern.fast, code).await.0, 404);
}

/// A change by another process reaches the map by polling.
#[tokio::test]
async fn change_by_direct_sql_is_served_soon() {
    let tern = Tern::start(&["--sample"]);
    let code = tern.announced_code.clone().unwrap();
    let database = rusqlite::Connection::open(tern.directory.path().join("data/tern.db")).unwrap();
    database.execute("UPDATE urls SET is_active = 0 WHERE short_code = ?1", [&code]).unwrap();
    crate::support::eventually("the link is gone", async || tern.follow(&tern.fast, &code).await.0 == 410).await;
    // A row written by direct SQL that cannot be served is rejected, and the link's previous state stays.
    database.execute("UPDATE urls SET is_active = 1 WHERE short_code = ?1", [&code]).unwrap();
    crate::support::eventually("the link is back", async || tern.follow(&tern.fast, &code).await.0 == 302).await;
    database.execute("UPDATE urls SET original_url = 'javascript:alert(1)' WHERE short_code = ?1", [&code]).unwrap();
    let rejected = "tern_replica_rejected_rows_total";
    crate::support::eventually("the row is refused", async || tern.metric(rejected).await >= 1.0).await;
    assert!(tern.follow(&tern.fast, &code).await.1.unwrap().starts_with("https://"));
}

/// Rows that cannot be served cost themselves, and not the map.
#[tokio::test]
async fn unservable_rows_affect_no_other_link() {
    let tern = Tern::start(&["--sample"]);
    let code = tern.announced_code.clone().unwrap();
    let database = rusqlite::Connection::open(tern.directory.path().join("data/tern.db")).unwrap();
    database
        .execute_batch(
            "PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON;
             INSERT INTO urls (id, user_id, short_code, original_url, title, is_active, created_at, updated_at)
                     VALUES (5000, 0, 'poison', 'https://example.com/', NULL, 1, 0, 0);
             INSERT INTO urls (id, user_id, short_code, original_url, title, is_active, created_at, updated_at)
                     VALUES (5001, 1, CAST(x'ff' AS TEXT), 'https://example.com/', NULL, 1, 0, 0);
             INSERT INTO urls (id, user_id, short_code, original_url, title, is_active, created_at, updated_at)
                     VALUES (5002, 1, 'poison2', CAST(x'ff' AS TEXT), NULL, 1, 0, 0);",
        )
        .unwrap();
    let link = tern.create_link(1, "https://example.com/after").await;
    let after = link["short_code"].as_str().unwrap();
    assert_eq!(tern.follow(&tern.fast, after).await.0, 302);
    assert_eq!(tern.metric("tern_replica_rejected_rows_total").await, 3.0);
    let (_, directory) = tern.end(nix::sys::signal::Signal::SIGTERM);
    let tern = Tern::start_in(directory, &["--sample"], &[]);
    assert_eq!(tern.follow(&tern.fast, &code).await.0, 302);
    assert_eq!(tern.follow(&tern.fast, "poison").await.0, 404);
}

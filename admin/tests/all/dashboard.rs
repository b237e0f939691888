//! The page of the dashboard and its files, as browsers and caches see them.

use crate::support::{App, spawn_app};

/// Returns the address of a file that the page names.
async fn file(app: &App, name: &str) -> String {
    let page = app.get("/admin/").await.body;
    let addresses = page.split('"').filter(|part| part.starts_with("/admin/assets/"));
    addresses.into_iter().find(|address| address.ends_with(&format!("/{name}"))).unwrap().to_owned()
}

#[tokio::test]
async fn page_has_a_strict_policy_and_is_asked_for_again() {
    let app = spawn_app().await;
    for path in ["/admin", "/admin/", "/admin/links", "/admin/links/7", "/admin/tokens"] {
        let page = app.get(path).await;
        assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")), "{path}");
        let policy = page.header("content-security-policy").unwrap();
        let directives: Vec<&str> = policy.split("; ").collect();
        for directive in [
            "default-src 'none'",
            "script-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ] {
            assert!(directives.contains(&directive), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{path}: {policy}");
        for (name, value) in [
            ("cache-control", "no-cache"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("vary", "accept-encoding"),
        ] {
            assert_eq!(page.header(name), Some(value), "{path}: {name}");
        }
        // The only inline part is the style sheet, whose hash the policy has.
        assert!(!page.body.contains("style=") && !page.body.contains(" on") && !page.body.contains("<script>"));
        assert_eq!(page.body.matches("<style>").count(), 1);
        assert!(!page.body.contains("//"), "the page names another host");
    }
}

#[tokio::test]
async fn unchanged_page_is_not_sent_again() {
    let app = spawn_app().await;
    let etag = app.get("/admin/").await.header("etag").unwrap().to_owned();
    let again = app.send_with("GET", "/admin/", &[("if-none-match", &etag)]).await;
    assert_eq!((again.status, again.body.as_str(), again.header("etag")), (304, "", Some(etag.as_str())));
    assert_eq!((again.header("cache-control"), again.header("content-type").is_some()), (Some("no-cache"), true));
    assert!(again.header("content-security-policy").is_some());
    assert_eq!(app.send_with("GET", "/admin/", &[("if-none-match", "\"other\"")]).await.status, 200);
}

#[tokio::test]
async fn files_are_stored_for_ever_under_their_version_alone() {
    let app = spawn_app().await;
    for (name, kind) in [("app.js", "text/javascript; charset=utf-8"), ("icon.svg", "image/svg+xml")] {
        let address = file(&app, name).await;
        let sent = app.get(&address).await;
        assert_eq!((sent.status, sent.header("content-type")), (200, Some(kind)));
        assert_eq!(sent.header("cache-control"), Some("public, max-age=31536000, immutable"));
        assert_eq!(
            (sent.header("x-content-type-options"), sent.header("vary")),
            (Some("nosniff"), Some("accept-encoding"))
        );
        // Another process of another version may have sent the page.
        let other = app.get(&format!("/admin/assets/other/{name}")).await;
        assert_eq!((other.status, other.header("cache-control")), (200, Some("no-store")));
    }
    for path in
        ["/admin/assets/x/index.html", "/admin/assets/x/app.js.br", "/admin/assets/x/app.css", "/admin/assets/x/no.js"]
    {
        assert_eq!(app.get(path).await.status, 404, "{path}");
    }
    assert_eq!(app.get("/admin/assets/x/..%2fCargo.toml").await.status, 404);
}

/// A release build has both compressed forms, and a debug build reads the source files.
#[tokio::test]
async fn files_are_sent_in_the_smallest_form_that_the_client_accepts() {
    let app = spawn_app().await;
    for address in ["/admin/".to_owned(), file(&app, "app.js").await] {
        for (accepted, coding) in
            [("gzip, deflate, br", Some("br")), ("gzip", Some("gzip")), ("identity", None), ("br;q=0", None)]
        {
            let sent = app.send_with("GET", &address, &[("accept-encoding", accepted)]).await;
            let expected = if cfg!(debug_assertions) { None } else { coding };
            assert_eq!((sent.status, sent.header("content-encoding")), (200, expected), "{address} {accepted}");
        }
    }
}

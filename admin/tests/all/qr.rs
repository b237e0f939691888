//! The QR code of a link over HTTP.

use serde_json::json;

use crate::support::spawn_app;

#[tokio::test]
async fn qr_code_has_the_mark_of_a_scan_only_if_asked() {
    let app = spawn_app().await;
    let user = app.create_user("ann").await;
    let body = json!({ "user_id": user["id"], "original_url": "https://example.com/" });
    assert_eq!(app.post("/urls", body).await.status, 201);
    let plain = app.get("/urls/1/qr.svg").await;
    assert_eq!((plain.status, plain.header("content-type")), (200, Some("image/svg+xml")));
    let tracked = app.get("/urls/1/qr.svg?track=1").await;
    assert_eq!(tracked.status, 200);
    assert_ne!(tracked.body, plain.body);
    assert_eq!(app.get("/urls/1/qr.svg?track=true").await.body, tracked.body);
    assert_eq!(app.get("/urls/1/qr.svg?track=0").await.body, plain.body);
    app.get("/urls/1/qr.svg?track=maybe").await.check_error(400, "track");
    app.get("/urls/2/qr.svg?track=1").await.check_error(404, "2");
}

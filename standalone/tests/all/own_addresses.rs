//! Targets at Tern's own addresses: new ones are refused, and stored ones are served.

use std::fs;

use serde_json::json;

use crate::support::{Tern, eventually, run, tern, text};

#[tokio::test]
async fn target_at_either_port_of_tern_is_refused() {
    let tern = Tern::start_with(&[], &[("PUBLIC_URL", "https://go.example")]);
    let owner = tern.create_user("ada").await;
    let link = tern.create_link(owner, "https://example.com/").await;
    let code = link["short_code"].as_str().unwrap();
    let ports = [&tern.api, &tern.fast].map(|address| address.rsplit_once(':').unwrap().1.to_owned());
    let [api_port, fast_port] = &ports;
    for address in [
        format!("127.0.0.1:{fast_port}"),
        format!("localhost:{api_port}"),
        format!("[::1]:{fast_port}"),
        format!("0x7f000001:{api_port}"),
        "GO.example".to_owned(),
    ] {
        let refused = tern.change_link(&link["id"], json!({"original_url": format!("http://{address}/{code}")})).await;
        assert_eq!(refused.status(), 400, "{address}");
        let message = refused.text().await.unwrap();
        assert!(message.contains("original_url points at this Tern itself ("), "{message}");
    }
    for address in [&tern.api, &tern.fast] {
        assert_eq!(tern.follow(address, code).await, (302, Some("https://example.com/".to_owned())));
    }
    // The operations port serves no short code.
    let other = json!({"original_url": format!("http://{}/ready", tern.ops)});
    assert_eq!(tern.change_link(&link["id"], other).await.status(), 200);
}

#[tokio::test]
async fn stored_target_at_own_address_redirects_and_allows_other_changes() {
    let tern = Tern::start(&[]);
    let owner = tern.create_user("ada").await;
    let link = tern.create_link(owner, "https://example.com/").await;
    let code = link["short_code"].as_str().unwrap();
    let own = format!("http://{}/{code}", tern.fast);
    let database = rusqlite::Connection::open(tern.directory.path().join("data/tern.db")).unwrap();
    database.execute("UPDATE urls SET original_url = ?1", [&own]).unwrap();
    eventually("the change is served", async || tern.follow(&tern.fast, code).await == (302, Some(own.clone()))).await;
    assert_eq!(tern.change_link(&link["id"], json!({"title": "a loop"})).await.status(), 200);
    assert_eq!(tern.change_link(&link["id"], json!({"original_url": own})).await.status(), 400);
    assert_eq!(tern.follow(&tern.api, code).await, (302, Some(own)));
}

#[test]
fn load_of_target_at_a_configured_port_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let load = |target: &str| {
        fs::write(directory.path().join("users.csv"), "id,username,email\n1,ada,ada@mail.example\n").unwrap();
        let urls = format!("user_id,short_code,original_url\n1,LOOP12,{target}\n");
        fs::write(directory.path().join("urls.csv"), urls).unwrap();
        let mut command = tern(directory.path(), &["load", "users.csv", "urls.csv"]);
        let output = run(command.env("APP_PORT", "8000").env("REDIRECTOR_LISTEN", "0.0.0.0:8080"));
        (output.status.code(), text(&output.stderr))
    };
    for target in ["http://localhost:8000/CODE12", "http://127.0.0.1:8080/CODE12"] {
        let (code, error_output) = load(target);
        assert_eq!(code, Some(1), "{error_output}");
        assert!(
            error_output.starts_with("tern: urls.csv: line 2: original_url points at this Tern itself ("),
            "{error_output}"
        );
    }
    assert_eq!(load("http://localhost:8001/CODE12"), (Some(0), String::new()));
}

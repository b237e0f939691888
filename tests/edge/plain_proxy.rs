//! A plain proxy in front of the API, without any special configuration.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tern_testkit::nginx::{Nginx, Site};
use tern_tests::Fleet;

use crate::configuration;

/// Starts an nginx that forwards everything to one address and adds no header field.
fn nginx_in_front_of(address: &str, directory: &Path) -> Nginx {
    for name in ["log.conf", "tls.conf"] {
        fs::copy(configuration().join(name), directory.join(name)).unwrap();
    }
    let server = format!("include site/listen.conf;\nlocation / {{ proxy_pass http://{address}; }}\n");
    let http = format!("include log.conf;\ninclude site/http.conf;\nserver {{\n{server}}}\n");
    fs::write(directory.join("nginx.conf"), format!("include site/main.conf;\nevents {{}}\nhttp {{\n{http}}}\n"))
        .unwrap();
    Nginx::start(directory, &Site::default())
}

#[tokio::test(flavor = "multi_thread")]
async fn open_api_behind_a_proxy_without_fields_needs_a_token() {
    let fleet = Fleet::start(0, &[]).await;
    let admin = &fleet.admin.addresses[0];
    let directory = tempfile::tempdir().unwrap();
    let nginx = nginx_in_front_of(admin, directory.path());
    let get = async |address: &str, path: &str| reqwest::get(format!("http://{address}{path}")).await.unwrap();
    assert_eq!(get(admin, "/users").await.status(), 200);
    assert_eq!(get(&nginx.address(), "/health").await.status(), 200);
    let answer = get(&nginx.address(), "/users").await;
    assert_eq!(answer.status(), 401);
    let message = answer.json::<Value>().await.unwrap()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("token create"), "{message}");
}

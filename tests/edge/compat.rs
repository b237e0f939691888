//! The paths of other services' APIs, which nginx forwards only where a site asks for them.

use std::fs;

use reqwest::{Client, Method, redirect};
use serde_json::Value;
use tern_testkit::nginx::{Nginx, Site};

use crate::configuration;
use crate::listener::{Listener, REDIRECT};

/// Paths that only an admin with `COMPAT` answers.
const PATHS: [&str; 4] = ["/yourls-api.php?action=version", "/rest/v3/tags", "/rest", "/rest/v3/tags/a%2Fb/visits"];

#[tokio::test(flavor = "multi_thread")]
async fn paths_of_other_services_are_forwarded_only_if_the_site_includes_them() {
    let redirector = Listener::start(Some(REDIRECT));
    // No admin runs, so a forwarded request is answered 502.
    let site = Site {
        redirectors: vec![redirector.address.clone()],
        admins: vec!["127.0.0.1:9".into()],
        is_behind_proxy: false,
    };
    let client = Client::builder().redirect(redirect::Policy::none()).build().unwrap();
    let plain = Nginx::start(&configuration(), &site);
    for path in PATHS {
        let answer = client.get(format!("http://{}{path}", plain.address())).send().await.unwrap();
        assert_eq!(answer.status(), 302, "{path}");
    }

    let with_compat = tempfile::tempdir().unwrap();
    for file in fs::read_dir(configuration()).unwrap().map(Result::unwrap).filter(|file| file.path().is_file()) {
        fs::copy(file.path(), with_compat.path().join(file.file_name())).unwrap();
    }
    let main = fs::read_to_string(configuration().join("nginx.conf")).unwrap();
    assert!(main.contains("include site/compat*.conf;"));
    // The line of site/compat.conf, in its place.
    let main = main.replace("include site/compat*.conf;", "include compat-paths.conf;");
    fs::write(with_compat.path().join("nginx.conf"), main).unwrap();
    let nginx = Nginx::start(with_compat.path(), &site);
    for path in PATHS {
        for method in [Method::GET, Method::POST, Method::OPTIONS] {
            let request = client.request(method.clone(), format!("http://{}{path}", nginx.address()));
            let answer = request.send().await.unwrap();
            assert_eq!(
                (answer.status().as_u16(), &answer.headers()["retry-after"] == "1"),
                (502, true),
                "{method} {path}"
            );
            if path.starts_with("/rest") {
                assert_eq!(answer.headers()["content-type"], "application/problem+json", "{method} {path}");
                assert_eq!(answer.headers()["access-control-allow-origin"], "*", "{method} {path}");
                let problem: Value = answer.json().await.unwrap();
                assert_eq!(problem["type"], "https://shlink.io/api/error/service-unavailable", "{problem}");
                assert_eq!(problem["status"], 502, "{problem}");
            } else {
                assert_eq!(answer.headers()["content-type"], "application/json", "{method} {path}");
            }
        }
    }
    let large = client.post(format!("http://{}/rest/v3/short-urls", nginx.address())).body(vec![b'x'; 2 << 20]);
    let large = large.send().await.unwrap();
    assert_eq!((large.status().as_u16(), &large.headers()["content-type"] == "application/problem+json"), (413, true));
    assert_eq!(large.json::<Value>().await.unwrap()["type"], "https://shlink.io/api/error/payload-too-large");
}

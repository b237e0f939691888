//! The dashboard in a real browser: its screens, its keys, its session and its faults.
//!
//! Pictures of each screen are in `target/screenshots`.

#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]

mod away;
mod browser;
mod editor;
mod exports;
mod import;
mod keys;
mod link;
mod links;
mod palette;
mod pictures;
mod rules;
mod screens;
mod session;
#[path = "../all/support.rs"]
#[expect(dead_code, reason = "these tests need a part of it")]
mod support;
mod system;
mod tokens;

use browser::Browser;
use support::Tern;

/// Starts Tern and opens a page of its dashboard.
async fn open(arguments: &[&str], path: &str) -> (Tern, Browser) {
    let tern = Tern::start(arguments);
    let browser = Browser::open(&format!("http://{}{path}", tern.api)).await;
    (tern, browser)
}

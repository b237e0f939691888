//! Admins that restart in turn behind nginx while clients change links.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nix::sys::signal::Signal;
use reqwest::{Client, Method};
use serde_json::json;
use tern_testkit::nginx::{Nginx, Site};
use tern_tests::eventually;

use crate::{configuration, site_of, start_fleet_behind_nginx};

const CLIENTS: usize = 8;

/// Number of restarts, over two admins in turn.
const RESTARTS: usize = 8;

/// Number of changes between two restarts.
const CHANGES: u64 = 150;

/// Number of answers by method and status, such as `PUT 200`.
type Answers = BTreeMap<String, u64>;

/// Clients that create, change and delete links, one request after another.
struct Changes {
    is_over: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    clients: Vec<tokio::task::JoinHandle<Answers>>,
}

impl Changes {
    fn start(http: &Client, edge: &str) -> Changes {
        let (is_over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let client = |_| {
            let work = change(http.clone(), format!("http://{edge}/urls"), Arc::clone(&is_over), Arc::clone(&answered));
            tokio::spawn(work)
        };
        let clients = (0..CLIENTS).map(client).collect();
        Changes { is_over, answered, clients }
    }

    async fn wait_for_answers(&self, more: u64) {
        let until = self.answered.load(Ordering::Relaxed) + more;
        eventually("changes are answered", async || self.answered.load(Ordering::Relaxed) >= until).await;
    }

    async fn stop(self) -> Answers {
        self.is_over.store(true, Ordering::Relaxed);
        let mut all = Answers::new();
        for client in self.clients {
            for (answer, n) in client.await.unwrap() {
                *all.entry(answer).or_default() += n;
            }
        }
        all
    }
}

async fn change(http: Client, urls: String, is_over: Arc<AtomicBool>, answered: Arc<AtomicU64>) -> Answers {
    let mut answers = Answers::new();
    let mut link = None;
    while !is_over.load(Ordering::Relaxed) {
        let (method, url, body) = match link.take() {
            None => (Method::POST, urls.clone(), json!({"user_id": 1, "original_url": "https://example.com/new"})),
            Some((id, false)) => {
                link = Some((id, true));
                (Method::PUT, format!("{urls}/{id}"), json!({"original_url": "https://example.com/changed"}))
            }
            Some((id, true)) => (Method::DELETE, format!("{urls}/{id}"), json!({})),
        };
        let answer = http.request(method.clone(), &url).json(&body).send().await;
        let answer = answer.unwrap_or_else(|error| panic!("{method} {url}: {error}"));
        let status = answer.status().as_u16();
        if status == 201 {
            let body: serde_json::Value = answer.json().await.unwrap();
            link = Some((body["id"].as_u64().unwrap(), false));
        }
        *answers.entry(format!("{method} {status}")).or_default() += 1;
        answered.fetch_add(1, Ordering::Relaxed);
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn admins_restarted_in_turn_behind_nginx_fail_no_change() {
    let (fleet, _) = start_fleet_behind_nginx(0).await;
    let mut admins = vec![fleet.start_admin_with(&[]), fleet.start_admin_with(&[])];
    let addresses: Vec<String> = admins.iter().map(|admin| admin.addresses[0].clone()).collect();
    let nginx = Nginx::start(&configuration(), &Site { admins: addresses.clone(), ..site_of(&fleet) });

    let changes = Changes::start(fleet.client(), &nginx.address());
    for address in addresses.iter().cycle().take(RESTARTS) {
        changes.wait_for_answers(CHANGES).await;
        assert!(admins.remove(0).end(Signal::SIGTERM), "an admin did not exit with success");
        admins.push(fleet.start_admin_with(&[("ADMIN_LISTEN", address)]));
    }
    changes.wait_for_answers(CHANGES).await;
    let answers = changes.stop().await;
    println!("admins restarted {RESTARTS} times: {answers:?}");
    let is_well = |answer: &str| ["POST 201", "PUT 200", "DELETE 204"].contains(&answer);
    assert!(answers.keys().all(|answer| is_well(answer)), "{answers:?}");
}

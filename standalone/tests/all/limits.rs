//! Limits of clicks on both ports that serve short codes, in one process.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Tern, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn limit_holds_over_both_ports_and_a_higher_one_revives_the_link_at_once() {
    let tern = Tern::start_with(&[], &[("REDIRECT_STATUS", "301")]);
    let owner = tern.create_user("ada").await;
    let link = tern.create_link(owner, "https://example.com/").await;
    let path = format!("/{}", link["short_code"].as_str().unwrap());
    let change = async |change: Value| {
        let changed = tern.change_link(&link["id"], change).await;
        assert_eq!((changed.status().as_u16(), &changed.headers()["tern-visible"]), (200, &"1/1".parse().unwrap()));
    };
    let follow = async |address: &str| tern.get(address, &path).await.status().as_u16();
    assert_eq!([follow(&tern.fast).await, follow(&tern.api).await], [301; 2], "it has no limit yet");
    eventually("the clicks are stored", async || tern.count_events("clicked").await == 2).await;

    // The two clicks from before count.
    change(json!({ "max_clicks": 5 })).await;
    let shown = async || tern.get(&tern.api, &format!("/urls/{}", link["id"])).await.json::<Value>().await.unwrap();
    assert_eq!(shown().await["clicks_left"], 3);
    assert_eq!([follow(&tern.fast).await, follow(&tern.api).await, follow(&tern.fast).await], [302; 3]);
    for address in [&tern.api, &tern.fast] {
        assert_eq!(follow(address).await, 410);
        for method in [Method::GET, Method::HEAD] {
            eventually("the map knows the end", async || {
                tern.send(method.clone(), address, &path).await.status().as_u16() == 410
            })
            .await;
        }
    }
    assert_eq!((&shown().await["clicks_left"], &shown().await["state"]), (&json!(0), &json!("exhausted")));
    change(json!({ "max_clicks": 6 })).await;
    for address in [&tern.fast, &tern.api] {
        let page = tern.get(address, &format!("{path}+")).await;
        assert_eq!((page.status().as_u16(), &page.headers()["cache-control"]), (200, &"no-store".parse().unwrap()));
        assert!(!page.text().await.unwrap().contains("example.com"));
    }
    assert_eq!([follow(&tern.api).await, follow(&tern.fast).await], [302, 410]);
    change(json!({ "max_clicks": null })).await;
    assert_eq!([follow(&tern.api).await, follow(&tern.fast).await], [301; 2]);
    eventually("each redirect is a click", async || tern.count_events("clicked").await == 8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_visitors_at_once_are_redirected_as_often_as_the_limit() {
    let tern = Tern::start(&[]);
    let owner = tern.create_user("ada").await;
    let link = tern.create_link(owner, "https://example.com/").await;
    let path = format!("/{}", link["short_code"].as_str().unwrap());
    assert_eq!(tern.change_link(&link["id"], json!({ "max_clicks": 37 })).await.status(), 200);
    let mut visitors = tokio::task::JoinSet::new();
    for n in 0..120 {
        let address = if n % 3 == 0 { &tern.api } else { &tern.fast };
        let request = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let request = request.get(format!("http://{address}{path}"));
        visitors.spawn(async move { request.send().await.unwrap().status().as_u16() });
    }
    let mut statuses = visitors.join_all().await;
    statuses.sort_unstable();
    assert_eq!(statuses, [[302].repeat(37), [410].repeat(83)].concat());
    eventually("each redirect is a click", async || tern.count_events("clicked").await == 37).await;
}

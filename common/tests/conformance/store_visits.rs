//! Conformance tests of visits, and of the clicks of tags.

use std::collections::HashMap;

use tern_common::link_labels::{LinkLabelsChange, Tag};
use tern_common::store::{AdminStore, Total};
use tern_common::tag_count::TagFilter;
use tern_common::url::UrlChange;
use tern_common::{Id, PointClicks, StatsQuery, StatsScope, Timestamp, Visit, VisitQuery};

use crate::fixture::{id, url, user};
use crate::store_series::load_clicks;

fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

async fn tag(store: &dyn AdminStore, link: Id, name: &str) {
    let labels = LinkLabelsChange { add_tags: vec![Tag::parse(name).unwrap()], ..LinkLabelsChange::default() };
    store.update_url(link, UrlChange { labels, ..UrlChange::default() }).await.unwrap().unwrap();
}

const BOT: &str = r#"{"bot":"Googlebot"}"#;

/// Makes a link of ada with the tag `sale` and three clicks, one of ben with the tag and a click, and one without clicks.
async fn make_clicks(store: &dyn AdminStore) -> [Id; 5] {
    let (ada, ben) = (user(store, "ada").await.id, user(store, "ben").await.id);
    let (first, of_ben) = (url(store, ada, "CODE12").await.id, url(store, ben, "CODE13").await.id);
    let idle = url(store, ada, "CODE14").await.id;
    for link in [first, of_ben, idle] {
        tag(store, link, "sale").await;
    }
    tag(store, first, "only").await;
    let details = r#"{"short_code":"CODE12","original_url":"https://a.example/","referrer":"https://n.example/","user_agent":"Firefox/130.0"}"#;
    let clicks = [
        (first, ada, "2024-02-28T23:59:59", "{}"),
        (first, ada, "2024-02-29T00:00:00", details),
        (of_ben, ben, "2024-02-29T00:30:00", "{}"),
        (first, ada, "2024-02-29T02:30:00", BOT),
    ];
    load_clicks(store, &clicks).await;
    [ada, ben, first, of_ben, idle]
}

pub async fn visits_are_listed_newest_first_within_scope_and_range(store: &dyn AdminStore) {
    let [ada, ben, first, of_ben, idle] = make_clicks(store).await;
    let list = async |scope, bots, from: &str, to: &str, offset, limit| {
        let clicks = StatsQuery { from: time(from), to: time(to), bots, ..StatsQuery::of_all_time(scope) };
        let (visits, total) = store.list_visits(VisitQuery { clicks, offset, limit }).await.unwrap();
        let Total::Exactly(total) = total else { panic!("a few visits are counted") };
        (visits.iter().map(|visit| visit.at.to_string()[8..].to_owned()).collect::<Vec<_>>().join(" "), total)
    };
    let all = async |scope, bots| list(scope, bots, "2000-01-01T00:00:00", "2100-01-01T00:00:00", 0, 10).await;
    let some = |times: &str, total| (times.to_owned(), total);
    let of = |name: Option<&str>, owner| StatsScope::All { tag: name.map(|name| Tag::parse(name).unwrap()), owner };

    let of_first = some("29T02:30:00 29T00:00:00 28T23:59:59", 3);
    assert_eq!(all(StatsScope::Link(first), true).await, of_first);
    assert_eq!(all(StatsScope::Link(first), false).await, some("29T00:00:00 28T23:59:59", 2));
    assert_eq!(all(StatsScope::Link(idle), true).await, some("", 0));
    assert_eq!(all(StatsScope::Link(id(999)), true).await, some("", 0));
    let everything = some("29T02:30:00 29T00:30:00 29T00:00:00 28T23:59:59", 4);
    assert_eq!(all(of(None, None), true).await, everything);
    assert_eq!(all(of(Some("sale"), None), true).await, everything);
    assert_eq!(all(of(Some("sale"), Some(ben)), true).await, some("29T00:30:00", 1));
    assert_eq!(all(of(None, Some(ben)), true).await, some("29T00:30:00", 1));
    assert_eq!(all(of(Some("only"), None), true).await, of_first);
    assert_eq!(all(of(Some("only"), Some(ada)), true).await, of_first);
    assert_eq!(all(of(Some("only"), Some(ben)), true).await, some("", 0));
    assert_eq!(all(of(Some("none"), None), true).await, some("", 0));

    let range = async |from, to, offset, limit| list(of(None, None), true, from, to, offset, limit).await;
    assert_eq!(
        range("2024-02-29T00:00:00", "2024-02-29T02:30:00", 0, 10).await,
        some("29T00:30:00 29T00:00:00", 2),
        "the end is included, or the start is not"
    );
    assert_eq!(range("2024-01-01T00:00:00", "2025-01-01T00:00:00", 1, 2).await, some("29T00:30:00 29T00:00:00", 4));
    assert_eq!(range("2024-01-01T00:00:00", "2025-01-01T00:00:00", 9, 2).await, some("", 4));

    let clicks = StatsQuery::of_all_time(StatsScope::Link(first));
    let (visits, _) = store.list_visits(VisitQuery { clicks, offset: 0, limit: 9 }).await.unwrap();
    assert!(visits[0].visitor.bot.is_some() && visits[1].visitor.bot.is_none(), "{visits:?}");
    let Visit { short_code, target, referrer, user_agent, .. } = &visits[1];
    let texts = [short_code, target, referrer, user_agent].map(Option::as_deref);
    assert_eq!(texts, [Some("CODE12"), Some("https://a.example/"), Some("https://n.example/"), Some("Firefox/130.0")]);
    assert_eq!(visits[2].user_agent, None);
    store.delete_url(of_ben, None).await.unwrap();
    assert_eq!(all(of(Some("sale"), None), true).await, of_first);
}

pub async fn clicks_of_tags_are_those_of_their_links(store: &dyn AdminStore) {
    let [ada, ben, ..] = make_clicks(store).await;
    let count = async |user_id| store.count_clicks_by_tag(TagFilter { user_id }).await.unwrap();
    let clicks = |pairs: &[(&str, u64, u64)]| {
        pairs
            .iter()
            .map(|(tag, humans, bots)| ((*tag).to_owned(), PointClicks { humans: *humans, bots: *bots }))
            .collect()
    };
    let all: HashMap<String, PointClicks> = clicks(&[("sale", 3, 1), ("only", 2, 1)]);
    assert_eq!(count(None).await, all);
    assert_eq!(count(Some(ada)).await, clicks(&[("sale", 2, 1), ("only", 2, 1)]));
    assert_eq!(count(Some(ben)).await, clicks(&[("sale", 1, 0)]));
}

//! Conformance tests of the searches and filters of lists of urls.

use tern_common::event::{Details, EventRow, EventType};
use tern_common::link_labels::{LinkLabels, LinkLabelsChange, Notes, Tag, Tags};
use tern_common::link_state::LinkState;
use tern_common::store::{AdminStore, Load, Total};
use tern_common::url::{FilterTime, NewUrl, SearchTerm, TagMode, Title, UrlChange, UrlFilter, UrlRow, UrlSort};
use tern_common::{Id, LinkOptions, LinkOptionsChange, ShortCode, TargetUrl, Timestamp};

use crate::fixture::{new_url, page, url, user};
use crate::store_lists::{check_walks, fill};
use crate::store_loading::{load, numbered};
use crate::store_pages::Random;

async fn tagged(store: &dyn AdminStore, owner: Id, code: &str, tags: &[&str], notes: Option<&str>) -> Id {
    let labels = LinkLabels {
        tags: Tags::new(tags.iter().map(|tag| Tag::parse(tag).unwrap())).unwrap(),
        notes: notes.map(|notes| Notes::parse(notes).unwrap()),
        external_id: None,
    };
    let url = NewUrl { labels, ..new_url(owner, code, "https://example.com/") };
    store.insert_url(url).await.unwrap().value.id
}

fn tags(given: &[&str]) -> Vec<Tag> {
    given.iter().map(|tag| Tag::parse(tag).unwrap()).collect()
}

pub async fn tag_filters_match_any_all_or_none_of_their_tags(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    tagged(store, owner, "both11", &["red", "blue"], None).await;
    tagged(store, owner, "red111", &["red"], None).await;
    tagged(store, owner, "blue11", &["blue", "sea"], None).await;
    tagged(store, owner, "none11", &[], None).await;
    let listed = async |tag: &[&str], tag_mode, not_tag: &[&str]| {
        codes(store, UrlFilter { tag: tags(tag), tag_mode, not_tag: tags(not_tag), ..UrlFilter::default() }).await
    };
    assert_eq!(listed(&["red"], TagMode::Any, &[]).await, ["both11", "red111"]);
    assert_eq!(listed(&["red", "BLUE"], TagMode::Any, &[]).await, ["both11", "red111", "blue11"]);
    assert_eq!(listed(&["red", "blue"], TagMode::All, &[]).await, ["both11"]);
    assert_eq!(listed(&["red", "no"], TagMode::All, &[]).await, [""; 0]);
    assert_eq!(listed(&["no", "sea"], TagMode::Any, &[]).await, ["blue11"]);
    assert_eq!(listed(&["blue"], TagMode::Any, &["sea", "red"]).await, [""; 0]);
    assert_eq!(listed(&[], TagMode::All, &["sea", "no"]).await, ["both11", "red111", "none11"]);
    for filter in [
        UrlFilter { tag: tags(&["red", "blue"]), ..UrlFilter::default() },
        UrlFilter { tag: tags(&["red"]), not_tag: tags(&["sea"]), ..UrlFilter::default() },
    ] {
        check_walks(store, &filter, 1).await;
    }
}

pub async fn search_finds_tags_and_notes_until_they_change(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    let id = tagged(store, owner, "first1", &["summer", "poster"], Some("Printed in MAY")).await;
    assert_eq!(found(store, "UMME").await, ["first1"]);
    assert_eq!(found(store, "in may").await, ["first1"]);
    // A text within two fields is none of a link.
    assert_eq!(found(store, "r\",\"p").await, [""; 0]);
    let labels = LinkLabelsChange {
        remove_tags: tags(&["summer"]),
        add_tags: tags(&["winter"]),
        notes: Some(None),
        ..LinkLabelsChange::default()
    };
    store.update_url(id, UrlChange { labels, ..UrlChange::default() }).await.unwrap();
    assert_eq!(found(store, "umme").await, [""; 0]);
    assert_eq!(found(store, "printed").await, [""; 0]);
    assert_eq!(found(store, "wi").await, ["first1"]);
    assert_eq!(found(store, "poster").await, ["first1"]);
}

async fn codes(store: &dyn AdminStore, filter: UrlFilter) -> Vec<String> {
    let listing = store.list_urls(filter.clone(), UrlSort::default(), page(1, 100)).await.unwrap();
    assert_eq!(listing.total, Total::Exactly(listing.rows.len() as u64), "{filter:?}");
    listing.rows.into_iter().map(|url| url.short_code).collect()
}

async fn found(store: &dyn AdminStore, text: &str) -> Vec<String> {
    codes(store, UrlFilter { search: Some(SearchTerm::parse(text).unwrap()), ..UrlFilter::default() }).await
}

async fn titled(store: &dyn AdminStore, owner: Id, code: &str, target: &str, title: &str) -> Id {
    let title = Some(Title::parse(title).unwrap());
    store.insert_url(NewUrl { title, ..new_url(owner, code, target) }).await.unwrap().value.id
}

pub async fn search_finds_substrings_in_any_case(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    titled(store, owner, "AbCdEf", "https://example.com/Path?q=50%25_x", "Élan Vital 100% \\o/").await;
    titled(store, owner, "zz-9_q", "https://other.example/303\"251'", "短い リンク").await;
    titled(store, owner, "plain1", "https://plain.example/", "").await;
    let expected: [(&str, &[&str]); 24] = [
        ("abcd", &["AbCdEf"]),
        ("BCDE", &["AbCdEf"]),
        ("path?Q=50%", &["AbCdEf"]),
        ("50%25_X", &["AbCdEf"]),
        ("50_25", &[]),
        ("5%2", &[]),
        ("éLAN", &["AbCdEf"]),
        ("N VIT", &["AbCdEf"]),
        ("\\o/", &["AbCdEf"]),
        ("%25%", &[]),
        ("短い", &["zz-9_q"]),
        ("ンク", &["zz-9_q"]),
        ("短い リンク", &["zz-9_q"]),
        // The octets of other characters are not found as digits.
        ("\\303", &[]),
        ("303", &["zz-9_q"]),
        ("3\"2", &["zz-9_q"]),
        ("' OR", &[]),
        // Two characters, within and at the end of a text, before letters and other characters.
        ("1'", &["zz-9_q"]),
        ("bC", &["AbCdEf"]),
        ("eF", &["AbCdEf"]),
        ("q=", &["AbCdEf"]),
        ("-9", &["zz-9_q"]),
        ("éL", &["AbCdEf"]),
        ("qx", &[]),
    ];
    for (text, expected) in expected {
        assert_eq!(found(store, text).await, expected, "{text:?}");
    }
    assert_eq!(found(store, "example").await, ["AbCdEf", "zz-9_q", "plain1"]);
    assert_eq!(found(store, "le").await, ["AbCdEf", "zz-9_q", "plain1"]);
    assert_eq!(found(store, "//").await, ["AbCdEf", "zz-9_q", "plain1"]);
}

pub async fn search_follows_changes_loads_and_deletions(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    let id = titled(store, owner, "first1", "https://one.example/", "Lighthouse").await;
    assert_eq!(found(store, "LIGHTH").await, ["first1"]);
    let target = TargetUrl::parse("https://two.example/").unwrap();
    let title = Some(Some(Title::parse("Beacon").unwrap()));
    store.update_url(id, UrlChange { title, original_url: Some(target), ..UrlChange::default() }).await.unwrap();
    assert_eq!(found(store, "lighthouse").await, [""; 0]);
    assert_eq!(found(store, "one.ex").await, [""; 0]);
    assert_eq!(found(store, "beacon").await, ["first1"]);
    assert_eq!(found(store, "two.ex").await, ["first1"]);
    let off = UrlChange { is_active: Some(false), title: Some(None), ..UrlChange::default() };
    store.update_url(id, off).await.unwrap();
    assert_eq!(found(store, "beacon").await, [""; 0]);
    fill(store, owner, &mut Random(23), 20).await;
    assert_eq!(found(store, "example.com").await.len(), 20);
    store.delete_url(id, None).await.unwrap();
    assert_eq!(found(store, "two.ex").await, [""; 0]);
    store.delete_user(owner, true).await.unwrap();
    assert_eq!(found(store, "example").await, [""; 0]);
}

pub async fn host_filter_matches_exact_name_without_port(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    for (code, target) in [
        ("plain1", "https://example.com/a"),
        ("port11", "http://EXAMPLE.com:8080?x#y"),
        ("user11", "https://me:pw@example.com#at@"),
        ("query1", "https://example.com?u=https://other.example/"),
        ("sub111", "https://www.example.com/"),
        ("suffix", "https://example.com.evil.example/"),
        ("idn111", "https://bücher.example/x"),
        ("puny11", "https://xn--bcher-kva.example/x"),
        ("six111", "http://[2001:db8::1]:80/"),
    ] {
        store.insert_url(new_url(owner, code, target)).await.unwrap();
    }
    let at = async |host: &str| codes(store, UrlFilter { host: Some(host.to_owned()), ..UrlFilter::default() }).await;
    assert_eq!(at("example.com").await, ["plain1", "port11", "user11", "query1"]);
    assert_eq!(at("Example.COM").await, ["plain1", "port11", "user11", "query1"]);
    assert_eq!(at("www.example.com").await, ["sub111"]);
    assert_eq!(at("xample.com").await, [""; 0]);
    assert_eq!(at("BÜCHER.example").await, ["idn111", "puny11"]);
    assert_eq!(at("[2001:db8::1]").await, ["six111"]);
    assert_eq!(at("example.com\0").await, [""; 0]);
}

pub async fn state_and_creation_filters_match_their_links(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    let time = |seconds| Timestamp::from_unix_seconds(seconds);
    let later = Timestamp::from_unix_seconds(Timestamp::LAST.unix_seconds() - 9);
    for (code, is_active, starts_at, expires_at) in [
        ("open11", true, None, None),
        ("later1", true, Some(time(5)), Some(later)),
        ("ended1", true, Some(time(4)), Some(time(5))),
        ("begins", true, Some(later), Some(Timestamp::LAST)),
        ("off111", false, Some(later), None),
        ("off222", false, None, Some(time(5))),
    ] {
        let id = url(store, owner, code).await.id;
        let options = LinkOptionsChange {
            starts_at: Some(starts_at),
            expires_at: Some(expires_at),
            ..LinkOptionsChange::default()
        };
        let change = UrlChange { is_active: Some(is_active), options, ..UrlChange::default() };
        store.update_url(id, change).await.unwrap();
    }
    let state = async |state| codes(store, UrlFilter { state: Some(state), ..UrlFilter::default() }).await;
    assert_eq!(state(LinkState::Active).await, ["open11", "later1"]);
    assert_eq!(state(LinkState::Expired).await, ["ended1"]);
    assert_eq!(state(LinkState::Scheduled).await, ["begins"]);
    assert_eq!(state(LinkState::Inactive).await, ["off111", "off222"]);
    assert_eq!(state(LinkState::Exhausted).await, [""; 0]);

    let row = |code: &str, at| UrlRow {
        id: None,
        user_id: owner,
        short_code: ShortCode::parse(code).unwrap(),
        original_url: TargetUrl::parse("https://example.com/").unwrap(),
        title: None,
        is_active: true,
        options: LinkOptions::default(),
        labels: Default::default(),
        revision: None,
        imported_clicks: 0,
        created_at: Some(time(at)),
        updated_at: None,
    };
    let rows = vec![row("at1000", 1_000), row("at2000", 2_000), row("at3000", 3_000)];
    load(store, Load::Urls, numbered(rows)).await.unwrap();
    let between = async |from: Option<i64>, to: Option<i64>| {
        let [created_from, created_to] = [from, to].map(|at| at.map(|at| FilterTime(time(at))));
        codes(store, UrlFilter { created_from, created_to, ..UrlFilter::default() }).await
    };
    assert_eq!(between(Some(1_000), Some(3_000)).await, ["at1000", "at2000"]);
    assert_eq!(between(None, Some(2_000)).await, ["at1000"]);
    assert_eq!(between(Some(3_000), Some(4_000)).await, ["at3000"]);
    assert_eq!(between(Some(3_000), Some(3_000)).await, [""; 0]);
    assert_eq!(between(Some(4_000), None).await.len(), 6);
}

pub async fn links_are_ordered_and_filtered_by_their_clicks(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    let mut links = Vec::new();
    for n in 0..12 {
        links.push(url(store, owner, &format!("link{n}")).await);
    }
    let rows = (0..30_i64).map(|n| EventRow {
        id: None,
        url_id: links[(n * n % 9) as usize].id,
        user_id: owner,
        event_type: EventType::parse("clicked").unwrap(),
        timestamp: Some(Timestamp::from_unix_seconds(1_700_000_000 + n / 10)),
        details: Details::parse(&format!("{{\"n\":{n}}}")).unwrap(),
    });
    load(store, Load::Events, numbered(rows.collect())).await.unwrap();
    let never = UrlFilter { never_clicked: Some(true), ..UrlFilter::default() };
    let clicked = UrlFilter { never_clicked: Some(false), ..UrlFilter::default() };
    assert_eq!(codes(store, never.clone()).await.len(), 8);
    assert_eq!(codes(store, clicked.clone()).await, ["link0", "link1", "link4", "link7"]);
    for filter in [UrlFilter::default(), never, clicked] {
        check_walks(store, &filter, 5).await;
    }
}

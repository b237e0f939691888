//! Optional fields of links that redirectors serve.

use tern_common::link_options::OptionConflict;
use tern_common::routing::{Rules, Split};
use tern_common::served_link::LinkRow;
use tern_common::store::{AdminStore, LinkChange, Load, StoreError};
use tern_common::url::{NewUrl, Url, UrlChange, UrlRow};
use tern_common::{ClickLimit, LinkOptions, LinkOptionsChange, RedirectStatus, TargetUrl, Timestamp};

use crate::fixture::{changes_since, id, new_url, snapshot, user};
use crate::store_loading::{load, numbered, url_row};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(1_900_000_000 + seconds)
}

fn status(code: i64) -> RedirectStatus {
    code.try_into().unwrap()
}

fn target(path: &str) -> TargetUrl {
    TargetUrl::parse(&format!("https://example.com/{path}")).unwrap()
}

fn rules() -> Rules {
    let rules = r#"[{"target":"https://example.com/ü?a=\"'","if":[{"type":"query","key":"a b","value":"'x'"},{"type":"bot","value":"true"}]},
        {"target":"https://example.com/app","if":[{"type":"device","value":"ios"}]}]"#;
    Rules::parse(rules).unwrap()
}

fn split() -> Split {
    Split::parse(r#"[{"target":"https://example.com/a","weight":30},{"target":"https://example.com/b","weight":70}]"#)
        .unwrap()
}

/// Options in the form of the expected row: with every field.
fn all_options() -> LinkOptions {
    LinkOptions {
        starts_at: Some(at(0)),
        expires_at: Some(at(9)),
        expired_url: Some(target("over")),
        redirect_status: Some(status(307)),
        forward_query: Some(true),
        max_clicks: ClickLimit::try_from(7).ok(),
        rules: rules(),
        split: split(),
    }
}

/// A change of one option, and its effect on the expected options.
type OneChange = (LinkOptionsChange, fn(&mut LinkOptions));

fn check_url(url: &Url, options: &LinkOptions) {
    let LinkOptions { starts_at, expires_at, expired_url, redirect_status, forward_query, max_clicks, rules, split } =
        options.clone();
    let expired_url = expired_url.map(|target| target.as_given().to_owned());
    assert_eq!(
        (url.starts_at, url.expires_at, &url.expired_url, url.redirect_status, url.forward_query, url.max_clicks),
        (starts_at, expires_at, &expired_url, redirect_status, forward_query, max_clicks)
    );
    assert_eq!((url.rules.as_slice(), url.split.as_slice()), (rules.as_slice(), split.as_slice()));
}

fn check_row(row: &LinkRow, options: &LinkOptions) {
    let LinkOptions { starts_at, expires_at, expired_url, redirect_status, forward_query, max_clicks, rules, split } =
        options.clone();
    let expired_url = expired_url.map(|target| target.as_given().to_owned());
    assert_eq!(
        (row.starts_at, row.expires_at, &row.expired_url, row.redirect_status, row.forward_query),
        (starts_at, expires_at, &expired_url, redirect_status.map(RedirectStatus::code), forward_query)
    );
    assert_eq!((row.max_clicks, row.is_exhausted), (max_clicks.map(ClickLimit::get), false));
    assert_eq!((&row.rules, &row.split), (&rules.to_stored(), &split.to_stored()));
}

pub async fn options_of_link_are_set_changed_and_removed_one_by_one(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    let new = NewUrl { options: all_options(), ..new_url(owner, "CODE12", "https://example.com/") };
    let inserted = store.insert_url(new).await.unwrap().value;
    check_url(&inserted, &all_options());
    assert_eq!(store.find_url(inserted.id).await.unwrap(), Some(inserted.clone()));
    let (links, mut cursor) = snapshot(store).await;
    check_row(&links["CODE12"], &all_options());

    let mut expected = all_options();
    let changes: [OneChange; 15] = [
        (LinkOptionsChange { rules: Some(Rules::default()), ..Default::default() }, |all| all.rules = Rules::default()),
        (LinkOptionsChange { rules: Some(rules()), ..Default::default() }, |all| all.rules = rules()),
        (
            LinkOptionsChange { rules: Some(Rules::default()), split: Some(Split::default()), ..Default::default() },
            |all| (all.rules, all.split) = (Rules::default(), Split::default()),
        ),
        (LinkOptionsChange { starts_at: Some(Some(at(1))), ..Default::default() }, |all| all.starts_at = Some(at(1))),
        (LinkOptionsChange { starts_at: Some(None), ..Default::default() }, |all| all.starts_at = None),
        (LinkOptionsChange { expires_at: Some(Some(at(2))), ..Default::default() }, |all| all.expires_at = Some(at(2))),
        (LinkOptionsChange { expires_at: Some(None), ..Default::default() }, |all| all.expires_at = None),
        (LinkOptionsChange { expired_url: Some(Some(target("ü"))), ..Default::default() }, |all| {
            all.expired_url = Some(target("ü"));
        }),
        (LinkOptionsChange { expired_url: Some(None), ..Default::default() }, |all| all.expired_url = None),
        (LinkOptionsChange { max_clicks: Some(ClickLimit::try_from(8).ok()), ..Default::default() }, |all| {
            all.max_clicks = ClickLimit::try_from(8).ok();
        }),
        (LinkOptionsChange { max_clicks: Some(None), ..Default::default() }, |all| all.max_clicks = None),
        (LinkOptionsChange { redirect_status: Some(Some(status(308))), ..Default::default() }, |all| {
            all.redirect_status = Some(status(308));
        }),
        (LinkOptionsChange { redirect_status: Some(None), ..Default::default() }, |all| all.redirect_status = None),
        (LinkOptionsChange { forward_query: Some(Some(false)), ..Default::default() }, |all| {
            all.forward_query = Some(false);
        }),
        (LinkOptionsChange { forward_query: Some(None), ..Default::default() }, |all| all.forward_query = None),
    ];
    for (options, apply) in changes {
        apply(&mut expected);
        let change = UrlChange { options, ..UrlChange::default() };
        let changed = store.update_url(inserted.id, change).await.unwrap().unwrap().value;
        check_url(&changed, &expected);
        let (changes, next) = changes_since(store, &cursor).await;
        let [LinkChange::Put(row)] = &changes[..] else { panic!("{changes:?}") };
        check_row(row, &expected);
        cursor = next;
    }
    let off = UrlChange { is_active: Some(false), ..UrlChange::default() };
    check_url(&store.update_url(inserted.id, off).await.unwrap().unwrap().value, &LinkOptions::default());
}

pub async fn change_that_conflicts_with_the_stored_options_is_refused(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    let new = NewUrl { options: all_options(), ..new_url(owner, "CODE12", "https://example.com/") };
    let id = store.insert_url(new).await.unwrap().value.id;
    let check = async |options: LinkOptionsChange, expected: Result<(), OptionConflict>| {
        let before = store.find_url(id).await.unwrap();
        let result = store.update_url(id, UrlChange { options: options.clone(), ..UrlChange::default() }).await;
        match (result, expected) {
            (Ok(_), Ok(())) => {}
            (Err(StoreError::OptionConflict(conflict)), Err(expected)) => {
                assert_eq!(conflict, expected);
                assert_eq!(store.find_url(id).await.unwrap(), before, "nothing changed");
            }
            (result, _) => panic!("{options:?}: {result:?}"),
        }
    };
    let none = LinkOptionsChange::default;
    let start = |seconds| LinkOptionsChange { starts_at: Some(Some(at(seconds))), ..none() };
    let end = |seconds| LinkOptionsChange { expires_at: Some(Some(at(seconds))), ..none() };
    let redirect_status = |code| LinkOptionsChange { redirect_status: Some(Some(status(code))), ..none() };
    check(start(9), Err(OptionConflict::EndsBeforeStart)).await;
    check(start(8), Ok(())).await;
    check(end(8), Err(OptionConflict::EndsBeforeStart)).await;
    check(end(9), Ok(())).await;
    check(LinkOptionsChange { expires_at: Some(Some(at(30))), ..start(20) }, Ok(())).await;
    check(redirect_status(301), Err(OptionConflict::StatusOfEnd)).await;
    check(redirect_status(308), Err(OptionConflict::StatusOfEnd)).await;
    check(redirect_status(302), Ok(())).await;
    let endless = LinkOptionsChange { expires_at: Some(None), max_clicks: Some(None), ..redirect_status(308) };
    check(endless.clone(), Err(OptionConflict::StatusOfRouting)).await;
    check(LinkOptionsChange { rules: Some(Rules::default()), ..endless.clone() }, Err(OptionConflict::StatusOfRouting))
        .await;
    check(LinkOptionsChange { split: Some(Split::default()), ..endless.clone() }, Err(OptionConflict::StatusOfRouting))
        .await;
    let plain = LinkOptionsChange { rules: Some(Rules::default()), split: Some(Split::default()), ..endless };
    check(plain, Ok(())).await;
    for routing in
        [LinkOptionsChange { rules: Some(rules()), ..none() }, LinkOptionsChange { split: Some(split()), ..none() }]
    {
        check(routing, Err(OptionConflict::StatusOfRouting)).await;
    }
    check(end(50), Err(OptionConflict::StatusOfEnd)).await;
    check(LinkOptionsChange { redirect_status: Some(None), ..end(50) }, Ok(())).await;

    let options = LinkOptions { starts_at: Some(at(9)), ..all_options() };
    let refused = store.insert_url(NewUrl { options, ..new_url(owner, "other", "https://example.com/") }).await;
    assert!(matches!(refused, Err(StoreError::OptionConflict(OptionConflict::EndsBeforeStart))), "{refused:?}");
}

pub async fn loaded_links_have_the_options_of_their_rows(store: &dyn AdminStore) {
    user(store, "ada").await;
    let ended = LinkOptions { starts_at: None, expires_at: Some(Timestamp::from_unix_seconds(9)), ..all_options() };
    let options = [all_options(), ended, LinkOptions::default()];
    let rows = options
        .iter()
        .zip(1..)
        .map(|(options, n): (_, i64)| UrlRow { options: options.clone(), ..url_row(Some(n), 1, &format!("CODE{n}")) });
    load(store, Load::Urls, numbered(rows.collect())).await.unwrap();
    let (links, _) = snapshot(store).await;
    for (options, n) in options.iter().zip(1..) {
        check_url(&store.find_url(id(n)).await.unwrap().unwrap(), options);
        check_row(&links[&format!("CODE{n}")], options);
    }
}

//! Conformance tests of ids that files give, and of writers beside a load.

use tern_common::Id;
use tern_common::event::{Details, EventRow};
use tern_common::store::{AdminStore, ImportOutcome, Load, LoadOutcome};
use tern_common::user::Email;
use tokio::sync::mpsc;

use crate::fixture::{id, page, url, user};
use crate::store_loading::{check, event_row, load, numbered, product_row, url_row, user_row};

pub async fn row_with_id_of_another_row_is_refused(store: &dyn AdminStore) {
    user(store, "ada").await;
    url(store, id(1), "TAKEN1").await;
    load(store, Load::Products, numbered(vec![product_row(Some(1), "Lamp", "1")])).await.unwrap();
    let check_users = async |rows, line, reason| check(store, Load::Users, rows, line, reason).await;
    check_users(vec![user_row(Some(1), "eve")], 2, "id 1 belongs to another user: ada").await;
    check_users(
        vec![user_row(Some(1), "ada"), user_row(Some(1), "eve")],
        3,
        "id 1 is given by line 2 of this file, too",
    )
    .await;
    check_users(vec![user_row(Some(2), "bob"), user_row(Some(1), "eve")], 3, "id 1 belongs to another user: ada").await;
    check(store, Load::Urls, vec![url_row(Some(1), 1, "OTHER1")], 2, "id 1 belongs to another link: TAKEN1").await;
    check(store, Load::Products, vec![product_row(Some(1), "Desk", "1")], 2, "id 1 belongs to another product: Lamp")
        .await;
    let other = "id 1 belongs to another event: created of link 1";
    check(store, Load::Events, vec![event_row(Some(1), 1, 1)], 2, other).await;
    assert_eq!(store.list_users(page(1, 10)).await.unwrap().rows.len(), 1);
}

pub async fn reloaded_user_with_edited_email_is_already_there(store: &dyn AdminStore) {
    let mut edited = user_row(Some(7), "ada");
    load(store, Load::Users, numbered(vec![user_row(Some(7), "ada")])).await.unwrap();
    edited.email = Email::parse("new@mail.example").unwrap();
    assert_eq!(load(store, Load::Users, numbered(vec![edited])).await.unwrap(), LoadOutcome::AlreadyThere(1));
}

pub async fn reloaded_events_without_ids_are_already_there(store: &dyn AdminStore) {
    user(store, "ada").await;
    url(store, id(1), "CODE12").await;
    let row = |details: &str, timestamp| EventRow {
        timestamp,
        details: Details::parse(details).unwrap(),
        ..event_row(None, 1, 1)
    };
    let time = event_row(None, 1, 1).timestamp;
    let rows = || numbered(vec![row("{\"n\":1}", None), row("{\"n\":2}", None), row("{\"n\":1}", time)]);
    assert_eq!(load(store, Load::Events, rows()).await.unwrap(), LoadOutcome::Inserted(3));
    assert_eq!(load(store, Load::Events, rows()).await.unwrap(), LoadOutcome::AlreadyThere(3));
    let alike = || numbered(vec![row("{}", None), row("{}", None)]);
    assert_eq!(load(store, Load::Events, alike()).await.unwrap(), LoadOutcome::Inserted(2));
    assert_eq!(load(store, Load::Events, alike()).await.unwrap(), LoadOutcome::AlreadyThere(2));
    let there = "this row is there already, while others of the file are not";
    check(store, Load::Events, vec![row("{\"n\":3}", None), row("{\"n\":2}", None)], 3, there).await;
}

pub async fn id_far_beyond_largest_is_refused(store: &dyn AdminStore) {
    user(store, "ada").await;
    let farthest = Id::farthest_given(1).get();
    let reason = format!("id {} is more than {} beyond the largest id so far, 1", farthest + 1, Id::MAX_AHEAD);
    check(store, Load::Users, vec![user_row(None, "bob"), user_row(Some(farthest + 1), "cid")], 3, &reason).await;
    let imported = store.import_users(vec![user_row(Some(farthest + 1), "cid"), user_row(None, "bob")]).await.unwrap();
    assert_eq!(imported, [ImportOutcome::IdTooFar(id(farthest + 1), 1), ImportOutcome::Inserted]);
    assert_eq!(
        load(store, Load::Users, numbered(vec![user_row(Some(farthest), "dan")])).await.unwrap(),
        LoadOutcome::Inserted(1)
    );
    assert_eq!(user(store, "next").await.id, id(farthest + 1));
}

pub async fn skipped_import_row_does_not_advance_the_sequence(store: &dyn AdminStore) {
    user(store, "ada").await;
    let mut namesake = user_row(Some(900_000), "other");
    namesake.email = Email::parse("ada@mail.example").unwrap();
    let rows = vec![user_row(Some(900_000), "ada"), namesake, user_row(Some(5), "bob"), user_row(Some(800_000), "bob")];
    let skipped = ImportOutcome::Duplicate;
    let imported = store.import_users(rows).await.unwrap();
    assert_eq!(imported, [skipped.clone(), skipped.clone(), ImportOutcome::Inserted, skipped]);
    assert_eq!(user(store, "next").await.id, id(6));
}

pub async fn load_from_slow_source_blocks_no_writer(store: &dyn AdminStore) {
    let (sender, batches) = mpsc::channel(1);
    let rows = |name: &str| Ok(numbered(vec![user_row(None, name)]));
    let source = async {
        for n in 0..20 {
            // The channel has room for one batch, so the batch before it is being staged.
            sender.send(rows(&format!("loaded{n}"))).await.unwrap();
            user(store, &format!("posted{n}")).await;
        }
        assert_eq!(
            store.list_users(page(1, 100)).await.unwrap().rows.len(),
            20,
            "rows are visible before the load ends"
        );
        sender.send(Ok(Vec::new())).await.unwrap();
    };
    let (loaded, ()) = tokio::join!(store.load(Load::Users(batches), None), source);
    assert_eq!(loaded.unwrap(), LoadOutcome::Inserted(20));
    let users = store.list_users(page(1, 100)).await.unwrap().rows;
    let ids: Vec<i64> = users.iter().map(|user| user.id.get()).collect();
    assert_eq!(ids, (1..=40).collect::<Vec<_>>());
}

pub async fn concurrent_loads_of_one_file_insert_it_once(store: &dyn AdminStore) {
    user(store, "ada").await;
    url(store, id(1), "CODE12").await;
    let rows = || {
        numbered(
            (0..200)
                .map(|n| EventRow {
                    details: Details::parse(&format!("{{\"n\":{n}}}")).unwrap(),
                    ..event_row(None, 1, 1)
                })
                .collect(),
        )
    };
    let loads = (0..4).map(|_| load(store, Load::Events, rows()));
    let loaded: Vec<_> = futures_util::future::join_all(loads).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(loaded.iter().filter(|loaded| **loaded == LoadOutcome::Inserted(200)).count(), 1, "{loaded:?}");
    assert_eq!(loaded.iter().filter(|loaded| **loaded == LoadOutcome::AlreadyThere(200)).count(), 3, "{loaded:?}");
}

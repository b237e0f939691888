//! Conformance tests of tokens.

use std::sync::Arc;

use tern_common::store::{AdminStore, StoreError, signed};
use tern_common::token::{NewToken, Role, Secret};
use tern_common::{Id, Timestamp};

use crate::fixture::{id, user};

fn new_token(name: &str, role: Role) -> NewToken {
    NewToken { name: name.parse().unwrap(), role, hash: Secret::generate().hash(), expires_at: None, user_id: None }
}

pub async fn token_is_stored_with_its_hash_and_revoked_by_name(store: &dyn AdminStore) {
    let expires_at = Some(Timestamp::from_unix_seconds(2_000_000_000));
    let new = NewToken { expires_at, ..new_token("ci", Role::Editor) };
    let token = store.insert_token(new.clone()).await.unwrap();
    assert!(token.hash.is(&new.hash));
    assert_eq!((token.name.as_str(), token.role, token.expires_at), ("ci", Role::Editor, expires_at));
    assert_eq!((token.last_used_at, token.revoked_at), (None, None));
    for role in Role::ALL {
        store.insert_token(new_token(role.as_str(), role)).await.unwrap();
    }
    let taken = store.insert_token(new_token("ci", Role::Viewer)).await;
    assert!(matches!(taken, Err(StoreError::TokenNameTaken)), "{taken:?}");

    let name = "ci".parse().unwrap();
    assert!(store.revoke_token(&name).await.unwrap());
    assert!(!store.revoke_token(&name).await.unwrap());
    assert!(!store.revoke_token(&"nobody".parse().unwrap()).await.unwrap());
    store.insert_token(new_token("ci", Role::Viewer)).await.unwrap();
    let tokens = store.list_tokens().await.unwrap();
    let listed: Vec<_> =
        tokens.iter().map(|token| (token.name.as_str(), token.role, token.revoked_at.is_some())).collect();
    let expected = [
        ("ci", Role::Editor, true),
        ("viewer", Role::Viewer, false),
        ("editor", Role::Editor, false),
        ("admin", Role::Admin, false),
        ("metrics", Role::Metrics, false),
        ("ci", Role::Viewer, false),
    ];
    assert_eq!(listed, expected);
    assert!(tokens[0].hash.is(&new.hash));
}

pub async fn token_names_the_tokens_that_created_and_revoked_it(store: &dyn AdminStore) {
    let by = |name: &str| Some(Arc::from(name));
    let one = signed(by("ops"), store.insert_token(new_token("one", Role::Viewer))).await.unwrap();
    let other = store.insert_token(new_token("other", Role::Viewer)).await.unwrap();
    assert_eq!((one.created_by.as_deref(), &one.revoked_by, other.created_by), (Some("ops"), &None, None));
    // The id is that of one token for ever, and revokes no other one.
    let key = one.id.to_string().parse().unwrap();
    assert!(signed(by("second"), store.revoke_token(&key)).await.unwrap());
    assert!(!signed(by("third"), store.revoke_token(&key)).await.unwrap());
    store.insert_token(new_token("one", Role::Viewer)).await.unwrap();
    assert!(!store.revoke_token(&key).await.unwrap());
    assert!(store.revoke_token(&"other".parse().unwrap()).await.unwrap());
    let tokens = store.list_tokens().await.unwrap();
    let revoked: Vec<_> = tokens.iter().map(|it| (it.revoked_at.is_some(), it.revoked_by.as_deref())).collect();
    assert_eq!(revoked, [(true, Some("second")), (true, None), (false, None)]);
}

pub async fn concurrent_first_tokens_create_one(store: &dyn AdminStore) {
    let first = || store.insert_first_token(new_token("first", Role::Admin));
    let made = tokio::join!(first(), first(), first(), first());
    let made = [made.0, made.1, made.2, made.3].map(Result::unwrap);
    assert_eq!(made.iter().filter(|made| **made).count(), 1, "{made:?}");
    assert!(store.revoke_token(&"first".parse().unwrap()).await.unwrap());
    assert!(!first().await.unwrap(), "a revoked token does not count as an earlier one");
    assert_eq!(store.list_tokens().await.unwrap().len(), 1);
}

pub async fn token_last_use_only_moves_forwards(store: &dyn AdminStore) {
    let at = Timestamp::from_unix_seconds;
    let one = store.insert_token(new_token("one", Role::Viewer)).await.unwrap();
    let other = store.insert_token(new_token("other", Role::Viewer)).await.unwrap();
    let uses = async |uses: &[(Id, i64)]| {
        let uses = uses.iter().map(|(id, seconds)| (*id, at(*seconds))).collect();
        store.note_token_uses(uses).await.unwrap();
        store.list_tokens().await.unwrap().iter().map(|token| token.last_used_at).collect::<Vec<_>>()
    };
    assert_eq!(uses(&[(one.id, 100)]).await, [Some(at(100)), None]);
    assert_eq!(uses(&[(one.id, 50), (other.id, 70), (id(4711), 1)]).await, [Some(at(100)), Some(at(70))]);
}

pub async fn token_of_a_user_is_revoked_with_the_user(store: &dyn AdminStore) {
    let (ann, bob) = (user(store, "ann").await.id, user(store, "bob").await.id);
    let of = |name: &str, user_id| NewToken { user_id, ..new_token(name, Role::Editor) };
    for (name, user_id) in [("ann", Some(ann)), ("bob", Some(bob)), ("all", None)] {
        assert_eq!(store.insert_token(of(name, user_id)).await.unwrap().user_id, user_id);
    }
    let unknown = store.insert_token(of("nobody", Some(id(4711)))).await;
    assert!(matches!(unknown, Err(StoreError::UnknownUser(user)) if user == id(4711)), "{unknown:?}");
    // Only a viewer or an editor fits a user.
    let admin = NewToken { role: Role::Admin, ..of("admin", Some(bob)) };
    assert!(store.insert_token(admin).await.is_err());

    store.delete_user(ann, false).await.unwrap().unwrap();
    let tokens = store.list_tokens().await.unwrap();
    let listed: Vec<_> =
        tokens.iter().map(|token| (token.name.as_str(), token.user_id, token.revoked_at.is_some())).collect();
    assert_eq!(listed, [("deleted-user", None, true), ("bob", Some(bob), false), ("all", None, false)]);
}

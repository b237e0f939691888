//! A user with data in every table, which its deletion has to erase.

use std::time::{Duration, SystemTime};

use tern_common::event::{Details, EventType, NewEvent};
use tern_common::link_labels::{ExternalId, LinkLabels, Notes, Tag, Tags};
use tern_common::store::AdminStore;
use tern_common::token::{NewToken, Role, Secret};
use tern_common::url::{NewUrl, Title, UrlChange};
use tern_common::user::{Email, NewUser, Username};
use tern_common::{Click, ClickBatch, Id, JournalId, JournalPosition, ShortCode, TargetUrl, Visitor};

/// The text in everything of the user that is deleted.
pub const SECRET: &str = "hush";

/// Tables that may have the codes of deleted links, for redirectors, until they are pruned.
pub const CHANGE_LOG: &str = "url_changes";

fn new_user(name: &str) -> NewUser {
    NewUser { username: Username::parse(name).unwrap(), email: Email::parse(&format!("{name}@mail.example")).unwrap() }
}

async fn link(store: &dyn AdminStore, owner: Id, text: &str, n: u32) -> Id {
    let text_n = format!("{text}{n}");
    let labels = LinkLabels {
        tags: Tags::new([Tag::parse(text).unwrap()]).unwrap(),
        notes: Some(Notes::parse(&text_n).unwrap()),
        external_id: Some(ExternalId::parse(&text_n).unwrap()),
    };
    let url = NewUrl {
        user_id: owner,
        short_code: ShortCode::parse(&text_n).unwrap(),
        original_url: TargetUrl::parse(&format!("https://{text_n}.example/")).unwrap(),
        title: Some(Title::parse(&text_n).unwrap()),
        is_active: true,
        options: Default::default(),
        labels,
    };
    store.insert_url(url).await.unwrap().value.id
}

async fn click_on(store: &dyn AdminStore, url: Id, owner: Id, code: &str, journal: u128) {
    let click = |is_counted_only| Click {
        url_id: url,
        owner_id: owner,
        short_code: code.to_owned(),
        original_url: format!("https://{code}.example/"),
        at: SystemTime::now() - Duration::from_secs(3 * 60 * 60),
        client: None,
        referrer: Some(format!("https://{code}.example/")),
        user_agent: Some(format!("{code} browser")),
        visitor: Visitor::UNKNOWN,
        source: None,
        choice: None,
        is_counted_only,
        is_minimal: false,
    };
    let to = JournalPosition { segment: 0, offset: 1, sequence: 2 };
    let clicks = [click(false), click(true)];
    let batch = ClickBatch { journal: JournalId(journal), from: None, to, clicks: &clicks, parked: 0 };
    store.ship_clicks(batch).await.unwrap();
}

/// Creates a user with links, clicks, events on another user's link, tokens and audit entries, and another user with the
/// same. Returns the ids of both.
pub async fn fill(store: &dyn AdminStore) -> (Id, Id) {
    let user = store.insert_user(new_user(SECRET)).await.unwrap().id;
    let other = store.insert_user(new_user("other")).await.unwrap().id;
    let others = link(store, other, "other", 0).await;
    for (owner, text, journal) in [(user, SECRET, 1), (other, "other", 2)] {
        for n in 1..=3 {
            let id = link(store, owner, text, n).await;
            click_on(store, id, owner, &format!("{text}{n}"), journal * 10 + u128::from(n)).await;
            let change = UrlChange { is_active: Some(false), ..UrlChange::default() };
            store.update_url(id, change).await.unwrap().unwrap();
            if n == 3 {
                store.delete_url(id, None).await.unwrap().unwrap();
            }
        }
        let details = Details::parse(&format!("{{\"by\":\"{text}\"}}")).unwrap();
        let event_type = EventType::parse(&format!("shared-by-{text}")).unwrap();
        let event = NewEvent { url_id: others, user_id: Some(owner), event_type, details };
        store.insert_event(event).await.unwrap();
        for name in [format!("{text}-laptop"), format!("{text}-phone")] {
            let (name, hash) = (name.parse().unwrap(), Secret::generate().hash());
            let token = NewToken { name, role: Role::Editor, hash, expires_at: None, user_id: Some(owner) };
            store.insert_token(token).await.unwrap();
        }
        store.revoke_token(&format!("{text}-phone").parse().unwrap()).await.unwrap();
    }
    (user, other)
}

/// Checks what the store answers after the deletion of the first user.
pub async fn check_answers(store: &dyn AdminStore, user: Id, other: Id) {
    let page = || tern_common::store::Page { start: tern_common::store::PageStart::Number(1), size: 100 };
    let urls = store.list_urls(Default::default(), Default::default(), page()).await.unwrap();
    assert!(urls.rows.len() == 3 && urls.rows.iter().all(|url| url.user_id == other));
    let events = store.list_events(Default::default(), tern_common::store::Page::first(100)).await.unwrap();
    assert!(!events.rows.is_empty() && events.rows.iter().all(|event| event.user_id == other));
    let audit = store.list_audit(Default::default(), tern_common::store::Page::first(100)).await.unwrap();
    assert!(!audit.rows.is_empty() && audit.rows.iter().all(|entry| entry.user_id == other));
    let tokens = store.list_tokens().await.unwrap();
    assert_eq!(tokens.iter().filter(|token| token.user_id == Some(user)).count(), 0);
    let erased = tokens.iter().filter(|token| token.name.as_str() == "deleted-user");
    assert_eq!(erased.filter(|token| token.revoked_at.is_some() && token.user_id.is_none()).count(), 2);
}

//! Conformance tests of the series of several links.

use tern_common::event::{Details, EventRow, EventType};
use tern_common::store::{AdminStore, Load};
use tern_common::{Id, LinkSeries, PointClicks, SeriesQuery, Timestamp};

use crate::fixture::{id, url, user};
use crate::store_loading::{load, numbered};

fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

pub async fn load_clicks(store: &dyn AdminStore, clicks: &[(Id, Id, &str, &str)]) {
    let row = |(url_id, user_id, at, details): &(Id, Id, &str, &str)| EventRow {
        id: None,
        url_id: *url_id,
        user_id: *user_id,
        event_type: EventType::parse(EventType::CLICKED).unwrap(),
        timestamp: Some(time(at)),
        details: Details::parse(details).unwrap(),
    };
    load(store, Load::Events, numbered(clicks.iter().map(row).collect())).await.unwrap();
}

pub async fn series_of_links_are_in_the_order_of_the_query(store: &dyn AdminStore) {
    let (ada, ben) = (user(store, "ada").await.id, user(store, "ben").await.id);
    let (first, second) = (url(store, ada, "CODE12").await.id, url(store, ada, "CODE13").await.id);
    let of_ben = url(store, ben, "CODE14").await.id;
    let bot = r#"{"bot":"Googlebot"}"#;
    let clicks = [
        (first, ada, "2024-02-28T23:59:59", "{}"),
        (first, ada, "2024-02-29T00:00:00", "{}"),
        (first, ada, "2024-02-29T00:59:59", "{}"),
        (first, ada, "2024-02-29T02:30:00", bot),
        (of_ben, ben, "2024-02-29T05:00:00", bot),
    ];
    load_clicks(store, &clicks).await;
    let ask = async |urls: &[Id], owner, boundaries: &[&str]| {
        let boundaries = boundaries.iter().map(|at| time(at)).collect();
        let query = SeriesQuery { urls: urls.to_vec(), owner, boundaries };
        let found = store.click_series(query).await.unwrap().into_iter();
        let counts = |points: Vec<PointClicks>| points.iter().map(|p| (p.humans, p.bots)).collect::<Vec<_>>();
        found.map(|LinkSeries { url_id, points }| (url_id, counts(points))).collect::<Vec<_>>()
    };
    let days = ["2024-02-28T00:00:00", "2024-02-29T00:00:00", "2024-03-01T00:00:00"];
    let of_first = vec![(1, 0), (2, 1)];
    let expected = [(of_ben, vec![(0, 0), (0, 1)]), (first, of_first.clone()), (second, vec![(0, 0); 2])];
    assert_eq!(ask(&[of_ben, id(999), first, second], None, &days).await, expected);
    assert_eq!(ask(&[of_ben, first], Some(ada), &days).await, [(first, of_first)]);
    assert_eq!(ask(&[], None, &days).await, []);
    // Points may have any length in full hours.
    let uneven = ["2024-02-28T23:00:00", "2024-02-29T00:00:00", "2024-02-29T01:00:00", "2024-02-29T02:00:00"];
    assert_eq!(ask(&[first], None, &uneven).await, [(first, vec![(1, 0), (2, 0), (0, 0)])]);
    assert_eq!(ask(&[first], None, &["2024-02-29T02:00:00", "2024-02-29T03:00:00"]).await, [(first, vec![(0, 1)])]);
    store.delete_user(ben, true).await.unwrap();
    assert_eq!(ask(&[of_ben], None, &days).await, []);
}

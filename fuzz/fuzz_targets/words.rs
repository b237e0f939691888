//! Domain types that clients, files and other processes write: an accepted value is the same after it is written and read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tern_common::event::EventType;
use tern_common::product::Price;
use tern_common::store::Cursor;
use tern_common::token::{Role, TokenName};
use tern_common::url::Title;
use tern_common::user::{Email, Username};
use tern_common::{Id, ShortCode, TargetUrl, Timestamp};

fuzz_target!(|text: &str| {
    if let Ok(target) = TargetUrl::parse(text) {
        let location = target.location();
        assert!(location.bytes().all(|byte| (0x21..=0x7e).contains(&byte)), "{location:?}");
        assert_eq!(target.as_given(), text);
        // The served location is itself a target, and is its own location.
        let served = TargetUrl::parse(location).expect("a location is a target");
        assert_eq!(served.location(), location);
    }
    if let Ok(code) = ShortCode::parse(text) {
        assert_eq!(code.as_str(), text);
        assert!(ShortCode::has_shape(text.as_bytes()));
    }
    if let Ok(time) = Timestamp::parse(text) {
        assert_eq!(Timestamp::parse(&time.to_string()).ok(), Some(time), "{time}");
    }
    if let Some(id) = Id::parse(text) {
        assert_eq!(Id::parse(&id.to_string()), Some(id));
    }
    if let Ok(price) = Price::parse(text) {
        assert_eq!(Price::parse(&price.to_string()), Ok(price));
    }
    if let Ok(cursor) = text.parse::<Cursor>() {
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
    }
    if let Ok(role) = text.parse::<Role>() {
        assert_eq!(role.as_str(), text);
    }
    if let Ok(name) = text.parse::<TokenName>() {
        assert_eq!(name.as_str(), text);
    }
    assert!(EventType::parse(text).map_or(true, |it| it.as_str() == text));
    assert!(Title::parse(text).map_or(true, |it| it.as_str() == text));
    assert!(Username::parse(text).map_or(true, |it| it.as_str() == text));
    assert!(Email::parse(text).map_or(true, |it| it.as_str() == text));
});

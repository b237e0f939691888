//! JSON texts: the check agrees with `serde_json` up to the depth limit, and the text is passed on unchanged.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tern_common::ClickSource;
use tern_common::event::{Details, EventType};
use tern_common::json::{InvalidJson, JsonText, Kind, MAX_DEPTH};

/// Returns the depth of a value.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(values) => 1 + values.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fuzz_target!(|bytes: &[u8]| {
    let read = JsonText::parse(bytes, MAX_DEPTH);
    match (read, serde_json::from_slice::<Value>(bytes)) {
        (Ok(text), Ok(value)) => {
            assert!(depth(&value) <= MAX_DEPTH);
            assert_eq!(text.kind() == Kind::Object, value.is_object());
            assert_eq!(text.text().as_deref(), value.as_str());
            for (name, _) in text.fields() {
                let name = name.text().expect("a name is a string");
                let field = text.field(&name).expect("a field is found by its name");
                // A number in the text is in the range of doubles, since `serde_json` accepted the whole text.
                assert_eq!(serde_json::from_str::<Value>(field.as_str()).ok().as_ref(), value.get(&*name));
            }
            assert_eq!(JsonText::parse(text.as_str().as_bytes(), MAX_DEPTH), Ok(text));
        }
        (Ok(_), Err(error)) => assert!(error.to_string().contains("out of range"), "{error}"),
        (Err(InvalidJson::TooDeep), Ok(value)) => assert!(depth(&value) > MAX_DEPTH),
        (Err(InvalidJson::Broken), Ok(_)) => panic!("valid JSON is refused"),
        (Err(_), Err(_)) => {}
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // Any text of the database is shown as a valid JSON object.
    let stored = Details::stored(text);
    let shown = JsonText::parse(stored.as_str().as_bytes(), Details::MAX_DEPTH).expect("shown details are JSON");
    assert_eq!(shown.kind(), Kind::Object);
    if let Ok(details) = Details::parse(text) {
        assert!(details.as_str().len() <= Details::MAX_LEN);
        assert_eq!(Details::stored(details.as_str()), details);
        if !text.trim().is_empty() {
            assert_eq!(details.as_str(), text.trim());
        }
    }
    let _ = ClickSource::of_event(EventType::CLICKED, &stored);
});

//! Tests of the deserializer.

use std::cell::RefCell;
use std::collections::HashMap;

use proptest::prelude::*;

use super::super::MAX_DEPTH;
use super::*;

#[derive(Debug, PartialEq, serde::Deserialize)]
struct Inner {
    target: String,
    weight: Option<u8>,
}

#[derive(Debug, PartialEq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Any,
    All,
}

#[derive(Debug, PartialEq, serde::Deserialize)]
struct Outer<'a> {
    name: String,
    flag: Option<bool>,
    note: Option<Option<String>>,
    inner: Option<Option<Inner>>,
    mode: Option<Mode>,
    parts: Option<Vec<Inner>>,
    #[serde(borrow)]
    raw: Option<SourceText<'a>>,
}

fn read_outer(text: &str) -> (Result<Outer<'_>, String>, Vec<String>) {
    let unknown = RefCell::new(Vec::new());
    let checked = JsonText::parse(text.as_bytes(), MAX_DEPTH).unwrap();
    let on_unknown = |name: &str| unknown.borrow_mut().push(name.to_owned());
    let value = read(JsonReader::new(checked, &on_unknown));
    (value, unknown.into_inner())
}

#[test]
fn absent_and_null_fields_are_distinguished() {
    let empty = Outer { name: "a".to_owned(), flag: None, note: None, inner: None, mode: None, parts: None, raw: None };
    let (value, unknown) = read_outer(r#"{"name":"a","b":[{}],"c":1}"#);
    assert_eq!((value, unknown), (Ok(empty), vec!["b".to_owned(), "c".to_owned()]));
    let text = r#"{"flag":false,"name":"x","name":"\u0061","note":null,"mode":"all","raw":{"z":1.10, "a":1e400},
            "parts":[{"target":"t","more":1},{"weight":7,"target":"u"}]}"#;
    let (value, unknown) = read_outer(text);
    let part = |target: &str, weight| Inner { target: target.to_owned(), weight };
    let expected = Outer {
        name: "a".to_owned(),
        flag: Some(false),
        note: Some(None),
        inner: None,
        mode: Some(Mode::All),
        parts: Some(vec![part("t", None), part("u", Some(7))]),
        raw: Some(SourceText(r#"{"z":1.10, "a":1e400}"#)),
    };
    assert_eq!((value, unknown), (Ok(expected), vec!["more".to_owned()]));
}

#[test]
fn invalid_value_is_reported_with_its_place_and_the_expectation() {
    let check = |text: &str, expected: &str| assert_eq!(read_outer(text).0, Err(expected.to_owned()), "{text}");
    check("{}", "name is required");
    check("[]", "must be an object");
    check(r#"{"name":5}"#, "name must be a string");
    check(r#"{"name":null}"#, "name must be a string");
    check(r#"{"name":"a","flag":null}"#, "flag must be true or false");
    check(r#"{"name":"a","flag":"true"}"#, "flag must be true or false");
    for note in ["5", "[]", "[5]", "{}", r#"{"a":1}"#] {
        check(&format!(r#"{{"name":"a","note":{note}}}"#), "note must be a string or null");
    }
    check(r#"{"name":"a","inner":[]}"#, "inner must be an object or null");
    check(r#"{"name":"a","inner":{"target":5}}"#, "inner.target must be a string");
    check(r#"{"name":"a","mode":"some"}"#, "mode must be any or all");
    check(r#"{"name":"a","mode":1}"#, "mode must be any or all");
    check(r#"{"name":"a","parts":{}}"#, "parts must be an array");
    check(r#"{"name":"a","parts":[{"target":"x"},5]}"#, "parts[1] must be an object");
    check(r#"{"name":"a","parts":[{}]}"#, "parts[0].target is required");
    check(r#"{"name":"a","parts":[{"target":"x","weight":1.0}]}"#, "parts[0].weight must be an integer");
    check(r#"{"name":"a","parts":[{"target":"x","weight":256}]}"#, "parts[0].weight must be an integer");
}

#[test]
fn unknown_name_beside_an_invalid_value_is_reported() {
    assert_eq!(read_outer(r#"{"name":5,"sort":1}"#).1, ["sort"]);
}

#[test]
fn reason_of_a_domain_type_is_reported_with_its_place() {
    let at = |place: &str, reason: &str| Mismatch::Refused(reason.to_owned()).at(place);
    assert_eq!(at("title", "title must be short"), "title must be short");
    assert_eq!(at("set.title", "title must be short"), "set.title must be short");
    assert_eq!(at("from", "must be a time"), "from must be a time");
    assert_eq!(at("expired_url", "original_url must be short"), "expired_url: original_url must be short");
}

type Plain = (i64, u64, bool, String, Vec<f64>);

proptest! {
    #[test]
    fn value_that_serde_json_wrote_is_read_back(name: String, values in prop::collection::vec(any::<Option<Plain>>(), 0..4)) {
        let object = HashMap::from([(name, values)]);
        let text = serde_json::to_string(&object).unwrap();
        let checked = JsonText::parse(text.as_bytes(), MAX_DEPTH).unwrap();
        let given: HashMap<String, Vec<Option<Plain>>> = read(JsonReader::new(checked, &|_| {})).unwrap();
        prop_assert_eq!(given, object);
    }
}

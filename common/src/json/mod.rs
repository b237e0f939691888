//! JSON texts from outside, checked once and passed on unchanged.
//!
//! The check is one pass without recursion and without a tree. Its memory does not depend on the text.
//! Numbers, the order of keys and blanks are preserved.
//! No key has a special meaning, unlike the private keys of libraries that build trees.

mod read;
mod scan;
mod write;

use std::borrow::Cow;
use std::iter;

pub(crate) use read::deserialize_by_parse;
pub use read::{JsonReader, Mismatch, SourceText, read};
pub use scan::InvalidJson;
pub(crate) use write::write_plain;
pub use write::{ObjectWriter, WriteJson, write_array};

use self::scan::Scan;

/// The greatest allowed depth of a JSON text from outside. The outermost object or array counts.
pub const MAX_DEPTH: usize = 32;

/// A JSON text without surrounding blanks, checked by [`JsonText::parse`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonText<'a>(&'a str);

/// The kind of a JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Object,
    Array,
    String,
    Number,
    Bool,
    Null,
}

impl<'a> JsonText<'a> {
    /// Checks a whole text against RFC 8259.
    ///
    /// # Errors
    /// [`InvalidJson::TooDeep`] if it is nested more than `max_depth` deep. [`InvalidJson::Broken`] if it is not JSON in
    /// UTF-8. An escape of half a surrogate pair is not JSON.
    pub fn parse(bytes: &'a [u8], max_depth: usize) -> Result<JsonText<'a>, InvalidJson> {
        let text = std::str::from_utf8(bytes).map_err(|_| InvalidJson::Broken)?;
        let mut scan = Scan::new(text);
        let value = scan.value(max_depth)?;
        if scan.is_at_end() { Ok(JsonText(value)) } else { Err(InvalidJson::Broken) }
    }

    /// Wraps a text that [`JsonText::as_str`] returned before.
    /// For any other text the methods return wrong values, but do not panic.
    pub fn of_checked(text: &'a str) -> JsonText<'a> {
        JsonText(text)
    }

    pub fn as_str(self) -> &'a str {
        self.0
    }

    pub fn kind(self) -> Kind {
        match self.0.as_bytes().first() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'n') => Kind::Null,
            _ => Kind::Number,
        }
    }

    /// Decodes a JSON string; `None` for every other value.
    pub fn text(self) -> Option<Cow<'a, str>> {
        let inner = self.0.strip_prefix('"')?.strip_suffix('"')?;
        if inner.contains('\\') {
            serde_json::from_str(self.0).ok().map(Cow::Owned)
        } else {
            Some(Cow::Borrowed(inner))
        }
    }

    /// Returns the names and values of an object in the order of the text; nothing for every other value.
    ///
    /// A name is a JSON string, with its quotes.
    pub fn fields(self) -> impl Iterator<Item = (JsonText<'a>, JsonText<'a>)> {
        let mut scan = Scan::within(self.0, '{');
        iter::from_fn(move || scan.field().map(|(name, value)| (JsonText(name), JsonText(value))))
    }

    /// Returns the items of an array in the order of the text; nothing for every other value.
    pub fn items(self) -> impl Iterator<Item = JsonText<'a>> {
        let mut scan = Scan::within(self.0, '[');
        iter::from_fn(move || scan.item().map(JsonText))
    }

    /// Finds the last field of an object with a name.
    pub fn field(self, name: &str) -> Option<JsonText<'a>> {
        let named = self.fields().filter(|(given, _)| given.text().is_some_and(|given| given == name));
        named.last().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn parse(text: &str) -> Result<&str, InvalidJson> {
        JsonText::parse(text.as_bytes(), MAX_DEPTH).map(JsonText::as_str)
    }

    #[test]
    fn valid_text_is_returned_without_surrounding_blanks() {
        for text in [
            "{}",
            "[]",
            "null",
            "true",
            "false",
            "0",
            "-0",
            "-0.0e+10",
            "1E5",
            "12345678901234567890123.0100",
            r#""""#,
            r#""\"\\\/\b\f\n\r\t\u0000\ud83e\udd80é""#,
            r#"{"a":1,"a":{"b":[1, 2 ,[ ]]}, "c":{ }}"#,
        ] {
            assert_eq!(parse(text), Ok(text));
            assert_eq!(parse(&format!(" \t\r\n{text}\n ")), Ok(text));
        }
    }

    #[test]
    fn text_that_is_not_json_is_refused() {
        for text in [
            "",
            " ",
            "{",
            "}",
            "[",
            "[1",
            "[1,",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[1}",
            "{]",
            "{,}",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            r#"{"a" 1}"#,
            r#"{"a":1 "b":2}"#,
            r#"{a:1}"#,
            r#"{'a':1}"#,
            r#"{1:1}"#,
            "{}{}",
            "1 1",
            "01",
            "+1",
            "-",
            "1.",
            ".5",
            "1e",
            "1e+",
            "0x10",
            "NaN",
            "Infinity",
            "nul",
            "nulll",
            "True",
            r#"""#,
            r#""\"#,
            r#""\""#,
            r#""\x""#,
            r#""\u12""#,
            r#""\u12g4""#,
            r#""\ud800""#,
            r#""\udc00""#,
            r#""\ud800\ud800""#,
            r#""\ud800\u0041""#,
            r#""\ud800x""#,
            "\"\n\"",
            "\"\u{0}\"",
            "\u{feff}{}",
            "\u{a0}{}",
            "// x\n{}",
        ] {
            assert_eq!(parse(text), Err(InvalidJson::Broken), "{text:?}");
        }
        assert_eq!(JsonText::parse(b"\"\xff\"", MAX_DEPTH), Err(InvalidJson::Broken));
    }

    #[test]
    fn depth_is_bounded_for_arrays_and_objects_under_every_key() {
        let arrays = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let objects =
            |key: &str, depth: usize| format!("{}1{}", format!("{{\"{key}\":").repeat(depth), "}".repeat(depth));
        for key in ["a", "", "$serde_json::private::RawValue", "$serde_json::private::Number"] {
            assert!(parse(&objects(key, 32)).is_ok());
            assert_eq!(parse(&objects(key, 33)), Err(InvalidJson::TooDeep));
        }
        assert!(parse(&arrays(32)).is_ok());
        assert_eq!(parse(&arrays(33)), Err(InvalidJson::TooDeep));
        assert_eq!(parse(&"[".repeat(1_000_000)), Err(InvalidJson::TooDeep));
        assert!(parse(&format!("[{}]", "[],".repeat(100_000) + "[]")).is_ok());
    }

    #[test]
    fn hostile_text_is_read_within_a_stack_of_16_kib() {
        let deep = "{\"$serde_json::private::RawValue\":[".repeat(500_000);
        let wide = format!("[{}{{}}]", "{\"a\":[[[]]]},".repeat(100_000));
        let read = move || {
            let is_deep = JsonText::parse(deep.as_bytes(), MAX_DEPTH) == Err(InvalidJson::TooDeep);
            is_deep && JsonText::parse(wide.as_bytes(), MAX_DEPTH).is_ok()
        };
        // The operating system may round the size up, but a frame for each level of nesting would still not fit.
        let thread = std::thread::Builder::new().stack_size(16 * 1024).spawn(read).unwrap();
        assert!(thread.join().unwrap());
    }

    #[test]
    fn field_is_found_by_its_decoded_name_and_the_last_one_counts() {
        let text = r#"{ "a" : 1 ,"b":"x","\u0061":{"a":[2]}, "c":null}"#;
        let object = JsonText::parse(text.as_bytes(), MAX_DEPTH).unwrap();
        let field = |name| object.field(name).map(JsonText::as_str);
        assert_eq!(field("a"), Some(r#"{"a":[2]}"#));
        assert_eq!(field("b"), Some(r#""x""#));
        assert_eq!(field("c"), Some("null"));
        assert_eq!(field("d"), None);
        assert_eq!(object.fields().count(), 4);
        for other in ["[{\"a\":1}]", "\"a\"", "5", "{}"] {
            assert_eq!(JsonText::parse(other.as_bytes(), MAX_DEPTH).unwrap().fields().count(), 0, "{other}");
        }
    }

    #[test]
    fn items_of_an_array_are_returned_in_order() {
        let check = |text: &str, expected: &[&str]| {
            let array = JsonText::parse(text.as_bytes(), MAX_DEPTH).unwrap();
            assert!(array.items().map(JsonText::as_str).eq(expected.iter().copied()), "{text}");
        };
        check("[]", &[]);
        check(" [ ] ", &[]);
        check("[1]", &["1"]);
        check("[ {\"a\":[1,2]} , [ ] ,\"x,]\", null ]", &["{\"a\":[1,2]}", "[ ]", "\"x,]\"", "null"]);
        for other in ["{\"a\":1}", "\"[1]\"", "5", "null"] {
            check(other, &[]);
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::vec((".*", inner), 0..8)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn text_that_serde_json_writes_is_valid_and_has_the_same_fields(value in value()) {
            let text = value.to_string();
            let read = JsonText::parse(text.as_bytes(), MAX_DEPTH).unwrap();
            prop_assert_eq!(read.as_str(), &text);
            if let Value::Array(array) = &value {
                let items: Vec<String> = array.iter().map(Value::to_string).collect();
                prop_assert!(read.items().map(JsonText::as_str).eq(items.iter().map(String::as_str)));
            }
            if let Value::Object(object) = &value {
                prop_assert_eq!(read.fields().count(), object.len());
                for (name, value) in object {
                    let field = read.field(name).unwrap();
                    prop_assert_eq!(field.as_str(), value.to_string());
                }
            }
        }

        #[test]
        fn damaged_text_is_accepted_only_if_serde_json_accepts_it(value in value(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut text = value.to_string().into_bytes();
            let at = at.index(text.len());
            text[at] = byte;
            let expected = serde_json::from_slice::<Value>(&text);
            let is_out_of_range = expected.as_ref().is_err_and(|error| error.to_string().contains("out of range"));
            prop_assert!(is_out_of_range || JsonText::parse(&text, MAX_DEPTH).is_ok() == expected.is_ok());
        }
    }
}

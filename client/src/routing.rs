//! Rules and variants of a link as texts of the command line.

use serde_json::{Map, Value, json};

/// Reads a rule such as `device=ios,country=AT:https://example.com/app` into the form of the API. An empty text is none.
///
/// The API checks the types, the values and the target.
pub(crate) fn parse_rule(text: &str) -> Result<Option<Value>, String> {
    const EXPECTED: &str = "write conditions and a target, such as device=ios,country=AT:https://example.com/app";
    if text.is_empty() {
        return Ok(None);
    }
    // A time has colons too, and so has the target.
    let lower = text.to_ascii_lowercase();
    let colon = [":http://", ":https://"].into_iter().filter_map(|start| lower.find(start)).min().ok_or(EXPECTED)?;
    let (conditions, target) = (&text[..colon], &text[colon + 1..]);
    let conditions: Option<Vec<Value>> = conditions.split(',').map(condition).collect();
    Ok(Some(json!({ "target": target, "if": conditions.ok_or(EXPECTED)? })))
}

fn condition(text: &str) -> Option<Value> {
    let (kind, rest) = text.trim().split_once('=')?;
    let mut condition = Map::new();
    condition.insert("type".to_owned(), json!(kind));
    let (key, value) = match kind {
        "query" => rest.split_once('=').map(|(key, value)| (Some(key), Some(value)))?,
        "query_any" => (Some(rest), None),
        _ => (None, Some(rest)),
    };
    condition.extend(key.map(|key| ("key".to_owned(), json!(key))));
    condition.extend(value.map(|value| ("value".to_owned(), json!(value))));
    Some(Value::Object(condition))
}

/// Reads a variant such as `https://example.com/b=30` into the form of the API. An empty text is none.
pub(crate) fn parse_variant(text: &str) -> Result<Option<Value>, String> {
    const EXPECTED: &str = "write a target and its share in percent, such as https://example.com/b=30";
    if text.is_empty() {
        return Ok(None);
    }
    let (target, weight) = text.rsplit_once('=').ok_or(EXPECTED)?;
    let weight: i64 = weight.trim_end_matches('%').parse().map_err(|_| EXPECTED)?;
    Ok(Some(json!({ "target": target, "weight": weight })))
}

/// Returns a rule or a variant of an answer as a line for people.
pub(crate) fn describe(item: &Value) -> Option<String> {
    let target = item.get("target")?.as_str()?;
    if let Some(weight) = item.get("weight") {
        return Some(format!("{weight} % {target}"));
    }
    let conditions = item.get("if")?.as_array()?.iter().map(|condition| {
        let text = |name: &str| condition.get(name).and_then(Value::as_str);
        let parts = [text("type"), text("key"), text("value")];
        parts.into_iter().flatten().collect::<Vec<_>>().join("=")
    });
    Some(format!("{}: {target}", conditions.collect::<Vec<_>>().join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_has_conditions_and_a_target() {
        let check = |text: &str, conditions: Value, target: &str| {
            let expected = json!({ "target": target, "if": conditions });
            assert_eq!(parse_rule(text), Ok(Some(expected)), "{text}");
        };
        check("device=ios:https://a.example/:x", json!([{"type": "device", "value": "ios"}]), "https://a.example/:x");
        check(
            "country=AT, language=de:HTTP://a.example/?u=:http://b",
            json!([{"type": "country", "value": "AT"}, {"type": "language", "value": "de"}]),
            "HTTP://a.example/?u=:http://b",
        );
        check(
            "query=a=b=c,query_any=d,before=2027-01-31T08:00:00:https://a.example/",
            json!([
                {"type": "query", "key": "a", "value": "b=c"},
                {"type": "query_any", "key": "d"},
                {"type": "before", "value": "2027-01-31T08:00:00"},
            ]),
            "https://a.example/",
        );
        assert_eq!(parse_rule(""), Ok(None));
        for text in ["device=ios", "https://a.example/", "device:https://a.example/", "query=a:https://a.example/"] {
            assert!(parse_rule(text).is_err(), "{text}");
        }
    }

    #[test]
    fn variant_has_a_target_and_a_share() {
        let check = |text: &str, target: &str, weight: i64| {
            assert_eq!(parse_variant(text), Ok(Some(json!({ "target": target, "weight": weight }))), "{text}");
        };
        check("https://b.example=30", "https://b.example", 30);
        check("https://b.example/?x=1=30%", "https://b.example/?x=1", 30);
        assert_eq!(parse_variant(""), Ok(None));
        for text in ["https://b.example", "https://b.example=", "https://b.example=a", "30"] {
            assert!(parse_variant(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rule_and_variant_are_described_in_one_line() {
        let rule = parse_rule("device=ios,query=a=b:https://a.example/").unwrap().unwrap();
        assert_eq!(describe(&rule).as_deref(), Some("device=ios, query=a=b: https://a.example/"));
        let variant = parse_variant("https://b.example=30").unwrap().unwrap();
        assert_eq!(describe(&variant).as_deref(), Some("30 % https://b.example"));
        assert_eq!(describe(&json!("summer")), None);
    }
}

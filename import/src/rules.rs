//! Rules of other services, in the form of Tern's API.

use serde_json::{Value, json};

use crate::cells::Cells;
use crate::field::Field;

/// Returns the rules of a row as JSON; `None` if it has none.
///
/// A target for a device precedes those for countries, as in Sink. A rule that Tern cannot express is left out, and named.
pub(crate) fn of_row(cells: &Cells<'_>, remarks: &mut Vec<String>) -> Option<String> {
    if let Some(own) = cells.text(Field::Rules) {
        return Some(own.to_owned());
    }
    let mut rules = Vec::new();
    for (field, device) in [(Field::AndroidTarget, "android"), (Field::IosTarget, "ios")] {
        if let Some(target) = cells.text(field) {
            rules.push(rule(target, vec![condition("device", device)]));
        }
    }
    for (country, target) in parse(cells, Field::CountryTargets).as_object().into_iter().flatten() {
        if let Some(target) = target.as_str().filter(|target| !target.is_empty()) {
            rules.push(rule(target, vec![condition("country", country)]));
        }
    }
    for (at, listed) in parse(cells, Field::ShlinkRules).as_array().into_iter().flatten().enumerate() {
        match shlink_rule(listed) {
            Ok(rule) => rules.push(rule),
            Err(reason) => remarks.push(format!("the redirect rule {} was left out: {reason}", at + 1)),
        }
    }
    (!rules.is_empty()).then(|| Value::Array(rules).to_string())
}

fn parse(cells: &Cells<'_>, field: Field) -> Value {
    cells.text(field).and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
}

fn rule(target: &str, conditions: Vec<Value>) -> Value {
    json!({ "target": target, "if": conditions })
}

fn condition(kind: &str, value: &str) -> Value {
    json!({ "type": kind, "value": value })
}

/// Converts a rule of Shlink's API, or returns the reason why Tern has no such rule.
fn shlink_rule(listed: &Value) -> Result<Value, String> {
    let target = listed["longUrl"].as_str().ok_or("it has no longUrl")?;
    let conditions = listed["conditions"].as_array().filter(|conditions| !conditions.is_empty());
    let conditions = conditions.ok_or("it has no condition")?.iter().map(shlink_condition);
    Ok(rule(target, conditions.collect::<Result<_, _>>()?))
}

fn shlink_condition(listed: &Value) -> Result<Value, String> {
    let kind = listed["type"].as_str().unwrap_or_default();
    let key = listed["matchKey"].as_str().unwrap_or_default();
    let value = listed["matchValue"].as_str().unwrap_or_default();
    Ok(match kind {
        "device" | "language" => condition(kind, value),
        "geolocation-country-code" => condition("country", value),
        "before-date" => condition("before", value),
        "after-date" => condition("after", value),
        "query-param" => json!({ "type": "query", "key": key, "value": value }),
        "any-value-query-param" => json!({ "type": "query_any", "key": key }),
        other => return Err(format!("Tern has no condition like {other:?}")),
    })
}

//! The names that requests may carry, read back from the description: query parameters and fields of bodies.

use std::collections::HashMap;

use axum::http::Method;
use serde_json::Value;
use utoipa::OpenApi;

use super::Description;

/// The names that an operation reads.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// Parameters of the query.
    pub(crate) parameters: Vec<String>,
    /// Fields of a JSON body, or of the objects that the body is an array of.
    pub(crate) fields: Vec<String>,
}

/// Lists the names that each operation reads, by path and method.
pub(crate) fn names() -> HashMap<String, HashMap<Method, Names>> {
    let description = serde_json::to_value(Description::openapi()).expect("a description is plain data");
    let paths = description["paths"].as_object().into_iter().flatten();
    paths
        .map(|(path, item)| {
            let operations = item.as_object().into_iter().flatten().filter_map(|(method, operation)| {
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).ok()?;
                Some((method, names_of(&description, operation)))
            });
            (path.clone(), operations.collect())
        })
        .collect()
}

fn names_of(description: &Value, operation: &Value) -> Names {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let parameters = parameters.filter(|parameter| parameter["in"] == "query");
    let mut fields = Vec::new();
    for (_, content) in operation["requestBody"]["content"].as_object().into_iter().flatten().filter(is_json) {
        add_fields(description, &content["schema"], &mut fields);
    }
    Names { parameters: parameters.filter_map(|it| Some(it["name"].as_str()?.to_owned())).collect(), fields }
}

fn is_json((media_type, _): &(&String, &Value)) -> bool {
    media_type.ends_with("json")
}

fn add_fields(description: &Value, schema: &Value, names: &mut Vec<String>) {
    let referred = schema["$ref"].as_str().and_then(|path| description.pointer(path.trim_start_matches('#')));
    let alternatives = ["oneOf", "anyOf", "allOf"].into_iter().filter_map(|word| schema[word].as_array()).flatten();
    for part in referred.into_iter().chain(schema.get("items")).chain(alternatives) {
        add_fields(description, part, names);
    }
    names.extend(schema["properties"].as_object().into_iter().flat_map(|fields| fields.keys().cloned()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_an_operation_are_those_of_its_description() {
        let names = names();
        let check = |method: Method, path: &str, parameters: &[&str], fields: &[&str]| {
            let operation = &names[path][&method];
            assert_eq!(operation.parameters, parameters, "{method} {path}");
            assert_eq!(operation.fields, fields, "{method} {path}");
        };
        check(
            Method::GET,
            "/urls",
            &["page", "per_page", "after", "before", "user_id", "is_active", "short_code"],
            &[],
        );
        check(Method::DELETE, "/users/{id}", &["cascade"], &[]);
        check(Method::PUT, "/urls/{id}", &[], &["is_active", "original_url", "title"]);
        check(Method::POST, "/users/bulk", &[], &["email", "username"]);
        check(Method::GET, "/health", &[], &[]);
        assert!(!names["/users"].contains_key(&Method::DELETE));
    }
}

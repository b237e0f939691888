//! The descriptions that operations have in common: errors, headers, tokens.
//!
//! A handler names the headers of its answer and the errors of its own. This module adds the errors that follow from the
//! request, and replaces each name by a reference to its description.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr};

use super::redirect;
use crate::access::Area;

const REQUEST_ID: &str = "X-Request-Id";

const IGNORED: &str = "Tern-Ignored";

/// One kind of error: its status and reason phrase, a description, a message as an example, and headers of its own.
type Kind = (&'static str, &'static str, &'static str, &'static str, &'static [&'static str]);

const KINDS: [Kind; 13] = [
    ("400", "Bad Request", "The request is not valid; the message names the fault", "username is required", &[]),
    (
        "401",
        "Unauthorized",
        "A token is missing, unknown, expired or revoked",
        "The token has expired",
        &["WWW-Authenticate"],
    ),
    ("403", "Forbidden", "The client may not do this", "The role of this token does not allow this", &[]),
    ("404", "Not Found", "There is nothing of that name", "User 99 not found", &[]),
    ("405", "Method Not Allowed", "The path has other methods", "This method is not allowed here", &["Allow"]),
    ("409", "Conflict", "The change conflicts with an existing row", "Username is already taken", &[]),
    ("410", "Gone", "The link is deactivated", "This shortened URL has been deactivated", &[]),
    (
        "412",
        "Precondition Failed",
        "The link has another revision than `If-Match` names",
        "The link has changed since: its revision is 3",
        &[],
    ),
    ("413", "Payload Too Large", "The body is over its limit", "The body must have at most 1.0 MiB", &[]),
    (
        "415",
        "Unsupported Media Type",
        "The body is compressed; send it uncompressed",
        "The body must not be compressed: no Content-Encoding is supported",
        &[],
    ),
    (
        "429",
        "Too Many Requests",
        "The client exceeded its rate of requests",
        "Too many requests; please wait a moment",
        &["Retry-After"],
    ),
    (
        "500",
        "Internal Server Error",
        "A defect of the server; its log has the cause",
        "Something went wrong on our side",
        &[],
    ),
    (
        "503",
        "Service Unavailable",
        "A part of the service is unavailable or busy; a later try may succeed",
        "Database is unavailable",
        &[],
    ),
];

/// Returns each header of an answer: its name, description, schema and an example.
fn headers() -> [(&'static str, &'static str, ObjectBuilder, Value); 12] {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    [
        ("Allow", "The methods of the path", text(), json!("GET,HEAD,POST")),
        (
            "Content-Disposition",
            "The name of the file",
            text(),
            json!("attachment; filename=\"tern-urls-2026-01-31.csv\""),
        ),
        (
            "ETag",
            "The revision of the link, for `If-Match` and `If-None-Match`; for an image, its hash",
            text(),
            json!("\"3\""),
        ),
        (
            "Link",
            "The addresses of the next page (`rel=\"next\"`) and the previous page (`rel=\"prev\"`), if they exist",
            text(),
            json!("</urls?after=40&per_page=20>; rel=\"next\", </urls?before=21&per_page=20>; rel=\"prev\""),
        ),
        ("Location", "The target of the link, in visible ASCII", text(), json!("https://example.com/hello")),
        (
            "Retry-After",
            "The seconds after which the client may try again",
            ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)),
            json!(1),
        ),
        (
            IGNORED,
            "Query parameters and fields of the body that the operation does not know and ignored",
            text(),
            json!("short_code, sort"),
        ),
        (
            "Tern-Visible",
            "How many of the live redirectors serve the change; `?` while Redis is unavailable: any number of them may \
             serve the previous link",
            text().pattern(Some("^([0-9]+/[0-9]+|[?])$")),
            json!("2/2"),
        ),
        ("WWW-Authenticate", "The scheme of authentication", text(), json!("Bearer")),
        ("X-Cache", "Whether the answer is from the cache", text().enum_values(Some(["HIT", "MISS"])), json!("HIT")),
        (
            REQUEST_ID,
            "The `X-Request-Id` of the request if it has 1 to 128 visible ASCII characters, and a new one otherwise",
            text().min_length(Some(1)).max_length(Some(128)),
            json!("4bf92f3577b34da6a3ce929d0e0e4736"),
        ),
        (
            "X-Total-Count",
            "The number of rows of the whole list; `10000+` for more than that with several filters",
            text().pattern(Some("^[0-9]+[+]?$")),
            json!("2000"),
        ),
    ]
}

/// Adds the common parts to a description whose paths belong to `areas`.
pub(crate) fn complete(openapi: &mut OpenApi, areas: &HashMap<String, Area>) {
    let components = openapi.components.get_or_insert_default();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
    let bearer = bearer.description(Some("Not needed while the API is open"));
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer.build()));
    for (name, description, schema, example) in headers() {
        let header = HeaderBuilder::new().schema(Some(schema)).description(Some(description));
        components.headers.insert(name.to_owned(), header.example(Some(example)).build().into());
    }
    for kind in KINDS {
        components.responses.insert(component(kind.1), described(kind).into());
    }
    merge_parts(&mut components.schemas);
    openapi.security = Some(vec![SecurityRequirement::default(), SecurityRequirement::new("bearer", [""; 0])]);
    for (path, item) in &mut openapi.paths.paths {
        let is_public = areas.get(path).is_none_or(|area| *area == Area::Public);
        if let (Some(put), Some(patch)) = (&item.put, &mut item.patch) {
            // One handler answers both, and an id belongs to one operation.
            patch.operation_id = put.operation_id.as_ref().map(|id| id.replace("update", "patch"));
        }
        for operation in
            [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete].into_iter().flatten()
        {
            complete_operation(operation, path, is_public);
        }
    }
}

/// Describes each type with flattened parts as one object with the fields of all parts.
fn merge_parts(schemas: &mut BTreeMap<String, RefOr<Schema>>) {
    let parts = schemas.clone();
    for schema in schemas.values_mut() {
        let RefOr::T(Schema::AllOf(all_of)) = schema else { continue };
        let mut merged = ObjectBuilder::new().description(all_of.description.take()).build();
        for part in &all_of.items {
            let part = match part {
                RefOr::Ref(part) => part.ref_location.rsplit('/').next().and_then(|name| parts.get(name)),
                part @ RefOr::T(_) => Some(part),
            };
            if let Some(RefOr::T(Schema::Object(part))) = part {
                merged.properties.extend(part.properties.clone());
                merged.required.extend(part.required.clone());
            }
        }
        *schema = Schema::Object(merged).into();
    }
}

/// Adds the errors that follow from the request of an operation, and replaces names by references.
fn complete_operation(operation: &mut Operation, path: &str, is_public: bool) {
    for status in errors(operation, path, is_public) {
        operation.responses.responses.entry(status.to_owned()).or_insert_with(|| Response::default().into());
    }
    for (status, response) in &mut operation.responses.responses {
        if let Some((_, reason, ..)) = KINDS.iter().find(|(code, ..)| code == status) {
            *response = Ref::from_response_name(component(reason)).into();
        } else if let RefOr::T(response) = response {
            // The query of a short code is ignored without a header.
            let common = if redirect::PATHS.contains(&path) { &[REQUEST_ID][..] } else { &[REQUEST_ID, IGNORED] };
            let named = response.headers.keys().cloned().chain(common.iter().map(ToString::to_string));
            response.headers = named.map(|name| (name.clone(), RefOr::Ref(header(&name)))).collect();
        }
    }
}

/// Returns the errors that follow from the request of an operation.
fn errors(operation: &Operation, path: &str, is_public: bool) -> Vec<&'static str> {
    let takes = |place: ParameterIn| {
        let mut parameters = operation.parameters.iter().flatten();
        parameters.any(|parameter| matches!(parameter, RefOr::T(parameter) if parameter.parameter_in == place))
    };
    let has_body = operation.request_body.is_some();
    let is_session = path == "/admin/session" || path == "/admin/access";
    let is_static = ["/", "/health", "/openapi.json"].contains(&path)
        || path.starts_with("/docs")
        || path.starts_with("/admin") && !is_session;
    // `/logs` accepts any value of its parameter.
    let checks_query = takes(ParameterIn::Query) && path != "/logs";
    let all = [
        (has_body || checks_query, "400"),
        (!is_public, "401"),
        (!is_public, "403"),
        (!is_public, "429"),
        (takes(ParameterIn::Path), "404"),
        (has_body, "413"),
        (has_body, "415"),
        (!is_static, "500"),
        (!is_static && !["/metrics", "/logs", "/system"].contains(&path), "503"),
    ];
    all.into_iter().filter(|(is_possible, _)| *is_possible).map(|(_, status)| status).collect()
}

/// Returns `NotFound` for "Not Found".
fn component(reason: &str) -> String {
    reason.replace(' ', "")
}

fn described((_, reason, description, message, headers): Kind) -> Response {
    let example = json!({ "error": reason, "message": message });
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Error"))).example(Some(example)).build();
    let mut response = ResponseBuilder::new().description(description).content("application/json", content);
    for name in headers.iter().chain(&[REQUEST_ID, IGNORED]) {
        response = response.header_ref(*name, header(name));
    }
    response.build()
}

fn header(name: &str) -> Ref {
    Ref::new(format!("#/components/headers/{name}"))
}

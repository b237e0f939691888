//! Links as answers show them: the row, with its whole short address and its present state.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use serde::Serialize;
use serde_json::json;
use tern_common::link_state::LinkState;
use tern_common::url::Url;
use tern_common::{OwnAddresses, Timestamp};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::http::error::Error;
use crate::state::AppState;

/// A link as answers show it.
#[derive(Debug, Serialize)]
pub(crate) struct ShownUrl {
    #[serde(flatten)]
    url: Url,
    short_url: String,
    state: LinkState,
}

/// The origin under which the client of a request follows short links.
#[derive(Clone, Debug)]
pub(crate) struct ShortOrigin(Arc<str>);

impl FromRequestParts<Arc<AppState>> for ShortOrigin {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<AppState>) -> Result<ShortOrigin, Error> {
        if let Some(origin) = state.config.own_addresses.public_origin() {
            return Ok(ShortOrigin(origin.into()));
        }
        Ok(ShortOrigin(own_origin(parts).into()))
    }
}

/// Returns the origin to which a client sent its request.
fn own_origin(parts: &Parts) -> String {
    let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).or(parts.uri.authority().map(|authority| authority.as_str()));
    // A proxy that ends TLS reports the scheme of its client. A client could only deceive itself.
    let forwarded = text(header::HeaderName::from_static("x-forwarded-proto"));
    let scheme = if forwarded.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")) { "https" } else { "http" };
    format!("{scheme}://{}", host.unwrap_or("localhost"))
}

impl ShortOrigin {
    /// Returns the origin for a command, which has no client: the public one, or an example.
    pub(crate) fn of_command(own: &OwnAddresses) -> ShortOrigin {
        ShortOrigin(own.public_origin().unwrap_or("http://localhost").into())
    }

    /// Returns the address of a link.
    pub(crate) fn address(&self, url: &Url) -> String {
        self.address_of(&url.short_code)
    }

    /// Returns the address of a code.
    pub(crate) fn address_of(&self, code: &str) -> String {
        format!("{}/{code}", self.0)
    }

    /// Returns the host and the port of the origin.
    pub(crate) fn authority(&self) -> &str {
        self.0.split_once("://").map_or(&self.0, |(_, authority)| authority)
    }

    pub(crate) fn show(&self, url: Url) -> ShownUrl {
        let short_url = self.address(&url);
        let state = LinkState::at(Timestamp::now(), url.is_active, url.starts_at, url.expires_at, url.is_exhausted());
        ShownUrl { url, short_url, state }
    }

    /// Returns a writer of the rows of a list.
    pub(crate) fn writer(self) -> impl Fn(Url, &mut Vec<u8>) + Send + 'static {
        move |url, out| serde_json::to_writer(out, &self.show(url)).expect("plain data serialises")
    }
}

impl ShownUrl {
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    pub(crate) fn short_url(&self) -> &str {
        &self.short_url
    }

    pub(crate) fn state(&self) -> LinkState {
        self.state
    }

    pub(crate) fn revision(&self) -> i64 {
        self.url.revision
    }
}

impl PartialSchema for ShownUrl {
    fn schema() -> RefOr<Schema> {
        let RefOr::T(Schema::Object(mut object)) = Url::schema() else { unreachable!("a row is an object") };
        let short_url = ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("The address to share: `PUBLIC_URL`, or the host of the request, and the short code."))
            .examples([json!("https://go.example/Lh1hFP")]);
        object.properties.insert("short_url".to_owned(), Schema::from(short_url).into());
        object.properties.insert("state".to_owned(), LinkState::schema());
        object.required.extend(["short_url", "state"].map(str::to_owned));
        Schema::Object(object).into()
    }
}

impl ToSchema for ShownUrl {
    fn name() -> Cow<'static, str> {
        Url::name()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        Url::schemas(schemas);
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    #[test]
    fn own_origin_has_the_host_and_the_scheme_of_the_client() {
        let check = |uri: &str, headers: &[(&str, &str)], expected: &str| {
            let request = headers
                .iter()
                .fold(Request::builder().uri(uri), |request, (name, value)| request.header(*name, *value));
            assert_eq!(own_origin(&request.body(()).unwrap().into_parts().0), expected, "{uri} {headers:?}");
        };
        check("/urls", &[("host", "go.example:8000")], "http://go.example:8000");
        check("/urls", &[("host", "go.example"), ("x-forwarded-proto", "HTTPS")], "https://go.example");
        check("/urls", &[("host", "go.example"), ("x-forwarded-proto", "x://y/")], "http://go.example");
        check("http://go.example/urls", &[], "http://go.example");
    }
}

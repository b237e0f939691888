//! The parameters of a request, from its query and its body.

use axum::body::Body;
use axum::extract::multipart::Multipart;
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::header;
use bytesize::ByteSize;

use crate::http::body::read_whole;
use crate::http::error::{Result, bad_request};
use crate::http::upload::is_multipart;

/// The parameters of a request. Those of a body come before those of the query.
#[derive(Debug)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads the query and a body of at most `limit`, which is a form in either encoding.
    pub(super) async fn read(request: Request, limit: ByteSize) -> Result<Parameters> {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let headers = request.headers().clone();
        let body = read_whole(request, limit).await?;
        let mut pairs = Vec::new();
        if is_multipart(&headers) {
            let mut form = Request::new(Body::from(body));
            *form.headers_mut() = headers;
            DefaultBodyLimit::disable().apply(&mut form);
            let unreadable = |_| bad_request("The multipart form could not be read");
            let mut parts = Multipart::from_request(form, &())
                .await
                .map_err(|_| bad_request("The Content-Type must name the boundary of the parts"))?;
            while let Some(part) = parts.next_field().await.map_err(unreadable)? {
                let name = part.name().unwrap_or_default().to_owned();
                let value = part.bytes().await.map_err(unreadable)?;
                pairs.push((name, String::from_utf8_lossy(&value).into_owned()));
            }
        } else if !body.is_empty() {
            let declared = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let essence = declared.split(';').next().unwrap_or_default().trim();
            if !essence.is_empty() && !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
                return Err(bad_request(
                    "The Content-Type must be application/x-www-form-urlencoded or multipart/form-data",
                ));
            }
            pairs.extend(form_urlencoded::parse(&body).into_owned());
        }
        pairs.extend(form_urlencoded::parse(query.as_bytes()).into_owned());
        Ok(Parameters(pairs))
    }

    /// Returns a parameter; `None` if it is absent or empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }

    /// Returns a number; `None` if the parameter is absent.
    ///
    /// # Errors
    /// When it is no whole number.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>> {
        let Some(text) = self.get(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| bad_request(format!("{name} must be a whole number")))
    }
}

//! The bodies that create and edit short URLs. Each error names its field.

use serde::de::DeserializeOwned;
use tern_common::json::{JsonText, Kind};
use tern_common::link_labels::{Tag, Tags};
use tern_common::url::Title;
use tern_common::{ClickLimit, OwnAddresses, ShortCode, TargetUrl, Timestamp};

use super::domain;
use super::problem::{Outcome, Problem};
use super::query::parse_time;
use crate::http::body::{parse_json, read_json};
use crate::http::error::bad_request;
use crate::resources::shown_url::ShortOrigin;
use crate::resources::url_requests::{CreateUrl, UpdateUrl};

/// A body that is a JSON object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a>(JsonText<'a>);

impl<'a> Fields<'a> {
    /// Reads a body, whatever its `Content-Type`.
    pub(super) fn read(body: &'a [u8]) -> Outcome<Fields<'a>> {
        let text = parse_json("The body", body)?;
        if text.kind() != Kind::Object {
            return Err(bad_request("The body must be a JSON object").into());
        }
        Ok(Fields(text))
    }

    /// Returns a field that is absent, null or of a type.
    fn get<T: DeserializeOwned>(self, name: &str, expected: &str) -> Outcome<Option<Option<T>>> {
        match self.0.field(name) {
            None => Ok(None),
            Some(value) if value.kind() == Kind::Null => Ok(Some(None)),
            Some(value) => {
                let read =
                    read_json(value, None).map_err(|_| Problem::invalid(name, format!("{name} must be {expected}")));
                Ok(Some(Some(read?)))
            }
        }
    }

    /// Returns a text that is neither absent, null nor empty.
    pub(super) fn text(self, name: &str) -> Outcome<Option<String>> {
        let text = self.get::<String>(name, "a string")?.flatten();
        Ok(text.filter(|text| !text.trim().is_empty()))
    }

    fn flag(self, name: &str) -> Outcome<Option<Option<bool>>> {
        self.get(name, "true or false")
    }

    fn time(self, name: &str) -> Outcome<Option<Option<Timestamp>>> {
        let text = self.get::<String>(name, "a time such as 2026-11-28T11:04:28+00:00")?;
        text.map(|text| text.map(|text| parse_time(name, &text)).transpose()).transpose()
    }

    fn limit(self) -> Outcome<Option<Option<ClickLimit>>> {
        self.get("maxVisits", "a whole number, at least 1, or null")
    }

    fn title(self) -> Outcome<Option<Option<Title>>> {
        let text = self.get::<String>("title", "a string or null")?;
        let parse = |text: String| Title::parse(&text).map_err(|invalid| Problem::invalid("title", invalid));
        // An empty title is none, as for Shlink.
        text.map(|text| text.filter(|text| !text.is_empty()).map(parse).transpose()).transpose()
    }

    fn tags(self) -> Outcome<Option<Option<Tags>>> {
        let Some(texts) = self.get::<Vec<String>>("tags", "an array of strings")? else { return Ok(None) };
        let refuse = |invalid| Problem::invalid("tags", invalid);
        let tags = texts.unwrap_or_default().iter().map(|text| Tag::parse(text)).collect::<Result<Vec<_>, _>>();
        Ok(Some(Some(Tags::new(tags.map_err(refuse)?).map_err(refuse)?)))
    }

    fn target(self, own: &OwnAddresses) -> Outcome<Option<TargetUrl>> {
        let Some(text) = self.get::<String>("longUrl", "a string")? else { return Ok(None) };
        let refuse = |message: String| Problem::invalid("longUrl", message);
        let text = text.ok_or_else(|| refuse("longUrl must be a URL".to_owned()))?;
        own.parse_target(&text).map(Some).map_err(|refused| refuse(format!("longUrl {refused}")))
    }

    /// Refuses what Tern does not have yet. To ignore a rule would lead visitors elsewhere.
    fn check_missing(self) -> Outcome<()> {
        let is_given = |name: &str| self.0.field(name).is_some_and(|value| !is_none(value));
        for (name, what) in [
            ("crawlable", "links that search engines may list one by one; the setting INDEXABLE is for all"),
            ("deviceLongUrls", "targets for devices"),
            ("redirectRules", "redirect rules"),
            ("pathPrefix", "prefixes of codes"),
        ] {
            if is_given(name) {
                return Err(Problem::invalid(name, format!("Tern does not have {name} yet: {what}; leave it out")));
            }
        }
        Ok(())
    }
}

/// Returns whether a value asks for nothing.
fn is_none(value: JsonText<'_>) -> bool {
    match value.kind() {
        Kind::Null => true,
        Kind::Bool => value.as_str() == "false",
        Kind::String => value.text().is_some_and(|text| text.is_empty()),
        Kind::Array => value.items().next().is_none(),
        Kind::Object => value.fields().all(|(_, value)| is_none(value)),
        Kind::Number => false,
    }
}

/// A short URL to create, and whether an existing one with the same values is wanted instead.
#[derive(Debug)]
pub(super) struct Creation {
    pub(super) request: CreateUrl,
    pub(super) custom_slug: Option<String>,
    pub(super) find_if_exists: bool,
}

impl Creation {
    pub(super) fn read(fields: Fields<'_>, origin: &ShortOrigin, own: &OwnAddresses) -> Outcome<Creation> {
        fields.check_missing()?;
        if let Some(domain) = fields.text("domain")?.filter(|domain| !domain::is_own(origin, domain)) {
            let message = format!("This Tern serves one domain, {}, and not {domain}", origin.authority());
            return Err(Problem::invalid("domain", message));
        }
        let target = fields.target(own)?.ok_or_else(|| Problem::invalid("longUrl", "longUrl is required"))?;
        let custom_slug = fields.text("customSlug")?;
        let code = custom_slug.as_deref().map(ShortCode::parse).transpose();
        let code =
            code.map_err(|invalid| Problem::invalid("customSlug", format!("customSlug is invalid: {invalid}")))?;
        let request = CreateUrl {
            title: fields.title()?,
            tags: fields.tags()?,
            starts_at: fields.time("validSince")?,
            expires_at: fields.time("validUntil")?,
            max_clicks: fields.limit()?,
            forward_query: fields.flag("forwardQuery")?,
            ..CreateUrl::new(target, code)
        };
        let find_if_exists = fields.flag("findIfExists")?.flatten() == Some(true);
        Ok(Creation { request, custom_slug, find_if_exists })
    }
}

/// Reads the changes to a short URL.
pub(super) fn read_edit(fields: Fields<'_>, own: &OwnAddresses) -> Outcome<UpdateUrl> {
    fields.check_missing()?;
    Ok(UpdateUrl {
        original_url: fields.target(own)?,
        title: fields.title()?,
        tags: fields.tags()?,
        starts_at: fields.time("validSince")?,
        expires_at: fields.time("validUntil")?,
        max_clicks: fields.limit()?,
        forward_query: fields.flag("forwardQuery")?,
        ..UpdateUrl::default()
    })
}

//! Answers in JSON, JSONP, XML and plain text.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};
use serde::{Serialize, Serializer};

use super::parameters::Parameters;
use crate::http::error::{Error, Result, bad_request};

/// The form of an answer.
#[derive(Clone, Debug, Default)]
pub(super) enum Format {
    Json,
    /// JavaScript that calls this function with the answer.
    Jsonp(String),
    #[default]
    Xml,
    /// The one text that the request asks for.
    Simple,
}

/// A value of an answer. YOURLS writes numbers as texts.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Fields(Fields),
}

/// Named values in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields(Vec<(String, Value)>);

/// An answer, and its text in the form [`Format::Simple`]; `None` if it has none.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) fields: Fields,
    pub(super) simple: Option<String>,
}

/// A failed request, with the fields that describe the failure beside its message.
#[derive(Debug)]
pub(super) struct Failure {
    error: Error,
    /// The code of a link that was not created, such as `error:keyword`.
    code: Option<&'static str>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure { error, code: None }
    }
}

impl Failure {
    pub(super) fn with_code(error: Error, code: &'static str) -> Failure {
        Failure { error, code: Some(code) }
    }
}

impl Fields {
    #[must_use]
    pub(super) fn with(mut self, name: impl Into<String>, text: impl ToString) -> Fields {
        self.0.push((name.into(), Value::Text(text.to_string())));
        self
    }

    #[must_use]
    pub(super) fn with_fields(mut self, name: impl Into<String>, fields: Fields) -> Fields {
        self.0.push((name.into(), Value::Fields(fields)));
        self
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Text(text) => serializer.serialize_str(text),
            Value::Fields(fields) => fields.serialize(serializer),
        }
    }
}

impl Format {
    pub(super) fn of(parameters: &Parameters) -> Result<Format> {
        match parameters.get("format") {
            Some("json") => Ok(Format::Json),
            Some("jsonp") => match parameters.get("callback") {
                Some(name) if is_callback(name) => Ok(Format::Jsonp(name.to_owned())),
                _ => Err(bad_request(
                    "callback must be the name of a function: a letter, _ or $, followed by letters, digits, _, $ and dots",
                )),
            },
            None | Some("xml") => Ok(Format::Xml),
            Some("simple") => Ok(Format::Simple),
            Some(_) => Err(bad_request("format must be json, jsonp, xml or simple")),
        }
    }

    pub(super) fn write(&self, status: StatusCode, answer: &Answer) -> Response {
        let json = || serde_json::to_string(&answer.fields).expect("plain data serialises");
        let (content_type, body) = match self {
            Format::Json => ("application/json", json()),
            // The comment prevents that the name of the function is read as the beginning of another format.
            Format::Jsonp(callback) => {
                ("application/javascript; charset=utf-8", format!("/**/{callback}({});", json()))
            }
            Format::Xml => ("application/xml; charset=utf-8", xml(&answer.fields)),
            Format::Simple => {
                let text = answer.simple.clone();
                let text = text.unwrap_or_else(|| "This action needs the format json, jsonp or xml".to_owned());
                ("text/plain; charset=utf-8", text)
            }
        };
        (status, [(header::CONTENT_TYPE, HeaderValue::from_static(content_type))], body).into_response()
    }

    /// Answers a failed request with the status of its error.
    pub(super) fn refuse(&self, failure: Failure) -> Response {
        let Failure { error, code } = failure;
        let (status, message) = (error.status(), error.message().to_owned());
        let mut fields = Fields::default();
        if let Some(code) = code {
            fields = fields.with("status", "fail").with("code", code);
        }
        fields = fields.with("message", &message);
        fields = fields.with("errorCode", status.as_u16()).with("statusCode", status.as_u16());
        let mut response = self.write(status, &Answer { fields, simple: Some(message) });
        // The error has the time to wait, the end of the connection and the cause for the log.
        let (head, _) = error.into_response().into_parts();
        for name in [header::RETRY_AFTER, header::CONNECTION] {
            if let Some(value) = head.headers.get(&name) {
                response.headers_mut().insert(name, value.clone());
            }
        }
        *response.extensions_mut() = head.extensions;
        response
    }
}

fn is_callback(name: &str) -> bool {
    let mut characters = name.chars();
    let is_first = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '$');
    characters.next().is_some_and(is_first) && characters.all(|c| is_first(c) || c.is_ascii_digit() || c == '.')
}

fn xml(fields: &Fields) -> String {
    let mut writer = Writer::new(Vec::new());
    let mut write = || {
        writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
        write_element(&mut writer, "result", &Value::Fields(fields.clone()))
    };
    write().expect("memory takes every byte");
    String::from_utf8(writer.into_inner()).expect("texts are UTF-8")
}

fn write_element(writer: &mut Writer<Vec<u8>>, name: &str, value: &Value) -> std::io::Result<()> {
    writer.write_event(Event::Start(BytesStart::new(name)))?;
    match value {
        // XML cannot contain control characters, in any form.
        Value::Text(text) => {
            let text = text.replace(|c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r'), " ");
            writer.write_event(Event::Text(BytesText::new(&text.replace(['\u{fffe}', '\u{ffff}'], " "))))?;
        }
        Value::Fields(Fields(fields)) => {
            for (name, value) in fields {
                write_element(writer, name, value)?;
            }
        }
    }
    writer.write_event(Event::End(BytesEnd::new(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callback_is_the_name_of_a_function() {
        for name in ["a", "_", "$", "jQuery123_456", "a.b.c", "A$1."] {
            assert!(is_callback(name), "{name}");
        }
        for name in ["", "1a", ".a", "a b", "a(b)", "a;alert(1)", "a</script>", "é", "a-b", "a[0]", "a\n"] {
            assert!(!is_callback(name), "{name}");
        }
    }

    #[test]
    fn xml_escapes_texts_and_omits_control_characters() {
        let inner = Fields::default().with("title", "a < b & \"c\" \u{1}\u{ffff}\té");
        let text = xml(&Fields::default().with_fields("url", inner).with("empty", ""));
        let title = text.split("<title>").nth(1).unwrap().split("</title>").next().unwrap();
        assert!(title.starts_with("a &lt; b &amp; ") && title.ends_with("  \té"), "{text}");
        assert!(text.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?><result><url><title>"), "{text}");
        assert!(text.ends_with("</title></url><empty></empty></result>"), "{text}");
    }
}

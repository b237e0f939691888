//! Users: the rows of `users`.

use serde::Serialize;

use crate::json::{WriteJson, deserialize_by_parse, write_plain};
use crate::short_text::{InvalidText, check_length, check_name};
use crate::{Id, Timestamp};

/// A row of `users`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(description = "An owner of links"))]
pub struct User {
    pub id: Id,
    #[cfg_attr(feature = "schema", schema(example = "emberorbit96"))]
    pub username: String,
    #[cfg_attr(feature = "schema", schema(example = "emberorbit96@mail.example"))]
    pub email: String,
    pub created_at: Timestamp,
}

impl WriteJson for User {
    fn write_json(&self, out: &mut Vec<u8>) {
        write_plain(self, out);
    }
}

/// A user name that is not blank and has at most 255 characters.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(
    feature = "schema",
    schema(min_length = 1, max_length = 255, pattern = r"^[^\x00]*[^\s\x00][^\x00]*$", example = "emberorbit96")
)]
pub struct Username(String);

/// An e-mail address of the form `x@y.z` and at most 255 characters.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(
    feature = "schema",
    schema(
        max_length = 255,
        pattern = r"^[^@\s\x00-\x1f\x7f-\x9f]+@[^@.\s\x00-\x1f\x7f-\x9f]+(\.[^@.\s\x00-\x1f\x7f-\x9f]+)+$",
        example = "emberorbit96@mail.example"
    )
)]
pub struct Email(String);

deserialize_by_parse!(Username, Email);

impl Username {
    pub fn parse(text: &str) -> Result<Username, InvalidText> {
        check_name("username", text).map(|()| Username(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Email {
    pub fn parse(text: &str) -> Result<Email, InvalidText> {
        check_length("email", text)?;
        let (local, domain) = text.split_once('@').ok_or(InvalidText::NoEmail("email"))?;
        let domain_has_shape =
            domain.contains('.') && domain.split('.').all(|label| !label.is_empty()) && !domain.contains('@');
        let blank = text.chars().any(|c| c.is_whitespace() || c.is_control());
        if local.is_empty() || !domain_has_shape || blank {
            return Err(InvalidText::NoEmail("email"));
        }
        Ok(Email(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[derive(Clone, Debug)]
pub struct NewUser {
    pub username: Username,
    pub email: Email,
}

/// A change of a user. `None` leaves a column unchanged.
#[derive(Clone, Debug, Default)]
pub struct UserChange {
    pub username: Option<Username>,
    pub email: Option<Email>,
}

/// A user from a file. The store chooses each absent value.
#[derive(Clone, Debug)]
pub struct UserRow {
    pub id: Option<Id>,
    pub username: Username,
    pub email: Email,
    pub created_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_username_is_refused_with_the_reason() {
        let check = |text: &str, expected| assert_eq!(Username::parse(text).err(), expected, "{text:?}");
        check("emberorbit96", None);
        check("Ünïcode ☃", None);
        check(&"é".repeat(255), None);
        check(&"é".repeat(256), Some(InvalidText::TooLong("username")));
        check("", Some(InvalidText::Blank("username")));
        check(" \t\u{a0}", Some(InvalidText::Blank("username")));
        check("a\0b", Some(InvalidText::Nul("username")));
    }

    #[test]
    fn invalid_email_is_refused_with_the_reason() {
        let check = |text: &str, expected| assert_eq!(Email::parse(text).err(), expected, "{text:?}");
        check("emberorbit96@acme.dev", None);
        check("a+b.c@mail.example.co.uk", None);
        check("é@bücher.example", None);
        check("no-at-sign", Some(InvalidText::NoEmail("email")));
        check("a@b", Some(InvalidText::NoEmail("email")));
        check("@b.c", Some(InvalidText::NoEmail("email")));
        check("a@.c", Some(InvalidText::NoEmail("email")));
        check("a@b.", Some(InvalidText::NoEmail("email")));
        check("a@b@c.d", Some(InvalidText::NoEmail("email")));
        check("a b@c.d", Some(InvalidText::NoEmail("email")));
        check("", Some(InvalidText::NoEmail("email")));
        check(&format!("{}@b.c", "a".repeat(252)), Some(InvalidText::TooLong("email")));
    }
}

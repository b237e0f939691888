//! The rules for short texts: user names, e-mail addresses, titles and event types.

/// The longest short text, in characters.
pub const MAX_TEXT_LEN: usize = 255;

/// The reason to refuse a short text. Each variant has the name of its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidText {
    #[error("{0} must not be blank")]
    Blank(&'static str),
    #[error("{0} must have at most {MAX_TEXT_LEN} characters")]
    TooLong(&'static str),
    #[error("{0} must not hold the character U+0000")]
    Nul(&'static str),
    #[error("{0} must look like name@example.com")]
    NoEmail(&'static str),
}

pub(crate) fn check_length(field: &'static str, text: &str) -> Result<(), InvalidText> {
    if text.chars().count() > MAX_TEXT_LEN { Err(InvalidText::TooLong(field)) } else { Ok(()) }
}

/// Checks a text that may be blank. PostgreSQL cannot store U+0000, so both stores refuse it.
pub(crate) fn check_text(field: &'static str, text: &str) -> Result<(), InvalidText> {
    check_length(field, text)?;
    if text.contains('\0') { Err(InvalidText::Nul(field)) } else { Ok(()) }
}

/// Checks a text that must not be blank.
pub(crate) fn check_name(field: &'static str, text: &str) -> Result<(), InvalidText> {
    if text.trim().is_empty() { Err(InvalidText::Blank(field)) } else { check_text(field, text) }
}

//! Switches: values that are either on or off.

const ON: [&str; 9] = ["true", "yes", "y", "1", "on", "x", "wahr", "ja", "vrai"];
const OFF: [&str; 9] = ["false", "no", "n", "0", "off", "null", "falsch", "nein", "faux"];

/// Reads a switch; `None` for a text that is neither on nor off.
pub(crate) fn parse(text: &str) -> Option<bool> {
    let is_among = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    if is_among(&ON) {
        return Some(true);
    }
    is_among(&OFF).then_some(false)
}

/// The state of a link, as a word of the old service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Active,
    Archived,
    Deleted,
    Disabled,
}

/// Reads the word for the state of a link; `None` for an unknown word.
pub(crate) fn parse_state(text: &str) -> Option<State> {
    Some(match text.to_lowercase().as_str() {
        "active" | "enabled" | "live" | "published" | "ok" => State::Active,
        "archived" | "hidden" => State::Archived,
        "deleted" | "removed" | "trashed" => State::Deleted,
        "inactive" | "disabled" | "paused" | "blocked" | "banned" => State::Disabled,
        "expired" | "scheduled" => State::Active,
        _ => return parse(text).map(|is_on| if is_on { State::Active } else { State::Disabled }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switch_is_read_in_any_case() {
        for text in ["TRUE", "true", "Yes", "1", "WAHR"] {
            assert_eq!(parse(text), Some(true), "{text:?}");
        }
        for text in ["FALSE", "no", "0", "Falsch"] {
            assert_eq!(parse(text), Some(false), "{text:?}");
        }
        for text in ["", "maybe", "2"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn state_is_read_from_its_word() {
        assert_eq!(parse_state("Active"), Some(State::Active));
        assert_eq!(parse_state("Deleted"), Some(State::Deleted));
        assert_eq!(parse_state("ARCHIVED"), Some(State::Archived));
        assert_eq!(parse_state("FALSE"), Some(State::Disabled));
        assert_eq!(parse_state("lost"), None);
    }
}

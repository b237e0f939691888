//! Languages: the primary subtag of the language that a client names first.

use super::names::{OTHER, UNKNOWN};

/// Primary subtags: those of two letters in ISO 639-1, and frequent ones of three letters.
const SUBTAGS: &str = "\
    aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo \
    es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka kg \
    ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn \
    no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg sh si sk sl sm sn so sq sr ss st su sv sw \
    ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu \
    ast ceb chr ckb cmn dsb fil fur gsw haw hmn hsb kab kok lij mai mni nds nso sah sat scn szl vec yue";

/// Former subtags that some systems still send, each with its present one.
const FORMER: [(&[u8], &str); 3] = [(b"iw", "he"), (b"in", "id"), (b"ji", "yi")];

/// A subtag that is in no list, for one that is too long to be a language.
const TOO_LONG: [u8; 3] = *b"???";

/// Returns the primary subtag of the first language in an `Accept-Language`, in lower case and filled up with zeros.
///
/// Browsers send the preferred language first. All bytes are zero if the value names no language.
pub fn primary_subtag(accept_language: &[u8]) -> [u8; 3] {
    let start = accept_language.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b',')).unwrap_or_default();
    let mut subtag = [0; 3];
    for (n, byte) in accept_language[start..].iter().take_while(|byte| byte.is_ascii_alphabetic()).enumerate() {
        match subtag.get_mut(n) {
            Some(letter) => *letter = byte.to_ascii_lowercase(),
            None => return TOO_LONG,
        }
    }
    subtag
}

/// Returns the language of a primary subtag in lower case. Zeros at its end are ignored.
///
/// An empty subtag is [`UNKNOWN`], and one that is in no list is [`OTHER`].
pub fn language_of(subtag: &[u8]) -> &'static str {
    let subtag = &subtag[..subtag.iter().position(|byte| *byte == 0).unwrap_or(subtag.len())];
    if subtag.is_empty() || subtag == UNKNOWN.as_bytes() {
        return UNKNOWN;
    }
    let former = || FORMER.iter().find(|(former, _)| *former == subtag).map(|(_, present)| *present);
    let found = SUBTAGS.split(' ').find(|listed| listed.as_bytes() == subtag);
    found.or_else(former).unwrap_or(OTHER)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn language_is_that_of_the_first_tag() {
        for (accept_language, expected) in [
            ("de-DE,de;q=0.9,en;q=0.8", "de"),
            ("en", "en"),
            ("EN-us", "en"),
            ("zh-Hant-TW", "zh"),
            ("pt_BR", "pt"),
            (" , fr;q=0.5, en", "fr"),
            ("\tfil-PH", "fil"),
            ("iw-IL", "he"),
            ("in", "id"),
            ("", UNKNOWN),
            ("*", UNKNOWN),
            (";q=1", UNKNOWN),
            ("é", UNKNOWN),
            ("123", UNKNOWN),
            ("x", OTHER),
            ("tlh", OTHER),
            ("i-klingon", OTHER),
            ("english", OTHER),
        ] {
            assert_eq!(language_of(&primary_subtag(accept_language.as_bytes())), expected, "{accept_language:?}");
        }
    }

    proptest! {
        #[test]
        fn language_of_any_bytes_is_from_the_list(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            for language in [language_of(&primary_subtag(&bytes)), language_of(&bytes)] {
                prop_assert!([UNKNOWN, OTHER].contains(&language) || SUBTAGS.split(' ').any(|listed| listed == language));
                prop_assert_eq!(language_of(language.as_bytes()), language);
            }
        }
    }
}

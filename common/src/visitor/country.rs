//! Countries: the codes of ISO 3166-1, and `XK` for Kosovo.

use super::names::UNKNOWN;

/// Codes in ascending order, each followed by a space.
const CODES: &str = "\
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA \
    CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA \
    GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP \
    KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS \
    MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS \
    RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW \
    TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW ";

/// Returns the code of a country in capital letters; [`UNKNOWN`] for any other text.
pub fn country_of(code: &[u8]) -> &'static str {
    let Ok(code) = <[u8; 2]>::try_from(code) else { return UNKNOWN };
    let (codes, _) = CODES.as_bytes().as_chunks::<3>();
    match codes.binary_search_by(|[a, b, _]| [*a, *b].cmp(&code.map(|letter| letter.to_ascii_uppercase()))) {
        Ok(place) => &CODES[3 * place..3 * place + 2],
        Err(_) => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn country_of_a_listed_code_is_that_code() {
        let codes: Vec<_> = CODES.split_ascii_whitespace().collect();
        assert!(codes.is_sorted() && codes.len() == 250, "{}", codes.len());
        for code in codes {
            assert_eq!(country_of(code.as_bytes()), code);
            assert_eq!(country_of(code.to_ascii_lowercase().as_bytes()), code);
        }
    }

    #[test]
    fn country_of_any_other_text_is_unknown() {
        for text in ["", "D", "DEU", "XX", "T1", "EU", "A1", "ZZ", "\0\0", "é", "D "] {
            assert_eq!(country_of(text.as_bytes()), UNKNOWN, "{text:?}");
        }
    }
}

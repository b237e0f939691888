//! Counts as people and programs write them.

/// The words for an absent count.
const ABSENT: [&str; 7] = ["n/a", "na", "nan", "none", "null", "-", "–"];

/// Reads a count. Separators of thousands are removed, and a fraction of zeros.
///
/// Returns `None` for an absent count.
///
/// # Errors
/// When the text is no count.
pub(crate) fn parse(text: &str) -> Result<Option<u64>, ()> {
    let text = text.trim();
    if text.is_empty() || ABSENT.iter().any(|word| word.eq_ignore_ascii_case(text)) {
        return Ok(None);
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map(Some).map_err(|_| ());
    }
    without_separators(text).and_then(|digits| digits.parse().ok()).map(Some).ok_or(())
}

/// Removes separators. One kind of separator is of thousands; the second of two kinds is of the fraction.
fn without_separators(text: &str) -> Option<String> {
    let is_separator = |c: char| matches!(c, ',' | '.' | ' ' | '\'' | '’' | '\u{a0}' | '\u{202f}');
    let first = text.chars().find(|&c| is_separator(c))?;
    let whole = match text.char_indices().find(|&(_, c)| is_separator(c) && c != first) {
        Some((at, second)) => {
            let fraction = &text[at + second.len_utf8()..];
            (!fraction.is_empty() && fraction.bytes().all(|byte| byte == b'0')).then(|| &text[..at])?
        }
        None => text,
    };
    let mut groups = whole.split(first);
    let head = groups.next().filter(|head| (1..=3).contains(&head.len()))?;
    let mut digits = head.to_owned();
    for group in groups {
        (group.len() == 3).then(|| digits.push_str(group))?;
    }
    digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn count_with_one_kind_of_separator_is_thousands() {
        let check = |text: &str, expected: Result<Option<u64>, ()>| assert_eq!(parse(text), expected, "{text:?}");
        for text in ["1204", "1,204", "1.204", "1 204", "1'204", "1\u{202f}204", "1,204.00", "1.204,0", " 1204 "] {
            check(text, Ok(Some(1204)));
        }
        check("1,234,567", Ok(Some(1_234_567)));
        check("1.234.567,00", Ok(Some(1_234_567)));
        check("0", Ok(Some(0)));
        check("18446744073709551615", Ok(Some(u64::MAX)));
    }

    #[test]
    fn absent_count_is_none() {
        for text in ["", " ", "n/a", "N/A", "-", "NULL"] {
            assert_eq!(parse(text), Ok(None), "{text:?}");
        }
    }

    #[test]
    fn text_that_is_no_count_is_refused() {
        for text in ["-1", "1,2", "12.5", "1,204.5", "1,,204", ",204", "1204,", "1e3", "many", "18446744073709551616"] {
            assert_eq!(parse(text), Err(()), "{text:?}");
        }
    }
}

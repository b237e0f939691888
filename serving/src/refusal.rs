//! A body for the answers that hyper gives by itself to heads that it cannot read.
//!
//! hyper writes them without a body and has no hook for it. They are recognised when they are written, and completed.

/// Bytes at the end of a write that are searched for an answer of hyper. Such an answer has some 150 bytes.
const LONGEST: usize = 512;

/// The status lines of the answers of hyper, without the version, and the sentence for each.
const SENTENCES: [(&str, &str); 3] = [
    ("400 Bad Request", "The request head is malformed"),
    ("414 URI Too Long", "The request line is too long"),
    ("431 Request Header Fields Too Large", "The request head is too large"),
];

/// Line of an answer without a body.
const NO_BODY: &str = "content-length: 0\r\n";

/// Finds the start of an answer of hyper at the end of `bytes`.
///
/// The answers of a router differ from it: each has `X-Content-Type-Options`, and an error has a body.
pub(crate) fn find_bare_refusal(bytes: &[u8]) -> Option<usize> {
    if !bytes.ends_with(b"\r\n\r\n") {
        return None;
    }
    let from = bytes.len().saturating_sub(LONGEST);
    let begin = from + bytes[from..].windows(7).rposition(|window| window == b"HTTP/1.")?;
    parts(&bytes[begin..]).map(|_| begin)
}

/// Completes an answer that [`find_bare_refusal`] found. The answer to a HEAD has the same head, and no body.
pub(crate) fn complete(answer: &[u8], to_head: bool) -> Vec<u8> {
    let Some((before, reason, sentence, after)) = parts(answer) else { return answer.to_vec() };
    let body = serde_json::json!({"error": reason, "message": sentence}).to_string();
    let mut complete = format!(
        "{before}Content-Type: application/json\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
         X-Content-Type-Options: nosniff\r\n{after}",
        body.len()
    );
    if !to_head {
        complete.push_str(&body);
    }
    complete.into_bytes()
}

/// Splits an answer of hyper into the part before its length, its reason phrase, the sentence for it, and the rest.
fn parts(answer: &[u8]) -> Option<(&str, &'static str, &'static str, &str)> {
    let text = std::str::from_utf8(answer).ok()?;
    let status = text.get("HTTP/1.1 ".len()..)?;
    let (line, sentence) = SENTENCES
        .into_iter()
        .find(|(line, _)| status.strip_prefix(line).is_some_and(|rest| rest.starts_with("\r\n")))?;
    let head = text.to_ascii_lowercase();
    let length = head.find(NO_BODY).filter(|_| !head.contains("x-content-type-options"))?;
    let is_one_head = head.find("\r\n\r\n") == Some(head.len() - 4);
    is_one_head.then(|| (&text[..length], &line[4..], sentence, &text[length + NO_BODY.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARE: &str = "HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\
                        Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";

    #[test]
    fn bare_refusal_is_found_only_at_the_end_of_a_write() {
        let check = |text: &str, expected: Option<usize>| {
            assert_eq!(find_bare_refusal(text.as_bytes()), expected, "{text}");
        };
        let answer = "HTTP/1.1 204 No Content\r\nX-Content-Type-Options: nosniff\r\n\r\n";
        check(BARE, Some(0));
        check(&format!("{answer}{BARE}"), Some(answer.len()));
        check(&format!("{BARE}{answer}"), None);
        check(&BARE.replace("431 Request Header Fields Too Large", "404 Not Found"), None);
        check(&BARE.replace("Length: 0", "Length: 10"), None);
        check(&BARE.replace("Date", "X-Content-Type-Options: nosniff\r\nDate"), None);
        check(&format!("{BARE}x"), None);
        check(answer, None);
        check("\r\n\r\n", None);
        check("", None);
        check(&format!("{}{BARE}", "x".repeat(100_000)), Some(100_000));
    }

    #[test]
    fn completed_refusal_has_a_body_unless_it_answers_a_head() {
        let body = "{\"error\":\"Request Header Fields Too Large\",\"message\":\"The request head is too large\"}";
        let head = format!(
            "HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\
             Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n",
            body.len()
        );
        assert_eq!(String::from_utf8(complete(BARE.as_bytes(), true)).unwrap(), head);
        assert_eq!(String::from_utf8(complete(BARE.as_bytes(), false)).unwrap(), head + body);
    }
}

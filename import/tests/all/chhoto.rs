//! Files of chhoto-url.

use tern_import::Source;

use crate::reading::{at, codes, links};

#[test]
fn answer_of_the_api_is_read_with_an_end_in_seconds() {
    let text = r#"[{"shortlink":"calm-turing","longlink":"https://example.com/hello","hits":42,"expiry_time":0,"notes":null},
        {"shortlink":"sale","longlink":"https://example.com/sale","hits":7,"expiry_time":1893456000,"notes":"on the poster"}]"#;
    let links = links(text, Source::Chhoto);
    assert_eq!(codes(&links), ["calm-turing", "sale"]);
    assert_eq!((links[0].clicks, links[0].expires_at), (42, None));
    assert_eq!((links[1].notes.as_deref(), links[1].expires_at), (Some("on the poster"), at("2030-01-01T00:00:00Z")));
}

//! Answers of TinyURL.

use tern_import::Source;

use crate::reading::{at, codes, links};

#[test]
fn answer_about_one_link_and_a_list_are_read() {
    let link = r#"{"domain":"tinyurl.com","alias":"my-alias","deleted":false,"archived":false,"tags":["news"],
        "tiny_url":"https://tinyurl.com/my-alias","created_at":"2026-01-02T03:04:05+00:00","expires_at":null,"url":"https://example.com/hello"}"#;
    let one = format!(r#"{{"data":{link},"code":0,"errors":[]}}"#);
    let gone = link.replace("my-alias", "gone").replace("\"deleted\":false", "\"deleted\":true");
    let list = format!(r#"{{"data":[{link},{gone}],"code":0,"errors":[]}}"#);
    let links_of_one = links(one, Source::TinyUrl);
    assert_eq!(codes(&links_of_one), ["my-alias"]);
    assert_eq!((links_of_one[0].created_at, links_of_one[0].expires_at), (at("2026-01-02T03:04:05Z"), None));
    assert_eq!((links_of_one[0].domain.as_deref(), links_of_one[0].tags.len()), (Some("tinyurl.com"), 1));
    assert!(links_of_one[0].dropped.is_empty());
    let list = links(list, Source::TinyUrl);
    assert_eq!((codes(&list), list[1].is_active), (vec!["my-alias", "gone"], false));
}

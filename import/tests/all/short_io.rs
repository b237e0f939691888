//! Exports of Short.io.

use tern_import::Source;

use crate::reading::{at, codes, dropped, links};

#[test]
fn export_is_read_with_its_case_and_its_end() {
    let text = "idString,shortURL,originalPath,originalURL,title,clicks,createdAt,updatedAt,expiresAt,createdBy,tags\n\
        lnk_1,https://s.example.com/Launch,Launch,https://example.com/launch,\"A, \"\"b\"\"\",245,2026-05-01T08:00:00Z,2026-05-03T09:30:00Z,2027-05-01T08:00:00Z,me,\"red,blue\"\n";
    let links = links(text, Source::ShortIo);
    let [link] = &links[..] else { panic!("{links:?}") };
    assert_eq!((link.short_code.as_deref(), link.domain.as_deref()), (Some("Launch"), Some("s.example.com")));
    assert_eq!((link.clicks, link.expires_at), (245, at("2027-05-01T08:00:00Z")));
    assert_eq!((link.title.as_deref(), link.tags.len()), (Some("A, \"b\""), 2));
    assert_eq!(dropped(link), ["createdBy"]);
}

#[test]
fn header_of_words_is_recognised() {
    let text = "Id String,Short URL,Original Path,Original URL,Clicks\nlnk_1,https://s.example.com/a,a,https://example.com/a,\"1,000\"\n";
    let links = links(text, Source::ShortIo);
    assert_eq!((codes(&links), links[0].clicks), (vec!["a"], 1000));
}

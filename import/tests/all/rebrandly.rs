//! Exports of Rebrandly.

use tern_import::Source;

use crate::reading::{at, codes, dropped, links};

#[test]
fn answer_of_the_api_is_read_with_names_of_tags() {
    let text = r#"[{"id":"a1","title":"Hello","slashtag":"hello","destination":"https://example.com/hello",
        "shortUrl":"go.example.com/hello","domain":{"id":"b2","fullName":"go.example.com","active":true},
        "createdAt":"2024-02-15T10:30:00.000Z","updatedAt":"2024-02-16T10:30:00.000Z","clicks":42,"favourite":true,
        "tags":[{"id":"t1","name":"news","color":"ff0000"},{"id":"t2","name":"two words"}]}]"#;
    let links = links(text, Source::Rebrandly);
    let [link] = &links[..] else { panic!("{links:?}") };
    assert_eq!((link.short_code.as_deref(), link.domain.as_deref()), (Some("hello"), Some("go.example.com")));
    assert_eq!((link.title.as_deref(), link.clicks), (Some("Hello"), 42));
    assert_eq!((link.created_at, link.updated_at), (at("2024-02-15T10:30:00Z"), at("2024-02-16T10:30:00Z")));
    assert_eq!(link.tags, ["news", "two words"]);
    assert_eq!(dropped(link), ["favourite"]);
}

#[test]
fn csv_file_is_read_by_its_slashtags() {
    let text = "id,createdAt,shortUrl,domain,slashtag,destination\n\
        a1,2024-01-15T10:30:00.000Z,go.example.com/hello,go.example.com,hello,https://example.com/hello\n\
        b2,2024-01-14T15:45:00.000Z,go.example.com/blog,go.example.com,blog,https://example.com/blog?a=1\n";
    let links = links(text, Source::Rebrandly);
    assert_eq!(codes(&links), ["hello", "blog"]);
    assert_eq!((links[1].domain.as_deref(), links[1].created_at), (Some("go.example.com"), at("2024-01-14T15:45:00Z")));
    assert!(links[1].dropped.is_empty());
}

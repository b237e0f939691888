use proptest::prelude::*;

use super::*;

const SEED: Seed = Seed(7);

fn answered<'a>(target: &'a str, user_agent: &'a [u8], referrer: &'a [u8]) -> NewClick<'a> {
    NewClick {
        url_id: Id::new(7).unwrap(),
        owner_id: Id::new(3).unwrap(),
        short_code: "CODE12",
        original_url: target,
        choice: None,
        at_micros: 1_700_000_000_123_456,
        client: Network::of("203.0.113.77".parse().unwrap()),
        sent: Sent { user_agent, referrer, ..Sent::default() },
    }
}

fn written(click: &NewClick<'_>, sequence: u64) -> Vec<u8> {
    let mut bytes = vec![0; click.record_len()];
    click.write(&mut bytes, SEED, sequence);
    bytes
}

fn click_in(bytes: &[u8]) -> Click {
    read(bytes, SEED).unwrap().to_click().unwrap()
}

#[test]
fn written_record_is_read_unchanged() {
    let click = answered("https://example.com/ä", b"Mozilla/5.0", b"https://news.example/");
    let bytes = written(&click, 41);
    let record = read(&bytes, SEED).unwrap();
    assert_eq!((record.sequence, record.len), (41, bytes.len()));
    let expected = Click {
        url_id: click.url_id,
        owner_id: click.owner_id,
        short_code: "CODE12".to_owned(),
        original_url: "https://example.com/ä".to_owned(),
        at: UNIX_EPOCH + Duration::from_micros(click.at_micros),
        client: Some("203.0.113.0/24".parse().unwrap()),
        user_agent: Some("Mozilla/5.0".to_owned()),
        referrer: Some("https://news.example/".to_owned()),
        visitor: Visitor::of_user_agent(b"Mozilla/5.0"),
        source: None,
        choice: None,
        is_minimal: false,
        is_counted_only: false,
    };
    assert_eq!(record.to_click(), Some(expected));
}

#[test]
fn fields_of_a_request_are_read_unchanged() {
    let sent = Sent {
        user_agent: b"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        source: b"News+Letter%20",
        language: *b"fil",
        country: *b"ph",
        ..Sent::default()
    };
    let click = |sent| click_in(&written(&NewClick { sent, ..answered("https://example.com/", b"", b"") }, 1));
    let full = click(sent);
    assert_eq!(full.visitor.to_string(), "Firefox|Linux|desktop|fil|PH|");
    assert_eq!((full.source.as_deref(), full.is_minimal), (Some("News Letter"), false));
    assert_eq!(click(Sent { is_prefetch: true, ..sent }).visitor.bot, Some("Prefetch"));
    assert_eq!(click(Sent { is_from_qr: true, ..sent }).source.as_deref(), Some("qr"));
    let minimal = Sent { user_agent: b"Firefox|Linux|desktop|fil|PH|Slack", is_minimal: true, ..Sent::default() };
    let minimal = click(minimal);
    assert_eq!(minimal.visitor.to_string(), "Firefox|Linux|desktop|fil|PH|Slack");
    assert_eq!((minimal.user_agent, minimal.is_minimal), (None, true));
}

#[test]
fn choice_of_the_target_is_read_unchanged() {
    for choice in [None, Some(Choice::Plain), Some(Choice::Rule(20)), Some(Choice::Variant(4))] {
        let click = NewClick { choice, ..answered("https://example.com/", b"", b"") };
        assert_eq!(click_in(&written(&click, 1)).choice, choice);
    }
}

#[test]
fn record_of_the_previous_version_is_read() {
    let bytes = written(&answered("https://example.com/", b"Mozilla/5.0", b"https://news.example/"), 41);
    let len = FIXED + "CODE12https://example.com/Mozilla/5.0https://news.example/".len();
    let mut former = [&bytes[..FORMER_FIXED], &bytes[FIXED..len]].concat();
    former[41] &= !HAS_FIELDS;
    let len = u32::try_from(former.len()).unwrap();
    former[..4].copy_from_slice(&len.to_le_bytes());
    let checksum = crc32c::crc32c_append(SEED.0, &former[8..]);
    former[4..8].copy_from_slice(&checksum.to_le_bytes());
    former.resize(former.len().next_multiple_of(ALIGNMENT), 0);
    let record = read(&former, SEED).unwrap();
    assert_eq!((record.sequence, record.len), (41, former.len()));
    assert_eq!(record.to_click(), Some(click_in(&bytes)));
}

#[test]
fn journalled_referrer_has_no_query_and_no_fragment() {
    let check = |sent: &str, stored: Option<&str>| {
        let bytes = written(&answered("https://example.com/", b"", sent.as_bytes()), 1);
        assert_eq!(click_in(&bytes).referrer.as_deref(), stored, "{sent:?}");
        assert!(!String::from_utf8_lossy(&bytes).contains("secret"), "not even in the journal: {sent:?}");
    };
    check("https://news.example:8443/a/b?token=secret#there", Some("https://news.example:8443/a/b"));
    check("https://news.example/a#secret?b", Some("https://news.example/a"));
    // The query does not count towards the bound.
    let long = format!("https://news.example/{}", "a".repeat(480));
    check(&format!("{long}?{}", "secret".repeat(100)), Some(&long));
}

#[test]
fn client_address_is_reduced_to_its_network() {
    let check = |client: &str, stored: Option<&str>| {
        let network = Network::of(client.parse().unwrap());
        assert_eq!(network.to_net().map(|net| net.to_string()).as_deref(), stored, "{client}");
    };
    check("203.0.113.77", Some("203.0.113.0/24"));
    check("2001:db8:1:2:3:4:5:6", Some("2001:db8:1::/48"));
    check("0.0.0.0", None);
}

#[test]
fn texts_of_the_client_are_bounded_and_cleaned() {
    let click = click_in(&written(&answered("https://example.com/", &[b'a'; 9000], b"\xff\t ok\x7f "), 1));
    assert_eq!(click.user_agent.unwrap().len(), MAX_USER_AGENT);
    assert_eq!(click.referrer.as_deref(), Some("\u{fffd} ok"));
    let click = click_in(&written(&answered("https://example.com/", b" \t", b""), 1));
    assert_eq!((click.user_agent, click.referrer), (None, None));
    let longest = "a".repeat(TargetUrl::MAX_LEN);
    let sent = Sent { user_agent: &[b'a'; 300], referrer: &[b'b'; 600], source: &[b'c'; 300], ..Sent::default() };
    let click = NewClick { short_code: &"c".repeat(64), sent, ..answered(&longest, b"", b"") };
    assert_eq!(click.record_len(), MAX_LEN);
    assert_eq!(click_in(&written(&click, 1)).original_url, longest);
}

#[test]
fn record_of_another_journal_is_not_read() {
    let bytes = written(&answered("https://example.com/", b"", b""), 1);
    for journal in [JournalId(1), JournalId(2)] {
        assert_eq!(read(&bytes, Seed::new(journal)), None);
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_not_read_as_a_record(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert_eq!(read(&bytes, SEED), None);
    }

    #[test]
    fn record_with_a_flipped_bit_is_not_read(bit in 0usize..8 * 100, sequence: u64) {
        let mut bytes = written(&answered("https://example.com/a/b/c", b"curl/8", b""), sequence);
        let bit = bit % (8 * bytes.len());
        bytes[bit / 8] ^= 1 << (bit % 8);
        // The checksum does not cover the padding.
        let intact = read(&bytes, SEED).is_some_and(|record| {
            record.sequence == sequence && record.to_click().unwrap().original_url == "https://example.com/a/b/c"
        });
        let padding = bit / 8 >= FIXED + "CODE12https://example.com/a/b/ccurl/8".len();
        prop_assert_eq!(intact, padding);
    }
}

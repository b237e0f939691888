//! The bytes of rules and splits in the map: any bytes are refused, or matched by any request.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tern_common::routing::{Choice, Facts, Routing, Rules, Split};
use tern_common::served_link::LinkRow;
use tern_common::visitor::{Signs, UNKNOWN, country_of};
use tern_common::{Timestamp, Visitor};

/// A request whose header fields and query are one text.
struct Request<'a> {
    text: &'a [u8],
    number: u8,
}

impl Facts for Request<'_> {
    fn visitor(&mut self) -> Visitor {
        Visitor::of_request(&Signs { user_agent: self.text, is_prefetch: self.number == 0, ..Signs::default() })
    }

    fn accept_language(&mut self) -> &[u8] {
        self.text
    }

    fn referrer(&mut self) -> &[u8] {
        self.text
    }

    fn country(&mut self) -> &'static str {
        self.text.first_chunk::<2>().map_or(UNKNOWN, |code| country_of(code))
    }

    fn query(&self) -> &[u8] {
        self.text
    }

    fn at(&self) -> Timestamp {
        Timestamp::from_unix_seconds(i64::from(self.number))
    }

    fn hundredth(&mut self) -> u8 {
        self.number % 100
    }
}

fuzz_target!(|bytes: &[u8]| {
    // A number, the lengths of the rules and of the split, rules, split, and the text of the request.
    let Some(([number, rules_len, split_len], rest)) = bytes.split_first_chunk::<3>() else { return };
    let (rules, rest) = rest.split_at(usize::from(*rules_len).min(rest.len()));
    let (split, text) = rest.split_at(usize::from(*split_len).min(rest.len()));
    let choose = |rules: &[u8], split: &[u8]| {
        let routing = Routing::of(rules, split)?;
        let chosen = routing.choose(&mut Request { text, number: *number })?;
        assert!(chosen.choice != Choice::Plain);
        Some((chosen.choice, chosen.given.to_owned()))
    };
    let chosen = choose(rules, split);

    // A link with these bytes is refused, or has rules that are written as the same choice.
    let mut link = vec![5, 1, 18, 0];
    let entries = [(8_u8, rules), (9, split)].into_iter().filter(|(_, value)| !value.is_empty());
    let entries: Vec<u8> =
        entries.flat_map(|(tag, value)| [&[tag][..], &(value.len() as u32).to_le_bytes(), value].concat()).collect();
    link.extend((entries.len() as u32).to_le_bytes());
    link.extend([1, 0, 0, 0, 1, 0, 0, 0]);
    link.extend(b"ahttps://a.example/");
    link.extend(&entries);
    let Some(row) = LinkRow::decode(&link) else { return };
    let read = (
        Rules::parse(row.rules.as_deref().unwrap_or_default()),
        Split::parse(row.split.as_deref().unwrap_or_default()),
    );
    if let (Ok(valid_rules), Ok(valid_split)) = read {
        let (mut of_rules, mut of_split) = (Vec::new(), Vec::new());
        valid_rules.encode(&mut of_rules);
        valid_split.encode(&mut of_split);
        if of_rules == rules && of_split == split {
            assert_eq!(choose(&of_rules, &of_split), chosen);
        }
    }
});

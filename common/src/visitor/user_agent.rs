//! Families of a user agent: whether it is a bot's, its browser, its system and its device.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use super::marks::{
    ANDROID, ANDROID_BROWSER, ANY_BOT, BOTS, BOTS_ANYWHERE, BROWSERS, DESKTOP, DEVICES, HTTP_LIBRARY, IOS, MOBILE,
    Mark, SAFARI, SYSTEMS, TABLET, WEB_VIEW,
};
use super::names::{BOT, OTHER};

/// Bytes of a user agent that are searched. The marks are near the beginning.
const SEARCHED: usize = 512;

/// The families of a client, by its user agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Families {
    pub bot: Option<&'static str>,
    pub browser: &'static str,
    pub system: &'static str,
    pub device: &'static str,
}

/// The tables of marks in the order of [`Found`].
const TABLES: [&[Mark]; 5] = [BOTS, BOTS_ANYWHERE, BROWSERS, SYSTEMS, DEVICES];

/// The place of [`BOTS_ANYWHERE`] in `TABLES`.
const ANYWHERE: usize = 1;

/// The first family of each table that a user agent contains.
type Found = [Option<&'static str>; TABLES.len()];

/// Searches all marks in one pass over a user agent.
struct Searcher {
    automaton: AhoCorasick,
    /// The table and the place in it of each pattern of the automaton.
    places: Vec<(usize, usize)>,
}

static SEARCHER: LazyLock<Searcher> = LazyLock::new(|| {
    let patterns = TABLES.iter().flat_map(|marks| marks.iter().map(|(mark, _)| mark));
    let places = TABLES
        .iter()
        .enumerate()
        .flat_map(|(table, marks)| (0..marks.len()).map(move |place| (table, place)))
        .collect();
    // Without the memory of a DFA, one pass takes several times as long.
    let automaton = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .kind(Some(AhoCorasickKind::DFA))
        .build(patterns)
        .expect("a few hundred short marks fit into an automaton");
    Searcher { automaton, places }
});

/// Builds the automaton.
pub(super) fn prepare() {
    LazyLock::force(&SEARCHER);
}

/// Returns the families of a user agent, which is not empty. Allocates nothing after [`prepare`].
pub(super) fn families(user_agent: &[u8]) -> Families {
    let bytes = &user_agent[..user_agent.len().min(SEARCHED)];
    let [named_bot, any_bot, browser, system, device] = find(bytes);
    let bot = named_bot.or(any_bot).or_else(|| is_library(bytes, browser).then_some(HTTP_LIBRARY));
    if bot.is_some() {
        return Families { bot, browser: BOT, system: BOT, device: BOT };
    }
    let system = system.unwrap_or(OTHER);
    let browser = match browser {
        Some(SAFARI) if system == ANDROID => ANDROID_BROWSER,
        None if system == IOS => WEB_VIEW,
        found => found.unwrap_or(OTHER),
    };
    let device = device.unwrap_or(match system {
        // Browsers of phones say that they are mobile.
        ANDROID => TABLET,
        IOS => MOBILE,
        "Windows" | "macOS" | "Linux" | "ChromeOS" | "BSD" => DESKTOP,
        _ => OTHER,
    });
    Families { bot, browser, system, device }
}

fn find(bytes: &[u8]) -> Found {
    let Searcher { automaton, places } = &*SEARCHER;
    let mut first = [usize::MAX; TABLES.len()];
    for found in automaton.find_overlapping_iter(bytes) {
        let (table, place) = places[found.pattern().as_usize()];
        if place >= first[table] {
            continue;
        }
        let (before, after) = (&bytes[..found.start()], &bytes[found.end()..]);
        let is_mark = if table == ANYWHERE {
            TABLES[table][place].0 != ANY_BOT || is_bot(before, after)
        } else {
            begins_word(before, bytes[found.start()])
        };
        if is_mark {
            first[table] = place;
        }
    }
    let mut found = [None; TABLES.len()];
    for (table, place) in first.into_iter().enumerate() {
        found[table] = TABLES[table].get(place).map(|(_, family)| *family);
    }
    found
}

/// Returns whether a mark that starts with `first` begins a word, or needs not begin one.
fn begins_word(before: &[u8], first: u8) -> bool {
    !first.is_ascii_alphanumeric() || before.last().is_none_or(|byte| !byte.is_ascii_alphanumeric())
}

/// Returns whether the letters "bot" between `before` and `after` name a bot, and not a product such as a Cubot phone.
fn is_bot(before: &[u8], after: &[u8]) -> bool {
    let is_letter = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphabetic);
    let ends_word = match after {
        [b's' | b'S', rest @ ..] => !is_letter(rest.first()),
        _ => !is_letter(after.first()),
    };
    let is_product = ["cu", "ab", "tal", "m "].iter().any(|start| {
        let (rest, last) = before.split_at(before.len().saturating_sub(start.len()));
        last.eq_ignore_ascii_case(start.as_bytes()) && begins_word(rest, last[0])
    });
    ends_word && !is_product
}

/// Returns whether a user agent has the form of an HTTP library: no browser's, and a first word like `name/1.0` or
/// no other word.
fn is_library(bytes: &[u8], browser: Option<&str>) -> bool {
    let bytes = bytes.trim_ascii();
    if browser.is_some() || bytes.get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"mozilla/")) {
        return false;
    }
    let end = bytes.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(bytes.len());
    let word = &bytes[..end];
    let is_name = |name: &[u8]| name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+:!".contains(byte));
    match word.iter().position(|byte| *byte == b'/') {
        Some(slash) => {
            slash > 0 && is_name(&word[..slash]) && word.get(slash + 1).is_some_and(u8::is_ascii_alphanumeric)
        }
        None => end == bytes.len() && is_name(word),
    }
}

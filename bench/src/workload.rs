//! The links that every server loads, and the requested codes: the same in every run.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const CODES: u64 = 62u64.pow(6);

/// Number of owners; each owns the same number of links.
pub const OWNERS: u64 = 400;

/// Largest number of codes that a load generator draws from, whose links exceed every CPU cache.
const MOST_CODES: u64 = 500_000;

/// Returns the code of the `n`th link: six characters in no visible order, different for each `n` below 62^6.
pub fn code(n: u64) -> String {
    // The factor is odd and no multiple of 31, so the map is a permutation.
    let mut mixed = ((u128::from(n) * 34_359_738_337) % u128::from(CODES)) as u64;
    let mut digit = || {
        let digit = BASE62[(mixed % 62) as usize];
        mixed /= 62;
        char::from(digit)
    };
    (0..6).map(|_| digit()).collect()
}

/// Options of links beside the plain ones: the columns of `urls` that differ, and what follows the code in the requests.
pub const OPTIONS: [(&str, &str); 7] = [
    ("starts_at = now() - interval '1 day'", ""),
    ("expires_at = now() + interval '1 day'", ""),
    ("expires_at = now() + interval '1 day', expired_url = 'https://www.example.com/over'", ""),
    ("redirect_status = 307", ""),
    ("redirect_status = 301", ""),
    ("forward_query = true", "?source=poster"),
    ("original_url = 'https://www.example.com/browse/{1}?from={query:from}'", "/ABC-1234?from=poster"),
];

/// The place of links with placeholders among the options.
const PLACEHOLDERS: usize = 6;
/// Rules of which a request of [`BROWSER`] matches the last: a class of devices, a language, a country, a query, a browser.
pub const FIVE_RULES: &str = r#"[
    {"target":"https://www.example.com/ios","if":[{"type":"device","value":"ios"}]},
    {"target":"https://www.example.com/fr","if":[{"type":"language","value":"fr"}]},
    {"target":"https://www.example.com/at","if":[{"type":"country","value":"AT"}]},
    {"target":"https://www.example.com/poster","if":[{"type":"query","key":"source","value":"poster"}]},
    {"target":"https://www.example.com/firefox","if":[{"type":"browser","value":"Firefox"}]}
]"#;

/// Header fields of a browser, each after a tab.
const BROWSER: &str = "\tUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\
    \tAccept-Language: de-DE,de;q=0.9,en;q=0.8";

/// Number of links with each of the options.
pub const LINKS_WITH_EACH_OPTION: u64 = 20;

/// One in so many requests of a mix is for a link with options: 5 %.
const MIX: usize = 20;

/// Returns the code of the `n`th link with the options at `at`.
pub fn code_with_options(at: usize, n: u64) -> String {
    format!("option{at}n{n}")
}

/// Returns the code of the `n`th link with [`FIVE_RULES`].
pub fn code_with_rules(n: u64) -> String {
    format!("rules{n}")
}

/// Returns whether the `n`th link is active: every eighth is not.
pub fn is_active(n: u64) -> bool {
    n % 8 != 7
}

/// Returns the target of the `n`th link: 36 to 75 bytes, 55.5 on average.
pub fn target(n: u64) -> String {
    format!("https://www.example.com/{n:08}/{}", "x".repeat((3 + n * 7 % 40) as usize))
}

/// Returns the mean length of a code and its target in bytes, which any map of links must store.
pub fn mean_payload(links: u64) -> f64 {
    let bytes: u64 = (0..links).map(|n| 6 + 36 + n * 7 % 40).sum();
    bytes as f64 / links as f64
}

/// Kind of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// Codes of active links.
    Hits,
    /// Codes of no link.
    Misses,
    /// Codes of inactive links.
    Gone,
    /// Codes of active links, of which 5 % have options.
    Mixed,
    /// Codes of links with placeholders, and what fills them.
    Filled,
    /// Codes of active links, requested by browsers.
    Browsers,
    /// Codes of links with five rules, requested by browsers.
    Rules,
}

impl RequestKind {
    pub const ALL: [RequestKind; 7] = [
        RequestKind::Hits,
        RequestKind::Misses,
        RequestKind::Gone,
        RequestKind::Mixed,
        RequestKind::Filled,
        RequestKind::Browsers,
        RequestKind::Rules,
    ];

    /// Returns the expected status of most answers.
    pub fn status(self) -> u16 {
        match self {
            RequestKind::Misses => 404,
            RequestKind::Gone => 410,
            _ => 302,
        }
    }

    pub fn file_name(self) -> &'static str {
        match self {
            RequestKind::Hits => "hits",
            RequestKind::Misses => "misses",
            RequestKind::Gone => "gone",
            RequestKind::Mixed => "mixed",
            RequestKind::Filled => "filled",
            RequestKind::Browsers => "browsers",
            RequestKind::Rules => "rules",
        }
    }

    /// Returns the place of the options that every requested link has.
    fn options(self) -> Option<usize> {
        (self == RequestKind::Filled).then_some(PLACEHOLDERS)
    }

    fn accepts(self, n: u64, links: u64) -> bool {
        match self {
            RequestKind::Misses => n >= links,
            RequestKind::Gone => n < links && !is_active(n),
            _ => n < links && is_active(n),
        }
    }

    fn codes(self, links: u64) -> impl Iterator<Item = String> {
        let range = if self == RequestKind::Misses { links..2 * links } else { 0..links };
        // Evenly spread over the range, with an odd step, so that it does not stay on the eighths.
        let step = ((range.end - range.start) / MOST_CODES).max(1) | 1;
        let codes = range.step_by(step as usize).filter(move |n| self.accepts(*n, links)).map(code);
        let options = self.options().map_or(0..OPTIONS.len(), |at| at..at + 1);
        let mut others = (0..LINKS_WITH_EACH_OPTION)
            .flat_map(move |n| options.clone().map(move |at| code_with_options(at, n) + OPTIONS[at].1))
            .cycle();
        let one_in = match self {
            RequestKind::Mixed => Some(MIX),
            other => other.options().map(|_| 1),
        };
        codes.enumerate().map(move |(n, code)| match self {
            RequestKind::Browsers => code + BROWSER,
            RequestKind::Rules => code_with_rules(n as u64 % LINKS_WITH_EACH_OPTION) + BROWSER,
            _ if one_in.is_some_and(|one_in| n % one_in == 0) => others.next().unwrap_or(code),
            _ => code,
        })
    }
}

/// Writes the codes to request, one a line.
pub fn write_codes(path: &Path, request_kind: RequestKind, links: u64) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    request_kind.codes(links).try_for_each(|code| writeln!(file, "{code}"))?;
    file.flush()
}

/// Writes the links as rows of `urls (id, user_id, short_code, original_url, is_active, created_at, updated_at)`,
/// in the text format of COPY.
pub fn write_rows(into: &mut impl Write, links: u64) -> io::Result<()> {
    const WHEN: &str = "2026-01-01 00:00:00+00";
    (0..links).try_for_each(|n| {
        let (code, target, active) = (code(n), target(n), is_active(n));
        writeln!(into, "{}\t{}\t{code}\t{target}\t{active}\t{WHEN}\t{WHEN}", n + 1, n % OWNERS + 1)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_six_characters_long() {
        let codes: HashSet<_> = (0..50_000).map(code).collect();
        assert_eq!(codes.len(), 50_000);
        assert!(codes.iter().all(|code| code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_alphanumeric())));
    }

    #[test]
    fn mean_payload_equals_lengths_of_codes_and_targets() {
        let bytes: usize = (0..2_000).map(|n| code(n).len() + target(n).len()).sum();
        assert_eq!(mean_payload(2_000), bytes as f64 / 2_000.0);
        assert!((0..100).all(|n| (36..=75).contains(&target(n).len())));
    }

    #[test]
    fn each_list_contains_codes_of_its_kind() {
        let links: HashSet<_> = (0..2_000).map(code).collect();
        let off: HashSet<_> = (0..2_000).filter(|n| !is_active(*n)).map(code).collect();
        let codes = |request_kind: RequestKind| request_kind.codes(2_000).collect::<Vec<_>>();
        assert_eq!(
            (codes(RequestKind::Hits).len(), codes(RequestKind::Gone).len(), codes(RequestKind::Misses).len()),
            (1_750, 250, 2_000)
        );
        assert!(codes(RequestKind::Hits).iter().all(|code| links.contains(code) && !off.contains(code)));
        assert!(codes(RequestKind::Gone).iter().all(|code| off.contains(code)));
        assert!(!codes(RequestKind::Misses).iter().any(|code| links.contains(code)));
        let mixed = codes(RequestKind::Mixed);
        let with_options = mixed.iter().filter(|code| code.starts_with("option")).count();
        assert_eq!((mixed.len(), with_options), (1_750, 88));
        for at in 0..OPTIONS.len() {
            assert!(mixed.iter().any(|code| code.starts_with(&format!("option{at}n"))), "{at}");
        }
        let filled = codes(RequestKind::Filled);
        let prefix = format!("option{PLACEHOLDERS}n");
        assert!(filled.len() == 1_750 && filled.iter().all(|code| code.starts_with(&prefix) && code.contains('/')));
        let (browsers, rules) = (codes(RequestKind::Browsers), codes(RequestKind::Rules));
        assert_eq!((browsers.len(), rules.len()), (1_750, 1_750));
        assert!(browsers.iter().chain(&rules).all(|line| line.contains("\tUser-Agent: Mozilla/5.0")));
        assert!(rules.iter().all(|code| code.starts_with("rules")));
        assert!((400_000..=500_000).contains(&RequestKind::Hits.codes(10_000_000).count()));
    }
}

//! The services whose files can be read.

use std::fmt;
use std::str::FromStr;

/// The service that wrote a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    Bitly,
    Yourls,
    Kutt,
    Shlink,
    Dub,
    Chhoto,
    Polr,
    Rebrandly,
    ShortIo,
    Sink,
    TinyUrl,
    /// A spreadsheet with columns of usual or given names.
    Csv,
    /// An export of Tern.
    Tern,
}

impl Source {
    /// Every source, in the order in which messages list them.
    pub const ALL: [Source; 13] = [
        Source::Bitly,
        Source::Yourls,
        Source::Kutt,
        Source::Shlink,
        Source::Dub,
        Source::Chhoto,
        Source::Polr,
        Source::Rebrandly,
        Source::ShortIo,
        Source::Sink,
        Source::TinyUrl,
        Source::Csv,
        Source::Tern,
    ];

    /// Returns the word of a command line, a request or a tag.
    pub fn word(self) -> &'static str {
        match self {
            Source::Bitly => "bitly",
            Source::Yourls => "yourls",
            Source::Kutt => "kutt",
            Source::Shlink => "shlink",
            Source::Dub => "dub",
            Source::Chhoto => "chhoto",
            Source::Polr => "polr",
            Source::Rebrandly => "rebrandly",
            Source::ShortIo => "shortio",
            Source::Sink => "sink",
            Source::TinyUrl => "tinyurl",
            Source::Csv => "csv",
            Source::Tern => "tern",
        }
    }

    /// Returns the name for a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Source::Bitly => "Bitly",
            Source::Yourls => "YOURLS",
            Source::Kutt => "Kutt",
            Source::Shlink => "Shlink",
            Source::Dub => "Dub",
            Source::Chhoto => "chhoto-url",
            Source::Polr => "Polr",
            Source::Rebrandly => "Rebrandly",
            Source::ShortIo => "Short.io",
            Source::Sink => "Sink",
            Source::TinyUrl => "TinyURL",
            Source::Csv => "the spreadsheet",
            Source::Tern => "Tern",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The error for a word that names no source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one of {}", Source::ALL.map(Source::word).join(", "))]
pub struct UnknownSource;

impl FromStr for Source {
    type Err = UnknownSource;

    fn from_str(word: &str) -> Result<Source, UnknownSource> {
        Source::ALL.into_iter().find(|source| source.word() == word).ok_or(UnknownSource)
    }
}

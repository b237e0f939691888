//! The shapes of known files: the names of their columns, and what each means.
//!
//! Names are compared without case, spaces, `_` and `-`, so one shape reads the CSV, the JSON and the table of a service.
//! A name with a dot is a key of a nested object.

use crate::field::Field;
use crate::source::Source;

/// The columns of one kind of file.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) source: Source,
    /// The kind of file for a sentence, such as "an export of Kutt".
    pub(crate) name: &'static str,
    /// The columns by which the file is recognised; all must be there.
    pub(crate) marks: &'static [&'static str],
    pub(crate) fields: &'static [(&'static str, Field)],
    /// Columns that repeat others, or that mean nothing outside of the service.
    pub(crate) redundant: &'static [&'static str],
}

/// The most columns of a message.
const MAX_LISTED: usize = 20;

use Field::*;

/// Every shape but that of spreadsheets.
pub(crate) static SHAPES: [Shape; 19] = [
    Shape {
        source: Source::Tern,
        name: "an export of Tern",
        marks: &["shortcode", "originalurl", "userid"],
        fields: &[
            ("shortcode", Code),
            ("originalurl", Target),
            ("title", Title),
            ("isactive", IsActive),
            ("startsat", StartsAt),
            ("expiresat", ExpiresAt),
            ("expiredurl", ExpiredUrl),
            ("redirectstatus", RedirectStatus),
            ("forwardquery", ForwardQuery),
            ("createdat", CreatedAt),
            ("updatedat", UpdatedAt),
            ("tags", Tags),
            ("notes", Notes),
            ("externalid", ExternalId),
            ("clicks", Clicks),
            ("importedclicks", ImportedClicks),
            ("shorturl", ShortUrl),
        ],
        redundant: &["id", "userid", "revision", "state", "lastclickedat"],
    },
    Shape {
        source: Source::Bitly,
        name: "a CSV export of Bitly",
        marks: &["link", "destinationurl", "datecreated"],
        fields: &[
            ("link", ShortUrl),
            ("customlink", BackHalves),
            ("datecreated", CreatedAt),
            ("title", Title),
            ("destinationurl", Target),
            ("engagements", Clicks),
            ("status", State),
            ("tags", Tags),
        ],
        redundant: &[],
    },
    Shape {
        source: Source::Bitly,
        name: "a CSV export of Bitly",
        marks: &["bitlink", "longurl"],
        fields: &[
            ("bitlink", ShortUrl),
            ("custombitlink", BackHalves),
            ("customlink", BackHalves),
            ("title", Title),
            ("longurl", Target),
            ("tags", Tags),
            ("created", CreatedAt),
            ("totalclicks", Clicks),
            ("archived", Archived),
            ("status", State),
        ],
        redundant: &[],
    },
    Shape {
        source: Source::Bitly,
        name: "an answer of Bitly's API",
        marks: &["id", "link", "custombitlinks"],
        fields: &[
            ("link", ShortUrl),
            ("id", ShortUrl),
            ("custombitlinks", BackHalves),
            ("longurl", Target),
            ("title", Title),
            ("archived", Archived),
            ("isdeleted", Deleted),
            ("createdat", CreatedAt),
            ("modifiedat", UpdatedAt),
            ("tags", Tags),
            ("expirationat", ExpiresAt),
        ],
        redundant: &["references.group", "references"],
    },
    Shape {
        source: Source::Yourls,
        name: "a table of YOURLS",
        marks: &["keyword", "url", "timestamp", "clicks"],
        fields: &[("keyword", Code), ("url", Target), ("title", Title), ("timestamp", CreatedAt), ("clicks", Clicks)],
        redundant: &[],
    },
    Shape {
        source: Source::Yourls,
        name: "a CSV export of YOURLS",
        marks: &["source", "target", "hits"],
        fields: &[("source", Code), ("target", Target), ("hits", Clicks)],
        redundant: &[],
    },
    Shape {
        source: Source::Yourls,
        name: "a CSV file of YOURLS without a header",
        marks: &["url", "keyword", "title"],
        fields: &[("url", Target), ("keyword", Code), ("title", Title)],
        redundant: &[],
    },
    Shape {
        source: Source::Kutt,
        name: "an answer of Kutt's API",
        marks: &["address", "target", "banned"],
        fields: &[
            ("address", Code),
            ("link", ShortUrl),
            ("target", Target),
            ("description", Description),
            ("expirein", ExpiresAt),
            ("createdat", CreatedAt),
            ("updatedat", UpdatedAt),
            ("visitcount", Clicks),
            ("domain", Domain),
            ("banned", Banned),
            ("password", Password),
        ],
        redundant: &["id"],
    },
    Shape {
        source: Source::Shlink,
        name: "a CSV file of Shlink",
        marks: &["longurl", "shortcode"],
        fields: &[
            ("longurl", Target),
            ("shortcode", Code),
            ("shorturl", ShortUrl),
            ("domain", Domain),
            ("title", Title),
            ("tags", Tags),
            ("createdat", CreatedAt),
            ("visits", Clicks),
        ],
        redundant: &[],
    },
    Shape {
        source: Source::Shlink,
        name: "an answer of Shlink's API",
        marks: &["longurl", "shortcode", "datecreated"],
        fields: &[
            ("longurl", Target),
            ("shortcode", Code),
            ("shorturl", ShortUrl),
            ("domain", Domain),
            ("title", Title),
            ("tags", Tags),
            ("datecreated", CreatedAt),
            ("visitssummary.total", Clicks),
            ("visitssummary.nonbots", PeopleClicks),
            ("visitscount", Clicks),
            ("meta.validsince", StartsAt),
            ("meta.validuntil", ExpiresAt),
            ("meta.maxvisits", MaxClicks),
            ("forwardquery", ForwardQuery),
        ],
        redundant: &["visitssummary.bots"],
    },
    Shape {
        source: Source::Dub,
        name: "a CSV export of Dub",
        marks: &["shortlink", "destinationurl"],
        fields: &[
            ("shortlink", ShortUrl),
            ("destinationurl", Target),
            ("title", Title),
            ("clicks", Clicks),
            ("createdat", CreatedAt),
            ("updatedat", UpdatedAt),
            ("expiresat", ExpiresAt),
            ("tags", Tags),
            ("archived", Archived),
        ],
        redundant: &["linkid"],
    },
    Shape {
        source: Source::Chhoto,
        name: "a table of chhoto-url",
        marks: &["shorturl", "longurl", "hits"],
        fields: &[
            ("shorturl", Code),
            ("longurl", Target),
            ("hits", Clicks),
            ("expirytime", ExpiresAt),
            ("notes", Notes),
        ],
        redundant: &["id"],
    },
    Shape {
        source: Source::Chhoto,
        name: "an answer of chhoto-url's API",
        marks: &["shortlink", "longlink", "hits"],
        fields: &[
            ("shortlink", Code),
            ("longlink", Target),
            ("hits", Clicks),
            ("expirytime", ExpiresAt),
            ("notes", Notes),
        ],
        redundant: &[],
    },
    Shape {
        source: Source::Polr,
        name: "a table of Polr",
        marks: &["shorturl", "longurl", "secretkey", "isdisabled"],
        fields: &[
            ("id", RowId),
            ("shorturl", Code),
            ("longurl", Target),
            ("clicks", Clicks),
            ("secretkey", Secret),
            ("isdisabled", Disabled),
            ("createdat", CreatedAt),
            ("updatedat", UpdatedAt),
        ],
        redundant: &["iscustom", "isapi", "longurlhash"],
    },
    Shape {
        source: Source::Rebrandly,
        name: "an export of Rebrandly",
        marks: &["slashtag", "destination"],
        fields: &[
            ("slashtag", Code),
            ("destination", Target),
            ("title", Title),
            ("shorturl", ShortUrl),
            ("domain", Domain),
            ("domain.fullname", Domain),
            ("domainname", Domain),
            ("createdat", CreatedAt),
            ("updatedat", UpdatedAt),
            ("clicks", Clicks),
            ("tags", Tags),
            ("forwardparameters", ForwardQuery),
            ("status", State),
        ],
        redundant: &["id", "domainid", "domain.id", "domain.ref", "domain.active", "https"],
    },
    Shape {
        source: Source::ShortIo,
        name: "an export of Short.io",
        marks: &["shorturl", "originalurl", "originalpath"],
        fields: SHORT_IO,
        redundant: SHORT_IO_REDUNDANT,
    },
    Shape {
        source: Source::ShortIo,
        name: "an export of Short.io",
        marks: &["originalurl", "path"],
        fields: SHORT_IO,
        redundant: SHORT_IO_REDUNDANT,
    },
    Shape {
        source: Source::Sink,
        name: "an export of Sink",
        marks: &["slug", "url", "createdat", "updatedat"],
        fields: &[
            ("slug", Code),
            ("url", Target),
            ("title", Title),
            ("comment", Notes),
            ("expiration", ExpiresAt),
            ("createdat", CreatedAt),
            ("updatedat", UpdatedAt),
            ("tags", Tags),
            ("redirectwithquery", ForwardQuery),
            ("password", Password),
        ],
        redundant: &["id"],
    },
    Shape {
        source: Source::TinyUrl,
        name: "an answer of TinyURL's API",
        marks: &["alias", "tinyurl"],
        fields: &[
            ("alias", Code),
            ("tinyurl", ShortUrl),
            ("domain", Domain),
            ("url", Target),
            ("longurl", Target),
            ("destination", Target),
            ("title", Title),
            ("tags", Tags),
            ("createdat", CreatedAt),
            ("expiresat", ExpiresAt),
            ("deleted", Deleted),
            ("archived", Archived),
            ("clicks", Clicks),
            ("hits", Clicks),
        ],
        redundant: &["hash"],
    },
];

const SHORT_IO: &[(&str, Field)] = &[
    ("originalpath", Code),
    ("path", Code),
    ("shorturl", ShortUrl),
    ("originalurl", Target),
    ("title", Title),
    ("clicks", Clicks),
    ("createdat", CreatedAt),
    ("updatedat", UpdatedAt),
    ("expiresat", ExpiresAt),
    ("expiredurl", ExpiredUrl),
    ("tags", Tags),
    ("archived", Archived),
    ("password", Password),
    ("redirecttype", RedirectStatus),
];

const SHORT_IO_REDUNDANT: &[&str] = &["id", "idstring", "domainid", "secureshorturl", "ownerid", "lcpath"];

/// The columns of a spreadsheet, by the names that people give them.
pub(crate) static SPREADSHEET: Shape = Shape {
    source: Source::Csv,
    name: "a spreadsheet",
    marks: &[],
    fields: &[
        ("url", Target),
        ("target", Target),
        ("targeturl", Target),
        ("destination", Target),
        ("destinationurl", Target),
        ("longurl", Target),
        ("longlink", Target),
        ("originalurl", Target),
        ("originallink", Target),
        ("redirectto", Target),
        ("slug", Code),
        ("code", Code),
        ("shortcode", Code),
        ("keyword", Code),
        ("alias", Code),
        ("backhalf", Code),
        ("path", Code),
        ("shorturl", ShortUrl),
        ("shortlink", ShortUrl),
        ("title", Title),
        ("name", Title),
        ("notes", Notes),
        ("note", Notes),
        ("comment", Notes),
        ("comments", Notes),
        ("description", Notes),
        ("tags", Tags),
        ("tag", Tags),
        ("labels", Tags),
        ("domain", Domain),
        ("created", CreatedAt),
        ("createdat", CreatedAt),
        ("datecreated", CreatedAt),
        ("creationdate", CreatedAt),
        ("date", CreatedAt),
        ("updated", UpdatedAt),
        ("updatedat", UpdatedAt),
        ("starts", StartsAt),
        ("startsat", StartsAt),
        ("validfrom", StartsAt),
        ("expires", ExpiresAt),
        ("expiresat", ExpiresAt),
        ("expiry", ExpiresAt),
        ("expirydate", ExpiresAt),
        ("expiration", ExpiresAt),
        ("expirationdate", ExpiresAt),
        ("validuntil", ExpiresAt),
        ("expiredurl", ExpiredUrl),
        ("active", IsActive),
        ("isactive", IsActive),
        ("enabled", IsActive),
        ("disabled", Disabled),
        ("archived", Archived),
        ("status", State),
        ("state", State),
        ("clicks", Clicks),
        ("totalclicks", Clicks),
        ("visits", Clicks),
        ("hits", Clicks),
        ("redirectstatus", RedirectStatus),
        ("forwardquery", ForwardQuery),
        ("externalid", ExternalId),
    ],
    redundant: &[],
};

/// The header of a file of YOURLS that has none.
pub(crate) const HEADERLESS: [&str; 3] = ["url", "keyword", "title"];

/// Returns the name of a column in the form of shapes.
pub(crate) fn normalise(name: &str) -> String {
    let is_kept = |c: &char| !matches!(c, ' ' | '_' | '-' | '\u{feff}' | '\u{a0}' | '\t');
    name.chars().filter(is_kept).flat_map(char::to_lowercase).collect()
}

impl Shape {
    /// Returns the field of a column by its normalised name.
    pub(crate) fn field(&self, normal: &str) -> Option<Field> {
        self.fields.iter().find(|(known, _)| *known == normal).map(|&(_, field)| field)
    }

    /// Returns whether keys of a nested object under a normalised name have a meaning.
    pub(crate) fn is_nested(&self, normal: &str) -> bool {
        let begins = |known: &str| known.strip_prefix(normal).is_some_and(|rest| rest.starts_with('.'));
        self.fields.iter().any(|(known, _)| begins(known)) || self.redundant.iter().any(|known| begins(known))
    }

    /// Returns whether all marks are among normalised names.
    pub(crate) fn fits(&self, normal: &[String]) -> bool {
        self.marks.iter().all(|mark| normal.iter().any(|name| name == mark))
    }

    /// Returns the number of names that are fields.
    pub(crate) fn known(&self, normal: &[String]) -> usize {
        normal.iter().filter(|name| self.fields.iter().any(|(known, _)| known == name)).count()
    }

    pub(crate) fn has(&self, field: Field, names: &[String]) -> bool {
        names.iter().any(|name| self.field(&normalise(name)) == Some(field))
    }
}

/// Lists names for a message.
pub(crate) fn list(names: &[String]) -> String {
    let named: Vec<String> = names.iter().filter(|name| !name.is_empty()).map(|name| shorten(name)).collect();
    let more = if named.len() > MAX_LISTED { ", ..." } else { "" };
    format!("{}{more}", named[..named.len().min(MAX_LISTED)].join(", "))
}

/// Cuts a text of a file for a message, and escapes its control characters.
pub(crate) fn shorten(text: &str) -> String {
    let short: String = text.chars().take(60).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(60).is_some() { format!("{short}...") } else { short }
}

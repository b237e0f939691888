//! The fields of a link that a column can have.

use std::str::FromStr;

/// The meaning of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Code,
    /// The whole short address, with or without its scheme. The code is its path.
    ShortUrl,
    /// Further codes or short addresses of the same link.
    BackHalves,
    Target,
    Title,
    /// A title that may be long: it becomes notes if it is.
    Description,
    Notes,
    Tags,
    Domain,
    CreatedAt,
    UpdatedAt,
    StartsAt,
    ExpiresAt,
    ExpiredUrl,
    IsActive,
    Banned,
    Disabled,
    Deleted,
    Archived,
    /// A word such as "Active", "Archived" or "Deleted".
    State,
    /// A secret that visitors had to add to the short address.
    Secret,
    Password,
    Clicks,
    /// A count that is added to the clicks.
    ImportedClicks,
    /// The part of the clicks that are of people.
    PeopleClicks,
    /// A limit of clicks.
    MaxClicks,
    /// The clicks that a limit leaves.
    ClicksLeft,
    RedirectStatus,
    ForwardQuery,
    /// Rules in the form of Tern's API, as JSON.
    Rules,
    /// Rules in the form of Shlink's API, as JSON.
    ShlinkRules,
    /// Targets by country, as a JSON object.
    CountryTargets,
    /// The target for iPhones and iPads.
    IosTarget,
    /// The target for Android.
    AndroidTarget,
    /// A split in the form of Tern's API, as JSON.
    Split,
    ExternalId,
    /// The number of the row in its database, to which clicks refer.
    RowId,
}

impl Field {
    /// The number of fields.
    pub(crate) const COUNT: usize = Field::RowId as usize + 1;

    /// The fields that a map of columns can name, with their words.
    pub(crate) const WORDS: [(&str, Field); 17] = [
        ("code", Field::Code),
        ("short_url", Field::ShortUrl),
        ("target", Field::Target),
        ("title", Field::Title),
        ("notes", Field::Notes),
        ("tags", Field::Tags),
        ("domain", Field::Domain),
        ("created_at", Field::CreatedAt),
        ("updated_at", Field::UpdatedAt),
        ("starts_at", Field::StartsAt),
        ("expires_at", Field::ExpiresAt),
        ("expired_url", Field::ExpiredUrl),
        ("is_active", Field::IsActive),
        ("clicks", Field::Clicks),
        ("redirect_status", Field::RedirectStatus),
        ("forward_query", Field::ForwardQuery),
        ("external_id", Field::ExternalId),
    ];

    /// Returns whether a list or an object in this field is read as JSON.
    pub(crate) fn is_json(self) -> bool {
        matches!(self, Field::Rules | Field::Split | Field::ShlinkRules | Field::CountryTargets)
    }

    /// The fields that are times.
    pub(crate) const TIMES: [Field; 4] = [Field::CreatedAt, Field::UpdatedAt, Field::StartsAt, Field::ExpiresAt];
}

/// The error for a word that names no field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one of {}", Field::WORDS.map(|(word, _)| word).join(", "))]
pub struct UnknownField;

impl FromStr for Field {
    type Err = UnknownField;

    fn from_str(word: &str) -> Result<Field, UnknownField> {
        Field::WORDS.iter().find(|(name, _)| *name == word).map(|&(_, field)| field).ok_or(UnknownField)
    }
}

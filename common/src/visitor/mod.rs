//! Visitors: the client of a click, described by families from closed lists.
//!
//! A visitor is worked out from the header fields of a request, without I/O, locks or allocations.
//!
//! ```text
//! user_agent  bot, browser, system and device of a user agent
//!   marks       the parts of user agents that distinguish them
//! language    the first language that a client prefers
//! country     countries by their code
//! classes     classes of devices, and browsers by their names
//! names       names that several lists have
//! ```

mod classes;
mod country;
mod language;
mod marks;
mod names;
mod user_agent;

use std::fmt;

pub use self::classes::{DEVICE_CLASSES, browser_named, browsers};
pub use self::country::country_of;
pub use self::language::{language_of, primary_subtag};
pub use self::names::{BOT, NO_USER_AGENT, OTHER, PREFETCH, UNKNOWN};
use self::user_agent::Families;

/// The client of a click. Each value is from a closed list.
///
/// Its text form is `browser|system|device|language|country|bot`, such as `Firefox|Linux|desktop|en|DE|`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Visitor {
    /// The family of the bot; `None` for a person.
    pub bot: Option<&'static str>,
    pub browser: &'static str,
    pub system: &'static str,
    pub device: &'static str,
    /// The primary subtag of a language, such as `en`.
    pub language: &'static str,
    /// The ISO 3166 code of a country, such as `DE`.
    pub country: &'static str,
}

/// The facts of a request from which a visitor is worked out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Signs<'a> {
    /// The user agent as the client sent it; empty if there is none.
    pub user_agent: &'a [u8],
    /// Whether a browser announced that it loads the page in advance.
    pub is_prefetch: bool,
    /// The primary subtag of the first preferred language, by [`primary_subtag`].
    pub language: [u8; 3],
    /// The code of a country; other bytes mean that it is unknown.
    pub country: [u8; 2],
}

/// Bytes of the longest text form.
pub const MAX_TEXT: usize = 128;

const SEPARATOR: char = '|';

impl Default for Visitor {
    fn default() -> Visitor {
        Visitor::UNKNOWN
    }
}

impl Visitor {
    /// A person of whom nothing else is known.
    pub const UNKNOWN: Visitor =
        Visitor { bot: None, browser: UNKNOWN, system: UNKNOWN, device: UNKNOWN, language: UNKNOWN, country: UNKNOWN };

    /// Builds what the search of user agents needs, so that no redirect does.
    pub fn prepare() {
        user_agent::prepare();
    }

    /// Returns the visitor of a request that Tern answered. Without a user agent it is a bot.
    pub fn of_request(signs: &Signs<'_>) -> Visitor {
        let language = language_of(&signs.language);
        let country = country_of(&signs.country);
        let sent = signs.user_agent.trim_ascii();
        let mut visitor = Visitor { language, country, ..Visitor::of_user_agent(sent) };
        if signs.is_prefetch {
            visitor.bot = Some(PREFETCH);
        } else if sent.is_empty() {
            visitor.bot = Some(NO_USER_AGENT);
        }
        visitor
    }

    /// Returns the visitor of an event from outside. Without a user agent it is a person.
    pub fn of_user_agent(user_agent: &[u8]) -> Visitor {
        if user_agent.trim_ascii().is_empty() {
            return Visitor::UNKNOWN;
        }
        let Families { bot, browser, system, device } = user_agent::families(user_agent);
        Visitor { bot, browser, system, device, ..Visitor::UNKNOWN }
    }

    /// Returns whether the visitor loads pages in advance or shows previews of them: in chats, in mail, in social networks.
    pub fn is_preview(&self) -> bool {
        self.bot.is_some_and(|bot| bot == PREFETCH || marks::PREVIEWS.contains(&bot))
    }

    /// Returns the visitor as a bot of the named family.
    #[must_use]
    pub fn as_bot(self, family: &str) -> Visitor {
        Visitor { bot: Some(marks::bot(family)), ..self }
    }

    /// Reads the text form. A name that is in no list becomes [`OTHER`], and a missing one [`UNKNOWN`].
    pub fn parse(text: &str) -> Visitor {
        let mut parts = text.split(SEPARATOR);
        let mut next = || parts.next().filter(|part| !part.is_empty());
        let [browser, system, device, language, country, bot] = std::array::from_fn(|_| next());
        let named = |name: Option<&str>, find: fn(&str) -> &'static str| name.map_or(UNKNOWN, find);
        Visitor {
            bot: bot.map(marks::bot),
            browser: named(browser, marks::browser),
            system: named(system, marks::system),
            device: named(device, marks::device),
            language: named(language, |code| language_of(code.as_bytes())),
            country: named(country, |code| if code == OTHER { OTHER } else { country_of(code.as_bytes()) }),
        }
    }

    /// Returns the texts between the separators of the text form.
    fn parts(&self) -> [&'static str; 6] {
        [self.browser, self.system, self.device, self.language, self.country, self.bot.unwrap_or_default()]
    }

    /// Writes the text form without allocations, and returns the written bytes.
    pub fn write<'a>(&self, out: &'a mut [u8; MAX_TEXT]) -> &'a [u8] {
        let mut len = 0;
        for (n, part) in self.parts().into_iter().enumerate() {
            if n > 0 {
                out[len] = SEPARATOR as u8;
                len += 1;
            }
            out[len..len + part.len()].copy_from_slice(part.as_bytes());
            len += part.len();
        }
        &out[..len]
    }
}

impl fmt::Display for Visitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, rest @ ..] = self.parts();
        f.write_str(first)?;
        rest.into_iter().try_for_each(|part| write!(f, "{SEPARATOR}{part}"))
    }
}

#[cfg(test)]
mod tests;

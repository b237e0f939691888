//! Rules and splits: the other targets of a link, and which of them a request is led to.
//!
//! A rule has conditions, all of which a request must meet. The first rule that matches wins. Without one, a split divides
//! the clients by weight. Every other client is led to the plain target.
//!
//! ```text
//! condition   the types of conditions, and the check of each
//! rules       rules and splits as clients write and stores keep them
//! served      their bytes in the map and in the snapshot file
//! matching    the choice of a target, without allocation
//! share       the hundredth of the clients to which a client belongs
//! ```

mod condition;
mod matching;
mod rules;
mod served;
mod share;
#[cfg(test)]
mod tests;

pub use self::condition::{Condition, ConditionType, InvalidCondition};
pub use self::matching::{Facts, split_query};
pub(crate) use self::rules::of_row;
pub use self::rules::{InvalidRules, InvalidSplit, Rule, Rules, Split, Variant};
pub use self::served::{Chosen, Routing};
pub use self::share::hundredth_of;

/// The reason for which a link with rules or a split led a request to its target. Numbers begin with 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Choice {
    /// No rule matched, and the client is in no variant.
    Plain,
    Rule(u8),
    Variant(u8),
}

impl Choice {
    /// The bit that tells a variant from a rule.
    const VARIANT: u8 = 0x80;
    const PLAIN: u8 = 0xff;

    /// Returns the choice as a byte, which is never 0.
    pub const fn to_byte(self) -> u8 {
        match self {
            Choice::Plain => Choice::PLAIN,
            Choice::Rule(n) => n,
            Choice::Variant(n) => Choice::VARIANT | n,
        }
    }

    /// Reads a byte; `None` for 0.
    pub const fn of_byte(byte: u8) -> Option<Choice> {
        match byte {
            0 | Choice::VARIANT => None,
            Choice::PLAIN => Some(Choice::Plain),
            n if n & Choice::VARIANT == 0 => Some(Choice::Rule(n)),
            n => Some(Choice::Variant(n & !Choice::VARIANT)),
        }
    }

    /// Returns the number of the rule.
    pub const fn rule(self) -> Option<u8> {
        if let Choice::Rule(n) = self { Some(n) } else { None }
    }

    /// Returns the number of the variant.
    pub const fn variant(self) -> Option<u8> {
        if let Choice::Variant(n) = self { Some(n) } else { None }
    }
}

//! Refuses the loss of most links: a store that was emptied, or is another one, must not empty the map.
//!
//! Only removals are refused, and only those of a snapshot or an audit. What a delta removes is in the log of changes.

use std::convert::Infallible;

use crate::link_map::{LinkMap, Replacement};

/// Returns whether so few of the served links would be left that an operator has to confirm it.
pub(super) fn is_suspicious(served: usize, left: usize) -> bool {
    left < served / 2
}

/// Returns the links of the map, and `links` in place of those under the same codes.
pub(super) fn merged(map: &LinkMap, links: Replacement) -> Replacement {
    let mut merged = Replacement::default();
    let Ok(()) = map.for_each(|link| {
        merged.put_served(link);
        Ok::<_, Infallible>(())
    });
    // Of two links under one code the later stays.
    merged.append(links);
    merged
}

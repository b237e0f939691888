//! Refuses the loss of most links: an emptied or wrong store must not empty the map.
//!
//! Only removals by a snapshot or an audit are refused. The removals of a delta are in the change log.

use std::convert::Infallible;

use crate::link_map::{LinkMap, Replacement};

/// Returns whether so few of the served links would be left that an operator has to confirm their removal.
pub(super) fn is_suspicious(served: usize, left: usize) -> bool {
    left < served / 2
}

/// Merges the links of the map with `links`, which win under the same code.
pub(super) fn merged(map: &LinkMap, links: Replacement) -> Replacement {
    let mut merged = Replacement::default();
    let Ok(()) = map.for_each(|link| {
        merged.put_served(link);
        Ok::<_, Infallible>(())
    });
    // A later link replaces an earlier one with the same code.
    merged.append(links);
    merged
}

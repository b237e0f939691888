//! Changes of the map that the snapshot file does not have yet.

use std::sync::Arc;
use std::time::SystemTime;

use tern_common::served_link::EncodedLink;
use tern_common::store::Cursor;

use super::file::Changes;
use crate::link_map::LinkMap;

/// Bytes of changes that are written at once. Before, they wait for the next regular write.
const MANY: usize = 1 << 20;

/// The difference between the map and the snapshot file.
#[derive(Debug)]
pub(super) enum Unsaved {
    /// Changes that can be appended. There may be none.
    Changes(Changes),
    /// Changes that are not known, so that all links have to be written.
    Everything,
}

/// Contents of the next write of the snapshot file. The map may change while it is written.
pub(super) struct Save {
    pub(super) cursor: Cursor,
    pub(super) equal_at: SystemTime,
    pub(super) map: Arc<LinkMap>,
    pub(super) unsaved: Unsaved,
}

impl Unsaved {
    pub(super) fn nothing() -> Unsaved {
        Unsaved::Changes(Changes::default())
    }

    /// Adds a link that was put into the map.
    pub(super) fn put(&mut self, link: EncodedLink<'_>) {
        if let Unsaved::Changes(changes) = self
            && changes.put(link).is_err()
        {
            *self = Unsaved::Everything;
        }
    }

    /// Adds a code that was removed from the map.
    pub(super) fn remove(&mut self, code: &str) {
        if let Unsaved::Changes(changes) = self
            && changes.remove(code).is_err()
        {
            *self = Unsaved::Everything;
        }
    }

    /// Returns whether so much waits that it is written before the next regular write.
    pub(super) fn is_much(&self) -> bool {
        matches!(self, Unsaved::Changes(changes) if changes.len() >= MANY)
    }

    /// Takes what has to be written. Returns `None` if that is nothing.
    pub(super) fn take(&mut self) -> Option<Unsaved> {
        let is_nothing = matches!(self, Unsaved::Changes(changes) if changes.is_empty());
        (!is_nothing).then(|| std::mem::replace(self, Unsaved::nothing()))
    }
}

//! The cells of one row, by the fields of a link.

use std::borrow::Cow;
use std::sync::Arc;

use crate::field::Field;
use crate::roles::Role;

/// The value of a field in a row.
#[derive(Clone, Debug, Default)]
pub(crate) enum Cell<'a> {
    #[default]
    Absent,
    Text(Cow<'a, str>),
    List(Vec<String>),
}

/// The values of a row. A field of two columns has the value of the first that has one.
#[derive(Debug)]
pub(crate) struct Cells<'a> {
    pub(crate) row: u64,
    cells: [Cell<'a>; Field::COUNT],
    /// Whether a title, notes or an external id may be blank.
    keeps_blank: bool,
    pub(crate) dropped: Vec<Arc<str>>,
}

impl<'a> Cells<'a> {
    pub(crate) fn new(row: u64, keeps_blank: bool) -> Cells<'a> {
        Cells { row, cells: [const { Cell::Absent }; Field::COUNT], keeps_blank, dropped: Vec::new() }
    }

    /// Adds the text of a column, with the name of the column. A blank text is absent.
    pub(crate) fn set_text(&mut self, role: &Role, name: &str, text: impl Into<Cow<'a, str>>) {
        let text = text.into();
        let may_be_blank = match role {
            Role::Field(Field::Title | Field::Notes) => true,
            // It has a character at least, which may be a space.
            Role::Field(Field::ExternalId) => !text.is_empty(),
            _ => false,
        };
        if text.trim().is_empty() && !(self.keeps_blank && may_be_blank) {
            return;
        }
        match role {
            Role::Redundant => {}
            Role::Dropped(name) => {
                if !is_nothing(&text) {
                    self.dropped.push(Arc::clone(name));
                }
            }
            Role::Field(field) => {
                if has_no_place(*field) && !is_nothing(&text) {
                    self.dropped.push(name.into());
                }
                let cell = &mut self.cells[*field as usize];
                match cell {
                    Cell::Absent => *cell = Cell::Text(text),
                    Cell::List(items) if *field == Field::BackHalves => items.push(text.into_owned()),
                    Cell::Text(first) if *field == Field::BackHalves => {
                        *cell = Cell::List(vec![first.to_string(), text.into_owned()]);
                    }
                    _ => {}
                }
            }
        }
    }

    /// Adds the list of a column.
    pub(crate) fn set_list(&mut self, role: &Role, items: Vec<String>) {
        match role {
            _ if items.is_empty() => {}
            Role::Redundant => {}
            Role::Dropped(name) => self.dropped.push(Arc::clone(name)),
            Role::Field(field) => {
                let cell = &mut self.cells[*field as usize];
                if matches!(cell, Cell::Absent) {
                    *cell = Cell::List(items);
                }
            }
        }
    }

    /// Returns the text of a field, without white space around it; `None` if it is absent or a list.
    pub(crate) fn text(&self, field: Field) -> Option<&str> {
        self.whole_text(field).map(str::trim)
    }

    /// Returns the text of a field as it is; `None` if it is absent or a list.
    pub(crate) fn whole_text(&self, field: Field) -> Option<&str> {
        match &self.cells[field as usize] {
            Cell::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn cell(&self, field: Field) -> &Cell<'a> {
        &self.cells[field as usize]
    }
}

/// Returns whether Tern has no place for a field that still decides whether a link is active.
fn has_no_place(field: Field) -> bool {
    matches!(field, Field::Password | Field::Secret)
}

/// Returns whether a value says nothing, so that nobody misses it.
fn is_nothing(text: &str) -> bool {
    matches!(
        text.trim(),
        "" | "0" | "0.00" | "false" | "FALSE" | "False" | "no" | "No" | "NO" | "null" | "NULL" | "None"
    )
}

//! The meaning of each column of a file.

use std::sync::Arc;

use crate::error::FileError;
use crate::field::Field;
use crate::options::{ColumnMap, Options};
use crate::shapes::{Shape, list, normalise, shorten};
use crate::source::Source;

/// The meaning of one column of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Field(Field),
    Redundant,
    /// A column for which Tern has no place, by its name in the file.
    Dropped(Arc<str>),
}

/// A shape, and the columns that have other names than there.
#[derive(Debug)]
pub(crate) struct Roles {
    shape: &'static Shape,
    columns: ColumnMap,
}

impl Roles {
    pub(crate) fn new(shape: &'static Shape, columns: &ColumnMap) -> Roles {
        Roles { shape, columns: columns.clone() }
    }

    /// Returns the meaning of a column by its name. A mapped column takes its field from the usual column.
    pub(crate) fn role(&self, name: &str) -> Role {
        let normal = normalise(name);
        if let Some((field, _)) = self.columns.iter().find(|(_, column)| normalise(column) == normal) {
            return Role::Field(field);
        }
        match self.shape.field(&normal) {
            Some(field) if self.columns.iter().all(|(mapped, _)| mapped != field) => Role::Field(field),
            None if self.shape.redundant.contains(&normal.as_str()) => Role::Redundant,
            _ => Role::Dropped(name.trim().into()),
        }
    }

    /// Returns whether keys of a nested object under this name have a meaning.
    pub(crate) fn is_nested(&self, name: &str) -> bool {
        self.shape.is_nested(&normalise(name))
    }

    /// Returns the meaning of each column of a header.
    ///
    /// # Errors
    /// When two columns have the same name or, in a spreadsheet, the same meaning, or a mapped column is missing.
    pub(crate) fn of_header(&self, names: &[String]) -> Result<Vec<Role>, FileError> {
        let normal: Vec<String> = names.iter().map(|name| normalise(name)).collect();
        let same_name = |first: usize, second: usize| !normal[first].is_empty() && normal[first] == normal[second];
        if let Some((first, second)) = pair(names.len(), same_name) {
            let (first, second) = (shorten(&names[first]), shorten(&names[second]));
            return Err(FileError::of_file(format!(
                "has two columns of one name, {first} and {second}: rename or remove one"
            )));
        }
        if let Some((_, column)) = self.columns.iter().find(|(_, column)| !normal.contains(&normalise(column))) {
            let column = shorten(column);
            return Err(FileError::of_file(format!("has no column {column}; its columns are {}", list(names))));
        }
        let roles: Vec<Role> = names.iter().map(|name| self.role(name)).collect();
        let same_field =
            |first: usize, second: usize| matches!(roles[first], Role::Field(_)) && roles[first] == roles[second];
        if self.shape.source == Source::Csv
            && let Some((first, second)) = pair(names.len(), same_field)
        {
            let (first, second) = (shorten(&names[first]), shorten(&names[second]));
            return Err(FileError::of_file(format!(
                "has two columns of one meaning, {first} and {second}: map the right one, such as target={first}"
            )));
        }
        Ok(roles)
    }
}

/// Refuses a file without a column of targets, and a choice of a domain among links without one.
pub(crate) fn require(roles: &[Role], names: &[String], options: &Options) -> Result<(), FileError> {
    let has = |field| roles.contains(&Role::Field(field));
    if !has(Field::Target) {
        let names = list(names);
        return Err(FileError::of_file(format!(
            "has no column of targets: map one, such as target=URL; its columns are {names}"
        )));
    }
    let has_domain = has(Field::Domain) || has(Field::ShortUrl) || has(Field::BackHalves);
    if options.domain.is_some() && !has_domain {
        return Err(FileError::of_file("has no column of domains, so no domain can be chosen: leave the domain out"));
    }
    Ok(())
}

/// Returns the first two numbers below `count` that are alike.
fn pair(count: usize, are_alike: impl Fn(usize, usize) -> bool) -> Option<(usize, usize)> {
    (0..count).find_map(|second| (0..second).find(|&first| are_alike(first, second)).map(|first| (first, second)))
}

//! Rows of a JSON file.

use std::collections::{HashMap, VecDeque};
use std::io::{Read, Seek};

use serde_json::{Map, Value};

use super::objects::Objects;
use crate::build::Builder;
use crate::cells::Cells;
use crate::error::{FileError, Place};
use crate::options::Options;
use crate::queue::Records;
use crate::recognise::{self, Recognised};
use crate::roles::{Role, Roles};
use crate::row::Row;
use crate::source::Source;

/// The most keys whose meaning is remembered.
const MAX_KEYS: usize = 1000;

/// A JSON file that is being read.
#[derive(Debug)]
pub(crate) struct JsonSource<R> {
    objects: Objects<R>,
    roles: Roles,
    known: HashMap<String, Role>,
    builder: Builder,
    /// The number of objects that were read.
    row: u64,
}

impl<R: Read + Seek> JsonSource<R> {
    /// Recognises a file by the keys of its first object.
    pub(crate) fn open(
        mut input: R,
        from: Option<Source>,
        options: &Options,
    ) -> Result<(Recognised, JsonSource<R>), FileError> {
        let names = match Objects::new(&mut input)?.next_object()? {
            Some((place, object)) => parse(place, object)?.keys().cloned().collect(),
            None if from.is_some() => Vec::new(),
            None => return Err(FileError::of_file("has no links by which its service could be recognised")),
        };
        input.rewind()?;
        let shape = if names.is_empty() {
            recognise::first(from)
        } else {
            recognise::find(&names, from, &options.columns, false)?
        };
        let roles = Roles::new(shape, &options.columns);
        let builder = Builder::new(shape.source, options);
        let recognised = Recognised::new(shape, &names);
        let source = JsonSource { objects: Objects::new(input)?, roles, known: HashMap::new(), builder, row: 0 };
        Ok((recognised, source))
    }

    fn role(&mut self, name: String) -> Role {
        if let Some(role) = self.known.get(&name) {
            return role.clone();
        }
        let role = self.roles.role(&name);
        if self.known.len() < MAX_KEYS {
            self.known.insert(name, role.clone());
        }
        role
    }

    fn is_json(&mut self, name: &str) -> bool {
        matches!(self.role(name.to_owned()), Role::Field(field) if field.is_json())
    }

    /// Adds a value, and the values of an object whose keys have a meaning of their own.
    fn set(&mut self, cells: &mut Cells<'static>, name: String, value: Value) {
        let text = match value {
            Value::Null => return,
            Value::Array(_) | Value::Object(_) if self.is_json(&name) => json_text(&value),
            Value::Bool(is_on) => is_on.to_string(),
            Value::Number(number) => number.to_string(),
            Value::String(text) => text,
            Value::Array(items) => {
                let items = items.into_iter().filter_map(item).collect();
                cells.set_list(&self.role(name), items);
                return;
            }
            Value::Object(object) if self.roles.is_nested(&name) => {
                for (key, value) in object.into_iter().filter(|(_, value)| !value.is_object()) {
                    self.set(cells, format!("{name}.{key}"), value);
                }
                return;
            }
            Value::Object(object) => {
                cells.set_list(&self.role(name), object.into_iter().map(|(key, _)| key).collect());
                return;
            }
        };
        cells.set_text(&self.role(name.clone()), &name, text);
    }
}

impl<R: Read + Seek> Records for JsonSource<R> {
    fn read_record(&mut self, rows: &mut VecDeque<Row>) -> Result<bool, FileError> {
        let Some((place, object)) = self.objects.next_object()? else { return Ok(false) };
        let object = parse(place, object)?;
        self.row += 1;
        let mut cells = Cells::new(self.row, self.builder.is_verbatim());
        for (name, value) in object {
            self.set(&mut cells, name, value);
        }
        self.builder.build(&cells, rows);
        Ok(true)
    }
}

/// Reads an object. A fault of its syntax ends the file, since later brackets may not be what they seem.
fn parse(place: Place, object: &[u8]) -> Result<Map<String, Value>, FileError> {
    serde_json::from_slice(object).map_err(|error| {
        let message = error.to_string();
        let reason = message.split(" at line ").next().unwrap_or(&message);
        FileError::at(place, format!("the object that begins here is no JSON in UTF-8: {reason}"))
    })
}

/// Returns a list or an object as JSON; an empty one has no text.
fn json_text(value: &Value) -> String {
    let is_empty = value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty);
    if is_empty { String::new() } else { value.to_string() }
}

/// Returns the text of an item of a list: of a tag, its name.
fn item(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Object(object) => match object.get("name") {
            Some(Value::String(name)) => Some(name.clone()),
            _ => Some(String::new()),
        },
        _ => None,
    }
}

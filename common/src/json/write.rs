//! Writing of JSON that may contain texts that were checked before.

use serde::Serialize;

/// A value that can be written as JSON.
pub trait WriteJson {
    fn write_json(&self, out: &mut Vec<u8>);
}

/// A writer of one JSON object, field by field.
#[derive(Debug)]
pub struct ObjectWriter<'a> {
    out: &'a mut Vec<u8>,
    separator: u8,
}

impl<'a> ObjectWriter<'a> {
    pub fn begin(out: &'a mut Vec<u8>) -> ObjectWriter<'a> {
        ObjectWriter { out, separator: b'{' }
    }

    #[must_use]
    pub fn field(mut self, name: &'static str, value: &impl Serialize) -> ObjectWriter<'a> {
        self.name(name);
        write_plain(value, self.out);
        self
    }

    /// Writes a field whose value is a JSON text.
    #[must_use]
    pub fn json(mut self, name: &'static str, value: &str) -> ObjectWriter<'a> {
        self.name(name);
        self.out.extend_from_slice(value.as_bytes());
        self
    }

    pub fn end(self) {
        if self.separator == b'{' {
            self.out.push(b'{');
        }
        self.out.push(b'}');
    }

    fn name(&mut self, name: &'static str) {
        self.out.push(self.separator);
        self.separator = b',';
        write_plain(name, self.out);
        self.out.push(b':');
    }
}

/// Appends a value as JSON.
///
/// # Panics
/// If the `Serialize` implementation fails, or a map has keys that are not strings.
pub(crate) fn write_plain(value: &(impl Serialize + ?Sized), out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("the value can be serialised");
}

/// Appends values as a JSON array.
pub fn write_array<T: WriteJson>(values: &[T], out: &mut Vec<u8>) {
    out.push(b'[');
    for (n, value) in values.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        value.write_json(out);
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Pair(u8);

    impl WriteJson for Pair {
        fn write_json(&self, out: &mut Vec<u8>) {
            ObjectWriter::begin(out).field("a\"", &self.0).json("b", "1.10").end();
        }
    }

    #[test]
    fn array_of_objects_is_written_without_blanks() {
        let written = |values: &[Pair]| {
            let mut out = Vec::new();
            write_array(values, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written(&[]), "[]");
        assert_eq!(written(&[Pair(1), Pair(2)]), r#"[{"a\"":1,"b":1.10},{"a\"":2,"b":1.10}]"#);
        let mut out = Vec::new();
        ObjectWriter::begin(&mut out).end();
        assert_eq!(out, b"{}");
    }
}

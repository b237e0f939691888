//! Values that write themselves as JSON, parts of which may be texts that were checked before.

use serde::Serialize;

/// A value that writes itself as JSON.
pub trait WriteJson {
    fn write_json(&self, out: &mut Vec<u8>);
}

/// A JSON object that is being written, field by field.
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

    /// Writes a field whose value is JSON already.
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

/// Writes what `serde` knows how to write.
///
/// # Panics
/// If the value's own code fails to describe it, or it has a map whose keys are no strings.
pub(crate) fn write_plain(value: &(impl Serialize + ?Sized), out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("a row serialises");
}

/// Writes values as an array.
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
    fn arrays_of_objects_are_written_without_blanks() {
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

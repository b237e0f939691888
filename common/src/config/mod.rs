//! Reading configuration: plain data parsed from a map of variables, every bad value reported at once.
//!
//! Only `process::run` touches the environment; everything else, tests included, passes a map.

mod environment;
mod settings;

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
pub use environment::Environment;

/// Bytes that are read of a file with a secret: a device has no end.
const LONGEST_SECRET: u64 = 64 * 1024;

/// The variables to read from.
pub type Variables = HashMap<String, String>;

/// A type that a variable can hold.
pub trait Setting: Sized {
    /// Completes the sentence "expected ...".
    const EXPECTED: &'static str;

    /// Whether the text may hold a password: then a problem does not repeat it.
    const SECRET: bool = false;

    fn parse(text: &str) -> Option<Self>;

    /// Returns the reason why a text cannot be used, where more is known than that it is not as expected.
    fn explain(_text: &str) -> Option<String> {
        None
    }
}

/// One variable that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub variable: &'static str,
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.variable, self.reason)
    }
}

/// Everything that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct InvalidConfig(pub Vec<Problem>);

/// Reads settings one after another and remembers what was wrong with them.
#[derive(Debug)]
pub struct Reader<'a> {
    variables: &'a Variables,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub fn new(variables: &'a Variables) -> Reader<'a> {
        Reader { variables, problems: Vec::new() }
    }

    /// The value of `variable`, or `default` if it is unset, empty, or wrong (which [`Reader::finish`] then tells).
    pub fn get<T: Setting>(&mut self, variable: &'static str, default: T) -> T {
        self.find(variable).unwrap_or(default)
    }

    /// The value of `variable` if it is set to one.
    pub fn find<T: Setting>(&mut self, variable: &'static str) -> Option<T> {
        // Compose files and shells pass an empty string where somebody meant "not set".
        let text = self.variables.get(variable).map(|text| text.trim()).filter(|text| !text.is_empty())?;
        self.parse(variable, text)
    }

    /// Like [`Reader::find`], for a value that may be in a file instead, which `file_variable` names.
    ///
    /// Container runtimes hand out passwords in files. Newlines at the end of the file do not count.
    pub fn find_secret<T: Setting>(&mut self, variable: &'static str, file_variable: &'static str) -> Option<T> {
        let Some(path) = self.find::<PathBuf>(file_variable) else { return self.find(variable) };
        if self.find::<String>(variable).is_some() {
            self.reject(file_variable, format!("cannot be set together with {variable}; keep one of them"));
            return None;
        }
        let mut text = String::new();
        let read = File::open(&path).and_then(|file| file.take(LONGEST_SECRET).read_to_string(&mut text));
        match read.map(|_| text.trim_end_matches(['\n', '\r'])) {
            Ok("") => {
                self.reject(file_variable, format!("{} is empty", path.display()));
                None
            }
            Ok(text) => self.parse(file_variable, text),
            Err(error) => {
                self.reject(file_variable, format!("{} cannot be read: {error}", path.display()));
                None
            }
        }
    }

    fn parse<T: Setting>(&mut self, variable: &'static str, text: &str) -> Option<T> {
        let value = T::parse(text);
        if value.is_none() {
            let got = if T::SECRET { String::new() } else { format!(", got {text:?}") };
            let why = T::explain(text).map(|why| format!(": {why}")).unwrap_or_default();
            self.reject(variable, format!("expected {}{got}{why}", T::EXPECTED));
        }
        value
    }

    /// Like [`Reader::get`], for values that must lie between two others.
    pub fn get_within<T: Setting + PartialOrd + fmt::Display>(
        &mut self,
        variable: &'static str,
        default: T,
        range: std::ops::RangeInclusive<T>,
    ) -> T {
        self.find_within(variable, range).unwrap_or(default)
    }

    /// Like [`Reader::find`], for values that must lie between two others.
    pub fn find_within<T: Setting + PartialOrd + fmt::Display>(
        &mut self,
        variable: &'static str,
        range: std::ops::RangeInclusive<T>,
    ) -> Option<T> {
        let value = self.find(variable)?;
        if !range.contains(&value) {
            self.reject(variable, format!("expected {} to {}, got {value}", range.start(), range.end()));
            return None;
        }
        Some(value)
    }

    /// Like [`Reader::find`], for what nothing works without; `value` is what was read of it.
    pub fn demand<T>(&mut self, variable: &'static str, value: Option<T>) -> Option<T> {
        // A file that should have held it may be what is wrong.
        let is_reported = self.problems.iter().any(|problem| problem.variable.starts_with(variable));
        if value.is_none() && !is_reported {
            self.reject(
                variable,
                "must be set, in the environment or in a file .env in the working directory".to_owned(),
            );
        }
        value
    }

    /// What both planes of one process read is told once.
    pub fn reject(&mut self, variable: &'static str, reason: String) {
        let problem = Problem { variable, reason };
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// `config`, unless anything was wrong.
    pub fn finish<T>(self, config: T) -> Result<T, InvalidConfig> {
        if self.problems.is_empty() { Ok(config) } else { Err(InvalidConfig(self.problems)) }
    }

    /// `config`, unless anything was wrong; it may be `None` only if something was.
    pub fn finish_some<T>(self, config: Option<T>) -> Result<T, InvalidConfig> {
        match config {
            Some(config) if self.problems.is_empty() => Ok(config),
            _ => Err(InvalidConfig(self.problems)),
        }
    }
}

/// Implements [`Setting`] for types that read themselves from a text.
macro_rules! setting_from_str {
    ($($setting:ty: $expected:literal;)*) => {$(
        impl Setting for $setting {
            const EXPECTED: &'static str = $expected;

            fn parse(text: &str) -> Option<$setting> {
                text.parse().ok()
            }
        }
    )*};
}

setting_from_str! {
    u16: "a whole number, 0 to 65535";
    u32: "a whole number";
    usize: "a whole number";
    bool: "true or false";
    String: "a text";
    PathBuf: "a path";
    SocketAddr: "an address and a port such as 127.0.0.1:8080";
    ByteSize: "a size such as 64KiB";
}

impl Setting for Duration {
    const EXPECTED: &'static str = "a duration such as 5s or 100ms, at most a year";

    fn parse(text: &str) -> Option<Duration> {
        /// Nobody means more, and a clock overflows at much more.
        const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);
        let duration = if text == "0" { Duration::ZERO } else { humantime::parse_duration(text).ok()? };
        (duration <= LONGEST).then_some(duration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn every_bad_value_is_reported_at_once() {
        let variables = variables(&[("APP_PORT", "eighty"), ("WAIT", "5"), ("BODY", "64KiB"), ("CODES", "99")]);
        let mut reader = Reader::new(&variables);
        let port = reader.get("APP_PORT", 8000u16);
        let _ = reader.get("WAIT", Duration::ZERO);
        assert_eq!(reader.get("BODY", ByteSize::b(1)), ByteSize::kib(64));
        let _ = reader.get_within("CODES", 6usize, 4..=64);
        let error = reader.finish(port).unwrap_err();
        assert_eq!(
            error.to_string(),
            "APP_PORT: expected a whole number, 0 to 65535, got \"eighty\"\n\
             WAIT: expected a duration such as 5s or 100ms, at most a year, got \"5\"\n\
             CODES: expected 4 to 64, got 99"
        );
    }

    #[test]
    fn unset_and_empty_mean_the_default() {
        let variables = variables(&[("EMPTY", " ")]);
        let mut reader = Reader::new(&variables);
        let ports = (reader.get("EMPTY", 1u16), reader.get("UNSET", 2u16));
        assert_eq!(reader.finish(ports), Ok((1, 2)));
    }

    #[test]
    fn secret_is_read_from_its_variable_or_from_a_file_without_its_last_newline() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, content).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (good, empty) = (write("good", " hunter2 \r\n"), write("empty", "\n"));
        let read = |pairs: &[(&str, &str)]| {
            let variables = variables(pairs);
            let mut reader = Reader::new(&variables);
            let secret: Option<String> = reader.find_secret("PASSWORD", "PASSWORD_FILE");
            let secret = reader.demand("PASSWORD", secret);
            reader.finish_some(secret).map_err(|error| error.to_string())
        };
        assert_eq!(read(&[("PASSWORD", "one")]), Ok("one".to_owned()));
        assert_eq!(read(&[("PASSWORD", "one"), ("PASSWORD_FILE", "")]), Ok("one".to_owned()));
        assert_eq!(read(&[("PASSWORD", ""), ("PASSWORD_FILE", &good)]), Ok(" hunter2 ".to_owned()));
        let check = |pairs: &[(&str, &str)], expected: &str| {
            let problems = read(pairs).unwrap_err();
            assert!(problems.lines().count() == 1 && problems.starts_with(expected), "{problems}");
        };
        check(&[], "PASSWORD: must be set");
        check(&[("PASSWORD", "one"), ("PASSWORD_FILE", &good)], "PASSWORD_FILE: cannot be set together with PASSWORD");
        check(&[("PASSWORD_FILE", &empty)], &format!("PASSWORD_FILE: {empty} is empty"));
        check(&[("PASSWORD_FILE", "/nowhere")], "PASSWORD_FILE: /nowhere cannot be read: No such file");
    }
}

//! Settings: reading of a map of variables into plain data. All invalid values are reported at once.
//!
//! Only `process::run` reads the environment. Other code and tests pass a map.

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

/// The number of bytes that are read of a file with a secret. A device may have no end.
const LONGEST_SECRET: u64 = 64 * 1024;

/// Variables by name.
pub type Variables = HashMap<String, String>;

/// A type that can be parsed from a variable.
pub trait Setting: Sized {
    /// Completes the sentence "expected ...".
    const EXPECTED: &'static str;

    /// Whether the text may contain a password. If so, a problem does not repeat it.
    const SECRET: bool = false;

    fn parse(text: &str) -> Option<Self>;

    /// Returns a more specific reason why a text is invalid, if there is one.
    fn explain(_text: &str) -> Option<String> {
        None
    }
}

/// A variable with an invalid value, and the reason.
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

/// All problems of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct InvalidConfig(pub Vec<Problem>);

/// A reader of settings that collects their problems.
#[derive(Debug)]
pub struct Reader<'a> {
    variables: &'a Variables,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub fn new(variables: &'a Variables) -> Reader<'a> {
        Reader { variables, problems: Vec::new() }
    }

    /// Returns the value of `variable`; `default` if it is unset, empty or invalid. [`Reader::finish`] reports the latter.
    pub fn get<T: Setting>(&mut self, variable: &'static str, default: T) -> T {
        self.find(variable).unwrap_or(default)
    }

    /// Returns the value of `variable`; `None` if it is unset, empty or invalid.
    pub fn find<T: Setting>(&mut self, variable: &'static str) -> Option<T> {
        // Compose files and shells pass an empty string for an unset variable.
        let text = self.variables.get(variable).map(|text| text.trim()).filter(|text| !text.is_empty())?;
        self.parse(variable, text)
    }

    /// Returns the value of `variable`, or of the file that `file_variable` names.
    ///
    /// Container runtimes pass passwords in files. Newlines at the end of the file are ignored.
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

    /// Returns the value of `variable` if it is in `range`; `default` if it is unset, empty or invalid.
    pub fn get_within<T: Setting + PartialOrd + fmt::Display>(
        &mut self,
        variable: &'static str,
        default: T,
        range: std::ops::RangeInclusive<T>,
    ) -> T {
        self.find_within(variable, range).unwrap_or(default)
    }

    /// Returns the value of `variable` if it is in `range`; `None` if it is unset, empty or invalid.
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

    /// Reports a problem if `value`, which was read from `variable`, is absent. Returns `value`.
    pub fn demand<T>(&mut self, variable: &'static str, value: Option<T>) -> Option<T> {
        // The problem may already be reported for the file of the variable.
        let is_reported = self.problems.iter().any(|problem| problem.variable.starts_with(variable));
        if value.is_none() && !is_reported {
            self.reject(
                variable,
                "must be set, in the environment or in a file .env in the working directory".to_owned(),
            );
        }
        value
    }

    /// Reports a problem. A problem that both planes of one process find is reported once.
    pub fn reject(&mut self, variable: &'static str, reason: String) {
        let problem = Problem { variable, reason };
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Returns `config`, or all problems.
    pub fn finish<T>(self, config: T) -> Result<T, InvalidConfig> {
        if self.problems.is_empty() { Ok(config) } else { Err(InvalidConfig(self.problems)) }
    }

    /// Returns `config`, or all problems. A `config` of `None` implies a problem.
    pub fn finish_some<T>(self, config: Option<T>) -> Result<T, InvalidConfig> {
        match config {
            Some(config) if self.problems.is_empty() => Ok(config),
            _ => Err(InvalidConfig(self.problems)),
        }
    }
}

/// Implements [`Setting`] for types that implement `FromStr`.
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
        /// The longest allowed duration. A much longer one would overflow the clock.
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
    fn all_invalid_values_are_reported_at_once() {
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
    fn unset_or_empty_variable_has_the_default() {
        let variables = variables(&[("EMPTY", " ")]);
        let mut reader = Reader::new(&variables);
        let ports = (reader.get("EMPTY", 1u16), reader.get("UNSET", 2u16));
        assert_eq!(reader.finish(ports), Ok((1, 2)));
    }

    #[test]
    fn secret_is_read_from_its_variable_or_from_a_file_without_the_last_newline() {
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

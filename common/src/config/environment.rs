//! The variables of this process: its environment, and the file `.env` in its working directory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;

use super::{InvalidConfig, Problem, Variables, settings};

/// The name of the file in the working directory.
const FILE: &str = ".env";

/// The unparsed settings of a process.
#[derive(Debug, Default)]
pub struct Environment {
    pub variables: Variables,
    /// Warnings for the operator about variables that look like misspelt settings.
    pub warnings: Vec<String>,
    /// The names of settings that come from the file.
    from_file: BTreeSet<String>,
}

impl Environment {
    /// Reads the environment of this process, and `.env` in the working directory if it exists.
    ///
    /// A variable of the environment takes precedence over a line of the file, even if it is empty.
    ///
    /// # Errors
    /// When the file cannot be read or has a malformed line.
    pub fn read() -> Result<Environment, InvalidConfig> {
        let own = std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .collect();
        let file = match fs::read(FILE) {
            Ok(bytes) => parse(&bytes).map_err(invalid)?,
            // A directory of this name is a virtual environment of Python.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory) => BTreeMap::new(),
            Err(error) => return Err(invalid(format!("cannot be read: {error}"))),
        };
        Ok(Environment::of(own, file))
    }

    fn of(own: Variables, file: BTreeMap<String, String>) -> Environment {
        let mut found = Environment { variables: own, ..Environment::default() };
        for (name, value) in file {
            // Only settings are taken from the file, since other programs may use it as well.
            if settings::is_known(&name) && !found.variables.contains_key(&name) {
                found.from_file.insert(name.clone());
                found.variables.insert(name, value);
            } else {
                found.warnings.extend(settings::warning(&name, &value, &found.variables));
            }
        }
        let mut names: Vec<String> = found.variables.keys().cloned().collect();
        names.sort_unstable();
        for name in names {
            let value = &found.variables[&name];
            if settings::is_port_of_kubernetes(&name, value) {
                found.warnings.push(format!(
                    "{name}={value} names a Service of Kubernetes, not a port, and is ignored; set enableServiceLinks: \
                     false to remove it"
                ));
                found.variables.remove(&name);
            } else {
                found.warnings.extend(settings::warning(&name, value, &found.variables));
            }
        }
        found
    }

    /// Adds `(in .env)` to each problem with a setting of the file.
    pub fn locate(&self, mut invalid: InvalidConfig) -> InvalidConfig {
        for problem in &mut invalid.0 {
            if self.from_file.contains(problem.variable) {
                problem.reason += " (in .env)";
            }
        }
        invalid
    }
}

fn invalid(reason: String) -> InvalidConfig {
    let directory = std::env::current_dir().unwrap_or_default();
    InvalidConfig(vec![Problem { variable: FILE, reason: format!("{reason} ({})", directory.join(FILE).display()) }])
}

/// The quoting rules, for error messages.
const QUOTING: &str = "put a value with a space, a quote, a backslash or a # in single quotes, or one with an apostrophe in \
                       double quotes, with \\\" for a double quote and \\\\ for a backslash";

/// Returns whether the parser preserves the value of a line, apart from quotes around the whole value.
///
/// In double quotes, `\"` and `\\` are the only escapes. Without quotes, the parser would remove each quote and each
/// backslash within the value, and replace `\n` by a line feed. A `#` directly after the `=` is ambiguous: it may begin a
/// value or a comment.
fn is_unambiguous(line: &str) -> bool {
    let untrimmed = line.split_once('=').map_or("", |(_, value)| value);
    let value = untrimmed.trim();
    let rest = if let Some(quoted) = value.strip_prefix('\'') {
        quoted.split_once('\'').map(|(_, rest)| rest)
    } else if let Some(quoted) = value.strip_prefix('"') {
        after_double_quotes(quoted)
    } else {
        let word = value.split([' ', '\t']).next().unwrap_or_default();
        return if word.starts_with('#') {
            untrimmed.starts_with(char::is_whitespace)
        } else {
            !word.contains(['\\', '\'', '"'])
        };
    };
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
}

/// Returns the text after the closing double quote; `None` if an escape other than `\"` and `\\` is before it.
fn after_double_quotes(mut text: &str) -> Option<&str> {
    loop {
        let (at, found) = text.char_indices().find(|(_, c)| matches!(c, '"' | '\\'))?;
        let rest = &text[at + 1..];
        if found == '"' {
            return Some(rest);
        }
        text = rest.strip_prefix(['"', '\\'])?;
    }
}

/// Parses the lines `NAME=value` of a file. A `$` has no special meaning.
fn parse(bytes: &[u8]) -> Result<BTreeMap<String, String>, String> {
    /// The replacement of `$` while a line is parsed, since the parser would insert a variable.
    const DOLLAR: &str = "\u{f0024}";
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        format!("line {line} is not UTF-8")
    })?;
    let mut found = BTreeMap::new();
    let mut lines = BTreeMap::new();
    for (number, line) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        let escaped = line.replace('$', DOLLAR) + "\n";
        for pair in dotenvy::from_read_iter(escaped.as_bytes()) {
            let (name, value) = pair.map_err(|_| format!("line {number} is not of the form NAME=value; {QUOTING}"))?;
            if settings::is_known(&name) && !is_unambiguous(line) {
                return Err(format!(
                    "line {number}: {name} has a quote, a backslash or a # that would be removed or replaced; {QUOTING}"
                ));
            }
            if let Some(first) = lines.insert(name.clone(), number) {
                return Err(format!("line {number} sets {name} again, after line {first}; keep one of them"));
            }
            found.insert(name, value.replace(DOLLAR, "$"));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs<T: FromIterator<(String, String)>>(pairs: &[(&str, &str)]) -> T {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn env_file_value_is_preserved() {
        let check = |line: &str, expected: &str| {
            let parsed = parse(line.as_bytes()).unwrap_or_else(|reason| panic!("{line:?}: {reason}"));
            assert_eq!(parsed, pairs(&[("DATABASE_PASSWORD", expected)]), "{line:?}");
        };
        check("DATABASE_PASSWORD=plain", "plain");
        check("DATABASE_PASSWORD=plain\r\n", "plain");
        check("\u{feff}export DATABASE_PASSWORD = plain # a remark", "plain");
        check("DATABASE_PASSWORD=trailing   ", "trailing");
        check("DATABASE_PASSWORD=", "");
        check("DATABASE_PASSWORD=a#b", "a#b");
        check("DATABASE_PASSWORD=pa$HOME${PATH}", "pa$HOME${PATH}");
        check(r#"DATABASE_PASSWORD="a $ b \" c""#, "a $ b \" c");
        check(r"DATABASE_PASSWORD='a\$b\\'", r"a\$b\\");
        check(r#"DATABASE_PASSWORD="it's a \\ and a \" " # it's "a" \ remark"#, r#"it's a \ and a " "#);
        check(r#"DATABASE_PASSWORD=a # it's "a" \ remark \"#, "a");
        check(r#"DATABASE_PASSWORD= # it's "a" \ remark"#, "");
        let with_other = parse("OTHER={\"a\":'b'}\nDATABASE_PASSWORD=x\n".as_bytes());
        assert_eq!(with_other.unwrap()["DATABASE_PASSWORD"], "x", "a line of another program may have any quotes");
        check(r"DATABASE_PASSWORD='a b $c \d #e'", r"a b $c \d #e");
        check("# a remark, it's one\n\nDATABASE_PASSWORD=x\n", "x");
    }

    #[test]
    fn malformed_env_file_is_refused_with_its_line_and_without_its_text() {
        let check = |text: &[u8], expected: &str| {
            let reason = parse(text).unwrap_err();
            assert!(reason.starts_with(expected) && !reason.contains("hunter2"), "{reason}");
        };
        check(b"APP_PORT=1\nDATABASE_PASSWORD=a hunter2\n", "line 2 is not of the form");
        check(b"# x\n\nDATABASE_PASSWORD='hunter2\nAPP_PORT=1\n", "line 3 is not of the form");
        check(b"hunter2\n", "line 1 is not of the form");
        for changed in [
            "#hunter2",
            "# hunter2",
            r"hunter2\",
            r"hunter2\\b",
            r"hunter2\nb",
            r"hunter2\ b",
            r#"hunter2"b"c"#,
            "hunter2'b'c",
            "'hunter2'b",
            "\"hunter2\"b",
            "'hunter2''b'",
            "'hunter2'#",
            "\"hunter2\"'b'",
            r#""hunter2\nb""#,
            r#""hunter2\'b""#,
        ] {
            check(
                format!("# \\\nDATABASE_PASSWORD={changed}\n").as_bytes(),
                "line 2: DATABASE_PASSWORD has a quote, a",
            );
        }
        check(b"# \\\nDATABASE_PASSWORD=\"hunter2\\\n", "line 2 is not of the form");
        check(b"DATABASE_PASSWORD=\"\\$hunter2\"\n", "line 1 is not of the form");
        check(b"1=hunter2\n", "line 1 is not of the form");
        check(b"APP_PORT=1\nLOG_LEVEL=\xff hunter2\n", "line 2 is not UTF-8");
        check(b"APP_PORT=1\nLOG_LEVEL=info\nAPP_PORT=2\n", "line 3 sets APP_PORT again, after line 1");
    }

    proptest::proptest! {
        #[test]
        fn env_file_value_is_exact_in_double_quotes_and_exact_or_refused_without_quotes(value in "[ab#'\"\\\\$ n]{0,12}") {
            let parsed = |written: &str| parse(format!("DATABASE_PASSWORD={written}\n").as_bytes());
            let quoted = format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
            assert_eq!(parsed(&quoted), Ok(pairs(&[("DATABASE_PASSWORD", &value)])));
            let bare = value.replace(' ', "");
            if let Ok(taken) = parsed(&bare) && !bare.starts_with(['\'', '"']) {
                assert_eq!(taken, pairs(&[("DATABASE_PASSWORD", &bare)]));
            }
        }

        #[test]
        fn env_file_of_any_text_yields_settings_or_an_error_with_its_line(text in "[A-C=#'\"\\\\$ \n\r\t{}é\u{feff}]{0,60}") {
            match parse(text.as_bytes()) {
                Ok(found) => assert!(found.len() <= text.lines().count()),
                Err(reason) => assert!(reason.starts_with("line "), "{reason}"),
            }
        }
    }

    #[test]
    fn environment_takes_precedence_over_the_settings_of_the_file() {
        let own: Variables = pairs(&[("APP_PORT", "1"), ("LOG_LEVEL", "")]);
        let file = pairs(&[("APP_PORT", "2"), ("LOG_LEVEL", "debug"), ("BODY_LIMIT", "lots"), ("PATH", "/nowhere")]);
        let found = Environment::of(own, file);
        assert_eq!(found.variables, pairs(&[("APP_PORT", "1"), ("LOG_LEVEL", ""), ("BODY_LIMIT", "lots")]));
        assert_eq!(found.warnings, [""; 0]);
        let problem = |variable| Problem { variable, reason: "wrong".to_owned() };
        let located = found.locate(InvalidConfig(vec![problem("APP_PORT"), problem("BODY_LIMIT")]));
        assert_eq!(located.to_string(), "APP_PORT: wrong\nBODY_LIMIT: wrong (in .env)");
    }

    #[test]
    fn kubernetes_service_link_is_ignored_as_a_port() {
        let found =
            Environment::of(pairs(&[("REDIS_PORT", "tcp://10.0.0.1:6379"), ("APP_PORT", "8000")]), BTreeMap::new());
        assert_eq!(found.variables, pairs(&[("APP_PORT", "8000")]));
        assert_eq!(found.warnings.len(), 1);
        assert!(
            found.warnings[0].starts_with("REDIS_PORT=tcp://10.0.0.1:6379 names a Service"),
            "{:?}",
            found.warnings
        );
    }
}

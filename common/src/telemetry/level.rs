//! Log levels: one for the whole process, and others for parts of it.

use crate::config::Setting;

/// Level names of the setting, each with the name that the filter has for it. The log prints the first four in capitals.
const LEVELS: [(&str, &str); 7] = [
    ("error", "error"),
    ("warning", "warn"),
    ("info", "info"),
    ("debug", "debug"),
    ("warn", "warn"),
    ("trace", "trace"),
    ("off", "off"),
];

/// The level if the setting names none for the whole process.
const DEFAULT: &str = "info";

/// The parts of Tern that have log entries. `app` logs the requests.
const PARTS: [&str; 6] = ["app", "tern", "tern_admin", "tern_common", "tern_redirector", "tern_serving"];

/// The value of `LOG_LEVEL` as directives of the filter: a level, and then the levels of parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLevel(String);

impl LogLevel {
    /// Returns the directives of the filter.
    pub(super) fn directives(&self) -> String {
        let general = self.0.split(',').next().unwrap_or(DEFAULT);
        // At level info, may logs two lines for each connection.
        let quiet = if matches!(general, "off" | "error") { general } else { "warn" };
        format!("may={quiet},generator={quiet},{}", self.0)
    }
}

impl Default for LogLevel {
    fn default() -> LogLevel {
        LogLevel(DEFAULT.to_owned())
    }
}

impl Setting for LogLevel {
    const EXPECTED: &'static str = "error, warning, info, debug, trace or off, or such a level and those of parts, as in info,tern_redirector=debug";

    fn parse(text: &str) -> Option<LogLevel> {
        read(text).ok()
    }

    fn explain(text: &str) -> Option<String> {
        read(text).err()
    }
}

fn read(text: &str) -> Result<LogLevel, String> {
    let mut general = None;
    let mut parts = String::new();
    for directive in text.split(',').map(str::trim) {
        match directive.split_once('=') {
            Some((part, level)) => parts += &format!(",{}={}", part_of(part.trim())?, level_of(level.trim())?),
            None => {
                let level = level_of(directive)?;
                if general.replace(level).is_some() {
                    return Err(format!("{directive:?} is a second level for everything"));
                }
            }
        }
    }
    Ok(LogLevel(format!("{}{parts}", general.unwrap_or(DEFAULT))))
}

fn level_of(word: &str) -> Result<&'static str, String> {
    let level = LEVELS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, level)| *level);
    level.ok_or_else(|| format!("{word:?} is no level"))
}

/// Checks the path of a module, which begins with the name of a crate.
fn part_of(part: &str) -> Result<&str, String> {
    let is_word =
        |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !part.split("::").all(is_word) {
        return Err(format!("{part:?} is not the name of a part, such as tern_redirector"));
    }
    let name = part.split("::").next().unwrap_or(part);
    // The modules of foreign crates are not known here.
    if name.starts_with("tern") && !PARTS.contains(&name) {
        return Err(format!("{name:?} is no part of Tern; they are {}", PARTS.join(", ")));
    }
    Ok(part)
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::EnvFilter;

    use super::*;

    #[test]
    fn level_in_any_case_is_accepted() {
        let check = |text: &str, expected: &str| {
            let level = read(text).unwrap_or_else(|reason| panic!("{text}: {reason}"));
            assert_eq!(level.0, expected, "{text}");
            EnvFilter::builder().parse(level.directives()).unwrap();
        };
        check("WARNING", "warn");
        check("warning", "warn");
        check("Warn", "warn");
        check("ERROR", "error");
        check("INFO", "info");
        check("DEBUG", "debug");
        check("trace", "trace");
        check("OFF", "off");
        check("info,tern_redirector=debug", "info,tern_redirector=debug");
        check(" tern_redirector::replica = DEBUG , WARNING ", "warn,tern_redirector::replica=debug");
        check("app=off", "info,app=off");
        check("info,tower=trace", "info,tower=trace");
    }

    #[test]
    fn invalid_level_is_refused_with_the_reason() {
        let check = |text: &str, expected: &str| assert_eq!(read(text).unwrap_err(), expected, "{text}");
        check("verbose", "\"verbose\" is no level");
        check("fatal", "\"fatal\" is no level");
        check("9", "\"9\" is no level");
        check("3", "\"3\" is no level");
        check("lou=d=er", "\"d=er\" is no level");
        check("info,tern_redirector=debgu", "\"debgu\" is no level");
        check("info,tern_redirector:debug", "\"tern_redirector:debug\" is no level");
        check("info,tern redirector=debug", "\"tern redirector\" is not the name of a part, such as tern_redirector");
        check("info,=debug", "\"\" is not the name of a part, such as tern_redirector");
        check("info,", "\"\" is no level");
        check("info,debug", "\"debug\" is a second level for everything");
        let parts = "app, tern, tern_admin, tern_common, tern_redirector, tern_serving";
        check("tern_redirectr=debug", &format!("\"tern_redirectr\" is no part of Tern; they are {parts}"));
        check("tern-redirector=debug", "\"tern-redirector\" is not the name of a part, such as tern_redirector");
    }

    #[test]
    fn off_and_error_levels_apply_to_the_coroutine_runtime() {
        assert_eq!(read("off").unwrap().directives(), "may=off,generator=off,off");
        assert_eq!(read("error").unwrap().directives(), "may=error,generator=error,error");
        assert_eq!(read("debug").unwrap().directives(), "may=warn,generator=warn,debug");
    }
}

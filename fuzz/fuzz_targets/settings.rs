//! Settings: any variables yield a configuration or a problem for each invalid value.

#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use tern_admin::{AdminConfig, VisibleWait};
use tern_common::config::{InvalidConfig, Reader, Variables};
use tern_common::redis::RedisConfig;
use tern_common::store::PostgresConfig;
use tern_common::telemetry::LogConfig;
use tern_redirector::config::RedirectorConfig;

/// The names of the variables in `.env.example`.
static NAMES: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let names =
        include_str!("../../.env.example").lines().filter_map(|line| line.trim_start_matches("# ").split_once('='));
    // Variables of secrets name a file that is opened, which may be a pipe or a device.
    let opens = |name: &str| name.ends_with("_URL_FILE") || name.ends_with("_PASSWORD_FILE");
    let is_name = |name: &&str| !opens(name) && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    names.map(|(name, _)| name).filter(is_name).collect()
});

fn read(variables: &Variables) -> Result<(), InvalidConfig> {
    let mut reader = Reader::new(variables);
    let _ = PostgresConfig::read(&mut reader);
    let _ = RedisConfig::read(&mut reader);
    let _ = RedirectorConfig::read(&mut reader);
    let _ = LogConfig::read(&mut reader);
    let _ = AdminConfig::read(&mut reader, VisibleWait::exactly(Duration::ZERO));
    reader.finish(())
}

fuzz_target!(|bytes: &[u8]| {
    // A line is a byte that selects the variable, and the value.
    let lines = bytes.split(|&byte| byte == b'\n').filter_map(<[u8]>::split_first);
    let variable = |(name, value): (&u8, &[u8])| {
        let name = NAMES[usize::from(*name) % NAMES.len()];
        (name.to_owned(), String::from_utf8_lossy(value).into_owned())
    };
    let variables: Variables = lines.map(variable).collect();
    let result = read(&variables);
    assert_eq!(read(&variables), result);
    if let Err(InvalidConfig(problems)) = result {
        assert!(!problems.is_empty());
        for problem in problems {
            assert!(!problem.reason.is_empty(), "{problem}");
        }
    }
});

//! The names of all settings, and warnings about variables that are most likely misspelt settings.

use std::sync::LazyLock;

use super::Variables;

/// The list of settings, which is also documentation for operators.
const EXAMPLE: &str = include_str!("../../../.env.example");

/// The names of the settings of all programs.
static NAMES: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let lines = EXAMPLE.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect()
});

/// Prefixes of names that other software also has.
const SHARED: [&str; 4] = ["APP_", "DATABASE_", "LOG_", "REDIS_"];

/// Prefixes of names under which other software names the same services.
const SERVICES: [&str; 2] = ["DATABASE_", "REDIS_"];

/// The prefix of names that only Tern has.
const OWN: &str = "TERN_";

/// The length from which a name may have two typing errors.
const LONG: usize = 12;

pub(super) fn is_known(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Returns a warning about a variable that is most likely a misspelt setting.
///
/// Variables of other software must cause no warning, so the name must be one or two typing errors away from a setting.
pub(super) fn warning(name: &str, value: &str, variables: &Variables) -> Option<String> {
    if is_known(name) || is_link_of_kubernetes(name, value) {
        return None;
    }
    if let Some(meant) = nearest(&name.to_ascii_uppercase()) {
        // Other software may have DATABASE_URI beside Tern's DATABASE_URL.
        let is_service = SERVICES.iter().any(|service| meant.starts_with(service));
        let is_of_others = is_service && variables.get(meant).is_some_and(|value| !value.is_empty());
        return (!is_of_others).then(|| format!("unknown setting {name} is ignored; did you mean {meant}?"));
    }
    // Compose and Swarm use the names that end in _IMAGE.
    let is_ours = name.starts_with(OWN) && !name.ends_with("_IMAGE");
    is_ours.then(|| format!("unknown setting {name} is ignored; .env.example lists every setting"))
}

/// Returns whether the variable is a setting of Tern that Kubernetes set as the port of a Service.
pub(super) fn is_port_of_kubernetes(name: &str, value: &str) -> bool {
    is_known(name) && name.ends_with("_PORT") && is_service_url(value)
}

/// Returns the setting whose name is one or two typing errors away.
fn nearest(name: &str) -> Option<&'static str> {
    let distance = |known: &&'static str| strsim::osa_distance(name, known);
    let is_near = |known: &&&'static str| {
        let errors = if is_shared(known) || known.len() < LONG { 1 } else { 2 };
        // The first letter must match: READ_LIMIT is not a misspelt HEAD_LIMIT.
        name.bytes().next() == known.bytes().next() && distance(known) <= errors
    };
    NAMES.iter().filter(is_near).min_by_key(|known| distance(known)).copied()
}

fn is_shared(name: &str) -> bool {
    SHARED.iter().any(|shared| name.starts_with(shared))
}

/// Returns whether Kubernetes or Docker set the variable as the address of a service.
fn is_link_of_kubernetes(name: &str, value: &str) -> bool {
    name.contains("_SERVICE_HOST") || name.contains("_SERVICE_PORT") || name.contains("_PORT_") || is_service_url(value)
}

fn is_service_url(value: &str) -> bool {
    ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_setting_is_reported_with_the_nearest_name() {
        let check = |name: &str, expected: &str| {
            let warning = warning(name, "x", &Variables::new());
            let expected = format!("unknown setting {name} is ignored; did you mean {expected}?");
            assert_eq!(warning, Some(expected), "{name}");
        };
        check("APP_PROT", "APP_PORT");
        check("APPPORT", "APP_PORT");
        check("app_port", "APP_PORT");
        check("LOG_LEVL", "LOG_LEVEL");
        check("DATABASE_URI", "DATABASE_URL");
        check("REDIRECTOR_LISTN", "REDIRECTOR_LISTEN");
        check("CLICK_JORNAL_LIMTI", "CLICK_JOURNAL_LIMIT");
        check("TERN_DATADIR", "TERN_DATA_DIR");
        check("OPS_HOST", "OPS_HOSTS");
    }

    #[test]
    fn unknown_variable_with_the_prefix_of_tern_is_reported() {
        let warning = warning("TERN_PORT", "9000", &Variables::new());
        assert_eq!(warning.unwrap(), "unknown setting TERN_PORT is ignored; .env.example lists every setting");
    }

    #[test]
    fn variable_of_other_software_is_not_reported() {
        let used = [("DATABASE_URL", "postgres://h/n"), ("REDIS_URL", "redis://h")];
        let variables: Variables = used.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        for name in [
            "APP_ENV",
            "APP_HOST",
            "APP_NAME",
            "APP_KEY",
            "APP_URL",
            "APP_DEBUG",
            "DATABASE_URI",
            "DATABASE_SSL",
            "DATABASE_TYPE",
            "DATABASE_PATH",
            "DATABASE_USERNAME",
            "DATABASE_TEST_URL",
            "REDIS_URI",
            "REDIS_PASSWORD",
            "REDIS_DB",
            "REDIS_TLS",
            "LOG_DIR",
            "LOG_PATH",
            "LOGNAME",
            "HOSTNAME",
            "READ_LIMIT",
            "READ_TIMEOUT",
            "REQUEST_TIMEOUT",
            "ADMIN_EMAIL",
            "ADMIN_PASSWORD",
            "REDIRECTOR_DATABASE_PASSWORD",
            "TERN_ADMIN_IMAGE",
            "REDIS_SERVICE_HOST",
            "REDIS_SERVICE_PORT",
            "REDIS_SERVICE_PORT_REDIS",
            "REDIS_PORT_6379_TCP",
            "REDIS_PORT_6379_TCP_ADDR",
            "TERN_SERVICE_HOST",
            "TERN_SERVICE_PORT",
            "TERN_PORT_8000_TCP_PROTO",
        ] {
            assert_eq!(warning(name, "x", &variables), None, "{name}");
        }
        assert_eq!(warning("TERN_PORT", "tcp://10.0.0.1:8000", &variables), None);
    }

    #[test]
    fn every_setting_is_known() {
        assert!(NAMES.len() > 40, "{NAMES:?}");
        for name in NAMES.iter() {
            assert!(is_known(name));
            assert_eq!(warning(name, "x", &Variables::new()), None);
        }
    }
}

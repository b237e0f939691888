//! The settings of PostgreSQL: one URL, or separate variables for host, port, user, password and name.

use std::error::Error;
use std::path::PathBuf;

use super::PostgresConfig;
use crate::config::{Reader, Setting};

/// The default port. The defaults here are those of the original service.
const PORT: u16 = 5432;
const NAME: &str = "hackathon_db";
const USER: &str = "postgres";
const PASSWORD: &str = "postgres";

impl PostgresConfig {
    /// Reads the settings. `None` if neither `DATABASE_URL` nor `DATABASE_HOST` is set.
    ///
    /// `DATABASE_URL` has precedence over `DATABASE_HOST`, `DATABASE_PORT`, `DATABASE_USER`, `DATABASE_PASSWORD` and
    /// `DATABASE_NAME`.
    /// `DATABASE_CA_FILE` replaces the system's certificates for `sslmode=require`.
    /// `DATABASE_POOL` is the number of connections.
    /// `DATABASE_URL_FILE` and `DATABASE_PASSWORD_FILE` name files with the URL and the password.
    pub fn read(reader: &mut Reader<'_>) -> Option<PostgresConfig> {
        let url: Option<DatabaseUrl> = reader.find_secret("DATABASE_URL", "DATABASE_URL_FILE");
        let host: Option<String> = reader.find("DATABASE_HOST");
        let port = reader.get_within("DATABASE_PORT", PORT, 1..=u16::MAX);
        let user = reader.get("DATABASE_USER", USER.to_owned());
        let password = reader.find_secret("DATABASE_PASSWORD", "DATABASE_PASSWORD_FILE");
        let password = password.unwrap_or_else(|| PASSWORD.to_owned());
        let name = reader.get("DATABASE_NAME", NAME.to_owned());
        let root_certificates: Option<PathBuf> = reader.find("DATABASE_CA_FILE");
        let pool_size = reader.get_within("DATABASE_POOL", PostgresConfig::POOL_SIZE, 1..=1000);
        let words = |host: String| {
            let [host, user, password, name] = [host, user, password, name].map(|word| quoted(&word));
            format!("host={host} port={port} user={user} password={password} dbname={name}")
        };
        let url = url.map(|DatabaseUrl(url)| url).or_else(|| host.map(words))?;
        Some(PostgresConfig { root_certificates, pool_size, ..PostgresConfig::new(url) })
    }
}

/// Returns a value quoted for a connection string.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\\', r"\\").replace('\'', r"\'"))
}

struct DatabaseUrl(String);

impl Setting for DatabaseUrl {
    const EXPECTED: &'static str = "a URL such as postgres://user:password@host:5432/database";
    const SECRET: bool = true;

    fn parse(text: &str) -> Option<DatabaseUrl> {
        let text = translate_sslmode(text);
        text.parse::<tokio_postgres::Config>().is_ok().then_some(DatabaseUrl(text))
    }

    fn explain(text: &str) -> Option<String> {
        let error = translate_sslmode(text).parse::<tokio_postgres::Config>().err()?;
        let cause = error.source()?.to_string();
        let refuses = |option: &&str| cause.contains(&format!("`{option}`"));
        if refuses(&"sslmode") {
            return Some(
                "sslmode is disable (plain text), or require, verify-ca or verify-full (all verify the server)"
                    .to_owned(),
            );
        }
        if refuses(&"sslrootcert") {
            return Some("sslrootcert is not read; set DATABASE_CA_FILE to that file".to_owned());
        }
        let option = UNSUPPORTED.split(' ').find(refuses)?;
        Some(format!("the option {option} of libpq is not supported; leave it out"))
    }
}

/// Options of libpq that the driver does not support. Any other unknown word may be a part of a password.
const UNSUPPORTED: &str = "sslcert sslkey sslpassword sslcrl sslcompression sslsni requiressl requirepeer passfile \
    service gssencmode krbsrvname client_encoding fallback_application_name";

/// Replaces libpq's `sslmode` values `verify-ca` and `verify-full` by `require`.
///
/// Tern's `require` verifies the certificate and the name of the server, as `verify-full` does. `verify-ca` verifies less.
fn translate_sslmode(text: &str) -> String {
    const OPTION: &str = "sslmode";
    let replaced = || {
        let (before, after) = text.split_at(text.rfind(OPTION)? + OPTION.len());
        let value = after.trim_start().strip_prefix('=')?.trim_start();
        let value = value.strip_prefix('\'').unwrap_or(value);
        let rest = ["verify-full", "verify-ca"].iter().find_map(|mode| value.strip_prefix(mode))?;
        let is_whole = rest.is_empty() || rest.starts_with(['&', '\'', ' ', '\t']);
        is_whole.then(|| format!("{before}{}require{rest}", &after[..after.len() - value.len()]))
    };
    replaced().unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use tokio_postgres::config::Host;

    use super::*;
    use crate::config::Variables;

    fn read(pairs: &[(&str, &str)]) -> Result<Option<PostgresConfig>, String> {
        let variables: Variables = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let mut reader = Reader::new(&variables);
        let config = PostgresConfig::read(&mut reader);
        reader.finish(config).map_err(|error| error.to_string())
    }

    #[test]
    fn database_url_has_precedence_over_host_and_other_variables() {
        let check = |pairs: &[(&str, &str)], host: &str, name: &str, password: &str| {
            let config: tokio_postgres::Config = read(pairs).unwrap().unwrap().url.parse().unwrap();
            assert_eq!(config.get_hosts(), [Host::Tcp(host.to_owned())]);
            assert_eq!(config.get_dbname(), Some(name));
            assert_eq!(config.get_password(), Some(password.as_bytes()));
        };
        check(&[("DATABASE_URL", "postgres://u:p@db.example:1/n"), ("DATABASE_HOST", "h")], "db.example", "n", "p");
        check(&[("DATABASE_HOST", "h")], "h", "hackathon_db", "postgres");
        check(
            &[("DATABASE_HOST", "h"), ("DATABASE_PASSWORD", r"it's \ x"), ("DATABASE_NAME", "a b")],
            "h",
            "a b",
            r"it's \ x",
        );
        assert!(read(&[("DATABASE_PORT", "5432")]).unwrap().is_none());
    }

    #[test]
    fn bad_database_url_is_reported_without_its_password() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "postgres://u:secret@host:port/n\n").unwrap();
        let problem = read(&[("DATABASE_URL_FILE", file.path().to_str().unwrap())]).unwrap_err();
        assert!(problem.starts_with("DATABASE_URL_FILE: expected a URL") && !problem.contains("secret"), "{problem}");
        let problem = read(&[("DATABASE_URL", "postgres://u:secret@host:port/n")]).unwrap_err();
        assert!(problem.starts_with("DATABASE_URL: expected a URL") && !problem.contains("secret"), "{problem}");
    }

    #[test]
    fn password_file_may_contain_any_character() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "it's \\ x\n").unwrap();
        let path = file.path().to_str().unwrap();
        let config = read(&[("DATABASE_HOST", "h"), ("DATABASE_PASSWORD_FILE", path)]).unwrap().unwrap();
        let driver: tokio_postgres::Config = config.url.parse().unwrap();
        assert_eq!(driver.get_password(), Some(&br"it's \ x"[..]));
        assert!(read(&[("DATABASE_PASSWORD", "a"), ("DATABASE_PASSWORD_FILE", path)]).is_err());
    }

    #[test]
    fn verifying_sslmode_of_libpq_becomes_require() {
        use tokio_postgres::config::SslMode;
        let mode = |url: &str| {
            let config: tokio_postgres::Config = read(&[("DATABASE_URL", url)]).unwrap().unwrap().url.parse().unwrap();
            assert_eq!(config.get_dbname(), Some("n"), "{url}");
            config.get_ssl_mode()
        };
        for verifying in ["require", "verify-ca", "verify-full"] {
            assert_eq!(mode(&format!("postgres://u@h/n?sslmode={verifying}")), SslMode::Require);
            assert_eq!(mode(&format!("postgres://u@h/n?sslmode={verifying}&application_name=a")), SslMode::Require);
            assert_eq!(mode(&format!("host=h user=u sslmode = '{verifying}' dbname=n")), SslMode::Require);
        }
        assert_eq!(mode("postgres://u@h/n?sslmode=disable"), SslMode::Disable);
        assert_eq!(mode("postgres://u@h/n"), SslMode::Prefer);
    }

    #[test]
    fn unsupported_option_of_libpq_is_refused_with_advice() {
        let check = |option: &str, expected: &str| {
            let problem = read(&[("DATABASE_URL", &format!("postgres://u:hunter2@h/n?{option}"))]).unwrap_err();
            assert!(problem.contains(expected) && !problem.contains("hunter2"), "{problem}");
        };
        check("sslmode=allow", "sslmode is disable");
        check("sslmode=verify-fully", "sslmode is disable");
        check("sslmode=verify-full&sslrootcert=/ca.pem", "set DATABASE_CA_FILE");
        check("sslcert=/c.pem", "sslcert of libpq is not supported");
        check("word=hunter2", "expected a URL such as postgres://user:password@host:5432/database");
    }

    #[test]
    fn place_names_the_database_and_never_its_password() {
        let place = |pairs: &[(&str, &str)]| read(pairs).unwrap().unwrap().place();
        let named = [("DATABASE_URL", "postgres://u:hunter2@h:7,i:8/n")];
        assert_eq!(place(&named), "PostgreSQL database n on h,i:7,8");
        assert_eq!(place(&[("DATABASE_HOST", "h")]), "PostgreSQL database hackathon_db on h:5432");
        assert_eq!(place(&[("DATABASE_URL", "postgres://u@h")]), "PostgreSQL database u on h:5432");
    }
}

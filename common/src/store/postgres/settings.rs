//! The settings of PostgreSQL: one URL, or the original's variables.

use std::path::PathBuf;

use super::PostgresConfig;
use crate::config::{Reader, Setting};

/// The original's defaults.
const PORT: u16 = 5432;
const NAME: &str = "hackathon_db";
const USER: &str = "postgres";
const PASSWORD: &str = "postgres";

impl PostgresConfig {
    /// `None` unless a database is named. `DATABASE_URL` goes before `DATABASE_HOST`, which goes with `DATABASE_PORT`,
    /// `DATABASE_USER`, `DATABASE_PASSWORD` and `DATABASE_NAME`. `DATABASE_CA_FILE` is whom to trust with
    /// `sslmode=require`, instead of whom the system trusts; `DATABASE_POOL` the number of connections.
    pub fn read(reader: &mut Reader<'_>) -> Option<PostgresConfig> {
        let url: Option<DatabaseUrl> = reader.find("DATABASE_URL");
        let host: Option<String> = reader.find("DATABASE_HOST");
        let port = reader.get_within("DATABASE_PORT", PORT, 1..=u16::MAX);
        let user = reader.get("DATABASE_USER", USER.to_owned());
        let password = reader.get("DATABASE_PASSWORD", PASSWORD.to_owned());
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

/// A word of a connection string, whatever is in it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\\', r"\\").replace('\'', r"\'"))
}

struct DatabaseUrl(String);

impl Setting for DatabaseUrl {
    const EXPECTED: &'static str = "a URL such as postgres://user:password@host:5432/database";
    const SECRET: bool = true;

    fn parse(text: &str) -> Option<DatabaseUrl> {
        text.parse::<tokio_postgres::Config>().is_ok().then(|| DatabaseUrl(text.to_owned()))
    }
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
    fn a_database_is_named_by_its_url_or_its_host() {
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
    fn a_bad_url_is_told_without_its_password() {
        let problem = read(&[("DATABASE_URL", "postgres://u:secret@host:port/n")]).unwrap_err();
        assert!(problem.starts_with("DATABASE_URL: expected a URL") && !problem.contains("secret"), "{problem}");
    }
}

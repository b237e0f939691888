//! The configuration of the connection to PostgreSQL, and the reasons why a database cannot be used.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::connector::Connector;
use super::hosts::Hosts;
use super::session;
use crate::store::StoreError;

/// The time for one of the server's addresses to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The address of a database, and the limits for work on it.
#[derive(Clone)]
pub struct PostgresConfig {
    /// A URL `postgres://user:password@host:port/database?sslmode=require`, or a connection string of libpq.
    ///
    /// `sslmode=require` encrypts and verifies the server. Any other mode is plain text.
    /// Each connection needs its own session: a session pooler may be between, but no transaction pooler.
    pub url: String,
    /// A PEM file of certificates to trust in place of the system's.
    pub root_certificates: Option<PathBuf>,
    /// The number of connections for requests and lists, half each. Up to eleven more serve other kinds of work.
    pub pool_size: usize,
    /// The time after which the server cancels a statement.
    pub statement_timeout: Duration,
    /// The time after which a request ends, even if the server does not answer.
    pub request_timeout: Duration,
    /// The number of entries of the change log in one delta. Half as many more may belong to a transaction read in parts.
    pub delta_entries: usize,
}

impl PostgresConfig {
    /// The default pool size: two for each core of a usual database server. More would only queue there.
    pub const POOL_SIZE: usize = 16;

    pub fn new(url: impl Into<String>) -> PostgresConfig {
        PostgresConfig {
            url: url.into(),
            root_certificates: None,
            pool_size: PostgresConfig::POOL_SIZE,
            statement_timeout: Duration::from_millis(1500),
            // The contract promises an answer within two seconds, and a busy machine needs a part of them.
            request_timeout: Duration::from_millis(1800),
            // On a busy machine, three times as many sometimes exceed the statement timeout.
            delta_entries: 20_000,
        }
    }

    /// Returns the names of the database and its server, without the password.
    pub fn place(&self) -> String {
        let Ok(config) = self.url.parse::<Config>() else { return "the database".to_owned() };
        let hosts = config.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        });
        let (hosts, ports): (Vec<String>, Vec<String>) =
            (hosts.collect(), config.get_ports().iter().map(ToString::to_string).collect());
        let name = config.get_dbname().or(config.get_user()).unwrap_or("of this user");
        let port = if ports.is_empty() { "5432".to_owned() } else { ports.join(",") };
        format!("PostgreSQL database {name} on {}:{port}", hosts.join(","))
    }

    /// Returns a connector whose sessions have this statement timeout; 0 disables it.
    pub(super) fn connector(&self, statement_timeout: Duration) -> Result<Connector, OpenError> {
        let mut config: Config = self.url.parse().map_err(|error| OpenError::Url(anyhow::Error::new(error)))?;
        config
            .connect_timeout(CONNECT_TIMEOUT)
            .keepalives(true)
            .keepalives_idle(Duration::from_secs(10))
            .keepalives_interval(Duration::from_secs(3))
            .keepalives_retries(3)
            .tcp_user_timeout(Duration::from_secs(20));
        if config.get_application_name().is_none() {
            config.application_name("tern");
        }
        let mut roots = RootCertStore::empty();
        if config.get_ssl_mode() == SslMode::Require {
            self.add_roots(&mut roots)?;
        } else {
            config.ssl_mode(SslMode::Disable);
        }
        let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| OpenError::Url(error.into()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let hosts = Hosts::new(&config, MakeRustlsConnect::new(tls)).map_err(OpenError::Url)?;
        Ok(Connector::new(hosts, session::begin(statement_timeout)))
    }

    fn add_roots(&self, roots: &mut RootCertStore) -> Result<(), OpenError> {
        let Some(path) = &self.root_certificates else {
            // A system certificate that cannot be read is not trusted.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            return Ok(());
        };
        let unreadable = |error| OpenError::Certificates { path: path.clone(), error };
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unreadable(error.into()))? {
            let certificate = certificate.map_err(|error| unreadable(error.into()))?;
            roots.add(certificate).map_err(|error| unreadable(error.into()))?;
        }
        Ok(())
    }
}

impl fmt::Debug for PostgresConfig {
    /// Leaves out the URL, which contains the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresConfig").field("place", &self.place()).finish_non_exhaustive()
    }
}

/// The reason why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the database url cannot be used: {0:#}")]
    Url(anyhow::Error),
    #[error("{}: {error:#}", .path.display())]
    Certificates { path: PathBuf, error: anyhow::Error },
    #[error(
        "DATABASE_URL leads to a pooler that changes the session with each transaction, and Tern needs its own sessions: \
         connect to PostgreSQL itself, since Tern pools its connections, or set pool_mode=session in the pooler"
    )]
    Pooler,
    #[error(
        "the pooler of DATABASE_URL refuses the connection ({0}): \
         connect to PostgreSQL itself, since Tern pools its connections, or remove `options` from DATABASE_URL"
    )]
    Parameter(String),
    #[error("the database does not have the schema of this version of Tern: run `tern-admin migrate`")]
    Older,
    #[error("the database was made by a newer version of Tern")]
    Newer,
    #[error(
        "the schema is from a build of Tern before its first release; nothing was changed; \
         create an empty database, and load the rows into it"
    )]
    Unreleased,
    #[error("the database has the encoding {0}, and Tern needs UTF8")]
    Encoding(String),
    #[error(
        "the extension pg_trgm could not be created: {0:#}; nothing was changed; install the package of PostgreSQL's additional \
         modules (postgresql-contrib) on the server, and run `CREATE EXTENSION pg_trgm` in this database as a role that may"
    )]
    Extension(anyhow::Error),
    #[error("the database is unavailable: {0:#}")]
    Unavailable(anyhow::Error),
    #[error("the schema could not be brought up to date: {0:#}")]
    Migration(anyhow::Error),
}

impl OpenError {
    /// Returns whether only other settings help, so that a repeated start does not.
    pub fn is_of_settings(&self) -> bool {
        matches!(self, OpenError::Url(_) | OpenError::Pooler | OpenError::Parameter(_))
    }
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> OpenError {
        match error {
            StoreError::Unavailable(error) => OpenError::Unavailable(error),
            other => OpenError::Migration(other.into()),
        }
    }
}

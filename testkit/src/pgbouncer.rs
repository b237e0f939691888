//! PgBouncer, a pooler between clients and a PostgreSQL server, for tests.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

use crate::postgres::{Postgres, as_owner};
use crate::server::{Process, free_port, program, wait_until};

/// A pooler on loopback, killed on drop.
#[derive(Debug)]
pub struct PgBouncer {
    port: u16,
    _process: Process,
    _directory: TempDir,
}

impl PgBouncer {
    /// Starts a pooler before `server` that assigns server processes by `mode`: `session` or `transaction`.
    pub fn start(server: &Postgres, mode: &str) -> PgBouncer {
        let program = program(&["/usr/sbin/pgbouncer"], "pgbouncer");
        let directory = tempfile::tempdir().unwrap();
        // The pooler does not run as root.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let (users, config) = (directory.path().join("users.txt"), directory.path().join("pgbouncer.ini"));
        fs::write(&users, "\"tern\" \"\"\n").unwrap();
        let port = free_port();
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = {mode}\n",
            server.port(),
            users.display(),
        );
        fs::write(&config, text).unwrap();
        let process = Process::start(as_owner(Path::new(&program)).arg("-q").arg(&config));
        wait_until("pgbouncer answers", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        PgBouncer { port, _process: process, _directory: directory }
    }

    /// Returns the URL of a database of the server through the pooler.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://tern@127.0.0.1:{}/{database}", self.port)
    }
}

//! Private PostgreSQL servers.
//!
//! Each test process has one directory for all its servers, and a janitor: a shell that waits for the process to end in
//! any way, then ends the servers and removes the directory.

use std::fs;
use std::io::{PipeWriter, pipe};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};

use crate::server::free_port;

/// PostgreSQL server on loopback, with a superuser `tern` without a password; stopped on drop.
#[derive(Debug)]
pub struct Postgres {
    data: PathBuf,
    port: u16,
    databases: AtomicU32,
}

/// Variations of a server.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether the server syncs to disk: only for tests of power cuts.
    pub fsync: bool,
    pub max_connections: u32,
    /// Whether the server offers TLS, with the certificate at [`Postgres::certificate`].
    pub tls: bool,
    /// Further settings, as in `postgresql.conf`.
    pub settings: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Options {
        Options { fsync: false, max_connections: 200, tls: false, settings: Vec::new() }
    }
}

impl Options {
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Options {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl Postgres {
    /// Returns the server that the tests of this process share. They must not stop it.
    pub fn shared() -> &'static Postgres {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| Postgres::start_new(&Options::default()))
    }

    /// Starts a server for one test.
    pub fn start_new(options: &Options) -> Postgres {
        let server_directory = ServerDirectory::get();
        let server =
            Postgres { data: server_directory.new_directory(), port: free_port(), databases: AtomicU32::new(0) };
        run(
            Command::new("cp").arg("-a").arg(server_directory.template.join(".")).arg(&server.data),
            "copying a new cluster",
        );
        if options.tls {
            let certify = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=tern"];
            // The certificate is its own root.
            let extend = ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"];
            let mut openssl = as_owner(Path::new("openssl"));
            openssl.args(certify).args(extend).arg("-keyout").arg(server.data.join("server.key"));
            run(openssl.arg("-out").arg(server.certificate()), "openssl");
        }
        server.configure(options);
        server.start();
        server
    }

    /// Returns the certificate to trust, if the server offers TLS.
    pub fn certificate(&self) -> PathBuf {
        self.data.join("server.crt")
    }

    fn configure(&self, options: &Options) {
        let mut settings = format!(
            "port = {}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\nmax_connections = {}\n\
             fsync = {}\nshared_buffers = 32MB\nautovacuum = off\nlog_min_messages = warning\n",
            self.port,
            self.data.display(),
            options.max_connections,
            if options.fsync { "on" } else { "off" },
        );
        if options.tls {
            settings.push_str("ssl = on\n");
        }
        for (name, value) in &options.settings {
            settings.push_str(&format!("{name} = '{value}'\n"));
        }
        // The last value of a setting counts, and this file is included at the end of the main one.
        fs::write(self.data.join("tern.conf"), settings).unwrap();
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://tern@127.0.0.1:{}/{database}", self.port)
    }

    /// Creates an empty database and returns its URL.
    pub fn create_database(&self) -> String {
        self.create_database_from("template1")
    }

    /// Creates a copy of the database `template`, to which no client may be connected, and returns its URL.
    pub fn create_database_from(&self, template: &str) -> String {
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.psql("postgres", &format!("CREATE DATABASE {name} TEMPLATE {template}"));
        self.url(&name)
    }

    /// Runs SQL in psql and returns its output.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        let mut psql = Command::new(program("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", &self.url(database), "-c", sql]);
        run(&mut psql, sql)
    }

    /// Stops the server as its administrator would, cutting connections.
    pub fn stop(&self) {
        self.control("stop", &["-m", "fast"]);
    }

    /// Starts the server and waits wait_until it answers.
    pub fn start(&self) {
        self.control("start", &["-l", &self.data.join("log").display().to_string()]);
    }

    /// Kills every process of the server, as a crash of its machine would, except that written files survive.
    pub fn kill9(&self) {
        self.signal(Signal::SIGKILL);
        // The processes must also be reaped: a server does not start while it finds a zombie of its predecessor.
        let gone = |pid: &Pid| !PathBuf::from(format!("/proc/{pid}")).exists();
        while !self.processes().iter().all(gone) {
            std::thread::yield_now();
        }
    }

    /// Freezes every process of the server: connections stay open, and nothing answers.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Freezes the process that accepts connections; open connections are still served.
    pub fn freeze_postmaster(&self) {
        kill(self.processes()[0], Signal::SIGSTOP).unwrap();
    }

    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Starts an asynchronous standby of this server.
    pub fn standby(&self) -> Postgres {
        let standby = Postgres {
            data: ServerDirectory::get().new_directory(),
            port: free_port(),
            databases: AtomicU32::new(1000),
        };
        let mut backup = as_owner(&program("pg_basebackup"));
        backup.args(["-R", "-X", "stream", "-c", "fast", "--no-sync", "-d", &self.url("postgres"), "-D"]);
        run(backup.arg(&standby.data), "pg_basebackup");
        standby.configure(&Options::default());
        standby.start();
        standby
    }

    /// Promotes a standby to primary.
    pub fn promote(&self) {
        self.control("promote", &[]);
    }

    fn control(&self, what: &str, arguments: &[&str]) {
        let mut control = as_owner(&program("pg_ctl"));
        run(control.arg("-D").arg(&self.data).args(["-w", "-t", "60", "-s"]).args(arguments).arg(what), what);
    }

    fn signal(&self, signal: Signal) {
        for process in self.processes() {
            // A process that has ended needs no signal.
            let _ = kill(process, signal);
        }
    }

    /// Returns the postmaster, first, and its children.
    fn processes(&self) -> Vec<Pid> {
        let Ok(file) = fs::read_to_string(self.data.join("postmaster.pid")) else { return Vec::new() };
        let postmaster = file.lines().next().unwrap();
        let children = fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children"));
        let children = children.unwrap_or_default();
        let pids = [postmaster].into_iter().chain(children.split_whitespace());
        pids.map(|pid| Pid::from_raw(pid.parse().unwrap())).collect()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.thaw();
        if !self.processes().is_empty() {
            let mut control = as_owner(&program("pg_ctl"));
            // A killed server cannot be stopped.
            let _ = control.arg("-D").arg(&self.data).args(["-w", "-s", "-m", "immediate", "stop"]).output();
        }
    }
}

/// Directory of all servers of this process.
struct ServerDirectory {
    directory: PathBuf,
    /// Empty cluster to copy, which is faster than running initdb.
    template: PathBuf,
    count: AtomicU32,
    /// Pipe that is never written to; the janitor waits for its end.
    _alive: PipeWriter,
    /// Shell that outlives this process.
    _janitor: Child,
}

const JANITOR: &str = r#"
trap '' HUP INT TERM
read -r _
for file in "$1"/*/postmaster.pid; do
    pid=$(head -n 1 "$file") || continue
    for process in $pid $(cat "/proc/$pid/task/$pid/children"); do kill -CONT "$process"; done
    # Immediate shutdown: unlike a kill, it leaves no shared memory behind.
    kill -QUIT "$pid"
done
while kill -0 $(head -q -n 1 "$1"/*/postmaster.pid); do sleep 0.1; done
rm -rf "$1"
"#;

impl ServerDirectory {
    fn get() -> &'static ServerDirectory {
        static DIRECTORY: OnceLock<ServerDirectory> = OnceLock::new();
        DIRECTORY.get_or_init(|| {
            let directory = tempfile::Builder::new().prefix("tern-postgres-").tempdir().unwrap().keep();
            let (stdin, alive) = pipe().unwrap();
            let mut janitor = Command::new("sh");
            janitor.args(["-c", JANITOR, "janitor"]).arg(&directory);
            janitor.stdin(stdin).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
            let janitor = janitor.spawn().unwrap();
            if Uid::effective().is_root() {
                run(Command::new("chown").arg("postgres:").arg(&directory), "chown");
            }
            let template = directory.join("template");
            let mut initdb = as_owner(&program("initdb"));
            initdb.args(["-U", "tern", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D"]);
            run(initdb.arg(&template), "initdb");
            let main = template.join("postgresql.conf");
            let included = fs::read_to_string(&main).unwrap() + "\ninclude 'tern.conf'\n";
            fs::write(&main, included).unwrap();
            ServerDirectory { directory, template, count: AtomicU32::new(0), _alive: alive, _janitor: janitor }
        })
    }

    /// Returns the path of a directory that does not exist yet.
    fn new_directory(&self) -> PathBuf {
        self.directory.join(self.count.fetch_add(1, Ordering::Relaxed).to_string())
    }
}

/// Returns the directory of the newest installed server programs.
///
/// # Panics
/// With the command that installs them if there are none.
pub(crate) fn programs() -> &'static Path {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
        let installed = versions.filter_map(|entry| {
            let path = entry.ok()?.path();
            let version: u32 = path.file_name()?.to_str()?.parse().ok()?;
            path.join("bin/initdb").exists().then(|| (version, path.join("bin")))
        });
        let newest = installed.max();
        newest.expect("no PostgreSQL server is there; install it with: apt-get install postgresql").1
    })
}

fn program(name: &str) -> PathBuf {
    programs().join(name)
}

/// Returns a command that does not run as root, which PostgreSQL's programs refuse.
pub(crate) fn as_owner(program: &Path) -> Command {
    if Uid::effective().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
        command
    } else {
        Command::new(program)
    }
}

/// Runs `command` to its end and returns its output.
///
/// # Panics
/// If it fails.
fn run(command: &mut Command, what: &str) -> String {
    // Output goes to files, because a server started by `pg_ctl` would keep a pipe open.
    let (printed, complained) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    command.current_dir("/").stdin(Stdio::null());
    command.stdout(printed.try_clone().unwrap()).stderr(complained.try_clone().unwrap());
    let status = command.status().unwrap();
    assert!(status.success(), "{what} failed: {}", read(complained));
    read(printed)
}

fn read(mut file: fs::File) -> String {
    use std::io::{Read, Seek};
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}

//! Environment of the servers: the same links in every form, and a PostgreSQL and a Redis of the run's own.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use tern_testkit::postgres::{Options, Postgres};
use tern_testkit::redis::Redis;

use crate::cost;
use crate::figures::Figure;
use crate::machine::{busy_cores, pause};
use crate::workload::{self, OWNERS, RequestKind, is_active};

const LOWEST: i32 = 19;

/// Statements that leave of `urls` what redirectors read.
const WITHOUT_LISTS: &str = "ALTER TABLE urls DISABLE TRIGGER ALL;
    DO $$
    DECLARE
        index regclass;
    BEGIN
        FOR index IN
            SELECT indexrelid FROM pg_index
            WHERE indrelid = 'urls'::regclass AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
        LOOP
            EXECUTE format('DROP INDEX %s', index);
        END LOOP;
    END $$";

/// Services and directories that exist before the first server.
#[derive(Debug)]
pub struct Environment {
    pub directory: TempDir,
    pub postgres: Postgres,
    postmaster: u32,
    pub redis: Redis,
    /// Number of cores that other programs used before each turn.
    others: RefCell<Vec<f64>>,
    /// Directory of `tern-redirector` and `tern-admin`.
    binaries: PathBuf,
}

/// A number of links, in the form that each server needs.
#[derive(Debug)]
pub struct Links {
    pub count: u64,
    pub database: String,
    pub database_url: String,
    /// Directory of the code lists and of the maps of nginx and HAProxy.
    directory: PathBuf,
}

impl Environment {
    pub fn create(binaries: &Path) -> Result<Environment> {
        let options = Options::default()
            .set("shared_buffers", "1GB")
            .set("max_wal_size", "8GB")
            .set("checkpoint_timeout", "1h")
            .set("maintenance_work_mem", "512MB");
        let postgres = Postgres::start_new(&options);
        let postmaster = postmaster(&postgres)?;
        Ok(Environment {
            directory: tempfile::Builder::new().prefix("tern-bench-").tempdir()?,
            postgres,
            postmaster,
            others: RefCell::default(),
            redis: Redis::start_new(),
            binaries: binaries.canonicalize().context("build the binaries of the workspace first")?,
        })
    }

    /// Runs `work` while PostgreSQL has the lowest priority, because it represents a machine of its own.
    pub fn beside_postgres<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.others.borrow_mut().push(busy_cores());
        self.prioritise_postgres(LOWEST)?;
        let done = work();
        self.prioritise_postgres(0)?;
        done
    }

    /// Returns how many cores other programs used when turns began.
    pub fn others(&self) -> Option<Figure> {
        Figure::of(self.others.take())
    }

    fn prioritise_postgres(&self, nice: i32) -> Result<()> {
        for pid in cost::family(self.postmaster)? {
            // A process that ends meanwhile uses no CPU.
            if let Err(error) = set_priority(pid, nice)
                && Path::new(&format!("/proc/{pid}")).exists()
            {
                return Err(error);
            }
        }
        Ok(())
    }

    pub fn binary(&self, name: &str) -> Result<PathBuf> {
        let path = self.binaries.join(name);
        ensure!(path.exists(), "{name} does not exist; build it with: cargo build --release --workspace");
        Ok(path)
    }

    /// Returns wrk's script.
    pub fn script() -> Result<PathBuf> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("codes.lua");
        ensure!(path.exists(), "{} does not exist", path.display());
        Ok(path)
    }

    /// Creates a database with `count` links, and the lists of codes.
    pub fn links(&self, count: u64) -> Result<Links> {
        let database_url = self.postgres.create_database();
        let database = database_url.rsplit('/').next().unwrap_or_default().to_owned();
        let directory = self.directory.path().join(format!("links-{count}"));
        fs::create_dir_all(&directory)?;
        let links = Links { count, database, database_url, directory };
        for request_kind in RequestKind::ALL {
            workload::write_codes(&links.codes(request_kind), request_kind, count)?;
        }
        self.migrate(&links)?;
        self.fill(&links)?;
        Ok(links)
    }

    fn migrate(&self, links: &Links) -> Result<()> {
        let mut admin = Command::new(self.binary("tern-admin")?);
        admin.arg("migrate").env_clear().env("DATABASE_URL", &links.database_url).env("REDIS_URL", self.redis.url());
        let output = admin.env("LOG_FILE", self.directory.path().join("migrate.log")).output()?;
        ensure!(output.status.success(), "tern-admin migrate: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Inserts the links without the triggers that count and announce rows, and without the indexes of lists.
    fn fill(&self, links: &Links) -> Result<()> {
        let owners = format!(
            "INSERT INTO users (username, email, created_at)
             SELECT 'user' || n, 'user' || n || '@mail.example', now() FROM generate_series(1, {OWNERS}) AS n"
        );
        self.postgres.psql(&links.database, &owners);
        self.postgres.psql(&links.database, WITHOUT_LISTS);
        let mut psql = psql(&links.database_url);
        psql.args([
            "-c",
            "COPY urls (id, user_id, short_code, original_url, is_active, created_at, updated_at) FROM STDIN",
        ]);
        let mut psql = psql.args(["-c", "VACUUM ANALYZE urls"]).stdin(Stdio::piped()).spawn()?;
        let mut input = BufWriter::new(psql.stdin.take().context("psql has no input")?);
        workload::write_rows(&mut input, links.count)?;
        drop(input.into_inner());
        ensure!(psql.wait()?.success(), "psql did not take the links");
        self.fill_links_with_options(links);
        Ok(())
    }

    fn fill_links_with_options(&self, links: &Links) {
        let with_options = workload::OPTIONS.into_iter().enumerate().map(|(at, (columns, _))| {
            let code = move |n| workload::code_with_options(at, n);
            (columns.to_owned(), Box::new(code) as Box<dyn Fn(u64) -> String>)
        });
        let with_rules = (format!("rules = '{}'", workload::FIVE_RULES), Box::new(workload::code_with_rules) as _);
        for (at, (columns, code)) in with_options.chain([with_rules]).enumerate() {
            for n in 0..workload::LINKS_WITH_EACH_OPTION {
                let (code, target) = (code(n), workload::target(n));
                let insert = format!(
                    "INSERT INTO urls (id, user_id, short_code, original_url, is_active, created_at, updated_at)
                     VALUES ({}, 1, '{code}', '{target}', true, now(), now());
                     UPDATE urls SET {columns} WHERE short_code = '{code}'",
                    links.count + 1 + at as u64 * workload::LINKS_WITH_EACH_OPTION + n
                );
                self.postgres.psql(&links.database, &insert);
            }
        }
    }

    /// Measures how long psql takes to read and discard what a redirector loads.
    pub fn time_psql(&self, links: &Links) -> Result<Duration> {
        let started = Instant::now();
        let copy = "\\copy (SELECT short_code, id, user_id, original_url, is_active FROM urls) to /dev/null";
        let status = psql(&links.database_url).args(["-c", copy]).status()?;
        ensure!(status.success(), "psql did not give the links");
        Ok(started.elapsed())
    }
}

/// Returns the first process of the server.
fn postmaster(postgres: &Postgres) -> Result<u32> {
    let data = postgres.psql("postgres", "SHOW data_directory");
    let file = fs::read_to_string(Path::new(data.trim()).join("postmaster.pid"))?;
    Ok(file.lines().next().context("PostgreSQL has no process")?.parse()?)
}

/// Sets the priority of a process and of its group, where the kernel groups sessions, since such groups share the CPU
/// equally.
fn set_priority(pid: u32, nice: i32) -> Result<()> {
    let nice = nice.to_string();
    let output = Command::new("renice").args(["-n", &nice, "-p", &pid.to_string()]).output()?;
    // Only root may raise a priority again.
    let is_refused = !output.status.success() && nice == LOWEST.to_string();
    ensure!(!is_refused, "renice: {}", String::from_utf8_lossy(&output.stderr));
    let group = format!("/proc/{pid}/autogroup");
    while fs::read_to_string(&group).is_ok_and(|text| !text.trim_end().ends_with(&format!(" {nice}"))) {
        match fs::write(&group, &nice) {
            // The kernel limits how often it may be set.
            Err(error) if error.kind() == ErrorKind::WouldBlock => pause(Duration::from_millis(100)),
            other => other?,
        }
    }
    Ok(())
}

fn psql(url: &str) -> Command {
    let mut psql = Command::new("psql");
    psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", url]);
    psql
}

impl Links {
    /// Returns the list of codes to request.
    pub fn codes(&self, request_kind: RequestKind) -> PathBuf {
        self.directory.join(request_kind.file_name())
    }

    /// Writes the active links to a file, one line for each, formatted by `line`. Inactive links are omitted, because
    /// only Tern has a 410.
    pub fn map_file(&self, name: &str, line: impl Fn(&str, &str) -> String) -> Result<PathBuf> {
        let path = self.directory.join(name);
        let mut file = BufWriter::new(File::create(&path)?);
        for n in (0..self.count).filter(|n| is_active(*n)) {
            writeln!(file, "{}", line(&workload::code(n), &workload::target(n)))?;
        }
        file.flush()?;
        Ok(path)
    }
}

/// Returns the path of another program of this package.
pub fn sibling_program(name: &str) -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    ensure!(path.exists(), "{name} does not exist; build it with: cargo build --release --bins");
    Ok(path)
}

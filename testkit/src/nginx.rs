//! An nginx of the test's own, with the project's configuration and a site that the test writes.

use std::fs;
use std::io::{PipeWriter, pipe};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use tempfile::TempDir;

use crate::server::{certify, free_port, program, until};

/// An nginx on loopback. Ended when dropped.
#[derive(Debug)]
pub struct Nginx {
    port: u16,
    tls_port: u16,
    status_port: u16,
    _process: Leashed,
    directory: TempDir,
}

/// A shell that ends nginx when this process ends or lets go. Killing nginx itself would leave its workers behind.
#[derive(Debug)]
struct Leashed {
    shell: Child,
    leash: Option<PipeWriter>,
}

const SHELL: &str = r#"
exec 3<&0
"$@" 3<&- &
nginx=$!
(read -r _ <&3; kill "$nginx") &
wait "$nginx"
"#;

/// Who stands behind it, and what differs from place to place.
#[derive(Clone, Debug, Default)]
pub struct Site {
    /// Addresses.
    pub redirectors: Vec<String>,
    pub admins: Vec<String>,
    /// Whether loopback is a proxy whose `X-Forwarded-For` names the client, so that a test can be many clients, and
    /// limits hold for them.
    pub is_behind_proxy: bool,
}

impl Nginx {
    /// Starts it with the configuration in `configuration`, whose `site/` is replaced.
    pub fn start(configuration: &Path, site: &Site) -> Nginx {
        let directory = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(configuration).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                fs::copy(&path, directory.path().join(path.file_name().unwrap())).unwrap();
            }
        }
        fs::create_dir(directory.path().join("site")).unwrap();
        certify(directory.path());
        // A port that was free a moment ago may be taken now.
        loop {
            let [port, tls_port, status_port] = [free_port(), free_port(), free_port()];
            write_site(directory.path(), site, [port, tls_port, status_port]);
            if let Some(process) = try_start(directory.path()) {
                return Nginx { port, tls_port, status_port, _process: process, directory };
            }
        }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The same server by TLS; [`Nginx::authority`] vouches for it.
    pub fn tls_address(&self) -> String {
        format!("127.0.0.1:{}", self.tls_port)
    }

    /// The PEM file of whom to trust.
    pub fn authority(&self) -> PathBuf {
        self.directory.path().join("certificate.pem")
    }

    /// Where `/stub_status` is.
    pub fn status_address(&self) -> String {
        format!("127.0.0.1:{}", self.status_port)
    }

    /// What was logged so far: one JSON object a line.
    pub fn access_log(&self) -> String {
        fs::read_to_string(self.access_log_file()).unwrap_or_default()
    }

    pub fn access_log_file(&self) -> PathBuf {
        self.directory.path().join("access.json")
    }

    /// Takes another site, as `nginx -s reload` does: new workers begin, and old ones finish what they have.
    pub fn reload(&self, site: &Site) {
        let before = self.workers();
        write_site(self.directory.path(), site, [self.port, self.tls_port, self.status_port]);
        kill(self.master(), Signal::SIGHUP).unwrap();
        until("new workers", || self.workers().iter().any(|worker| !before.contains(worker)));
    }

    /// The process ids of its workers, those that are ending among them.
    pub fn workers(&self) -> Vec<u32> {
        let id = self.master();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        children.split_whitespace().map(|child| child.parse().unwrap()).collect()
    }

    fn master(&self) -> Pid {
        let id = fs::read_to_string(self.directory.path().join("nginx.pid")).unwrap();
        Pid::from_raw(id.trim().parse().unwrap())
    }
}

impl Leashed {
    fn start(program: &Path, arguments: &[&str]) -> Leashed {
        let (stdin, leash) = pipe().unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", SHELL, "nginx"]).arg(program).args(arguments);
        shell.stdin(stdin).stdout(Stdio::null()).stderr(Stdio::null());
        Leashed { shell: shell.spawn().unwrap(), leash: Some(leash) }
    }

    fn has_ended(&mut self) -> bool {
        self.shell.try_wait().unwrap().is_some()
    }
}

impl Drop for Leashed {
    fn drop(&mut self) {
        drop(self.leash.take());
        // Fails only when it was waited for already.
        let _ = self.shell.wait();
    }
}

fn write_site(directory: &Path, site: &Site, [port, tls_port, status_port]: [u16; 3]) {
    // Twice each, as nginx/README.md tells.
    let lines = |address: &String| {
        format!("server {address} max_fails=3 fail_timeout=1s;\nserver {address} backup max_fails=0;\n")
    };
    let servers = |addresses: &[String]| addresses.iter().map(lines).collect::<String>();
    let write = |name: &str, text: &str| fs::write(directory.join("site").join(name), text).unwrap();
    let user = if Uid::effective().is_root() { "user root;\n" } else { "" };
    write("main.conf", &format!("{user}daemon off;\npid nginx.pid;\nerror_log error.log crit;\n"));
    let proxy = "set_real_ip_from 127.0.0.1;\nreal_ip_header X-Forwarded-For;\n";
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary: String = temporary.iter().map(|what| format!("{what}_temp_path temporary-{what};\n")).collect();
    write(
        "http.conf",
        &format!(
            "access_log access.json tern;\ngeo $is_limited {{ default 1; 127.0.0.0/8 0; }}\n{temporary}{}",
            if site.is_behind_proxy { proxy } else { "" }
        ),
    );
    let certificate = "ssl_certificate certificate.pem;\nssl_certificate_key key.pem;\ninclude tls.conf;\n";
    let listen = format!("listen 127.0.0.1:{port};\nlisten 127.0.0.1:{tls_port} ssl http2;\n{certificate}");
    write("listen.conf", &listen);
    write("status.conf", &format!("listen 127.0.0.1:{status_port};\n"));
    write("redirectors.conf", &servers(&site.redirectors));
    write("admins.conf", &servers(&site.admins));
}

/// The process, once it listens; `None` if one of its ports was taken.
fn try_start(directory: &Path) -> Option<Leashed> {
    let nginx = program(&["/usr/sbin/nginx", "/usr/local/sbin/nginx"], "nginx-light");
    let arguments = ["-p", directory.to_str().unwrap(), "-c", "nginx.conf", "-e", "error.log"];
    let mut process = Leashed::start(&nginx, &arguments);
    let (mut listens, mut has_ended) = (false, false);
    until("nginx listens, or gives up", || {
        has_ended = process.has_ended();
        // Written once its ports are its own.
        listens = fs::read_to_string(directory.join("nginx.pid")).is_ok_and(|id| id.ends_with('\n'));
        listens || has_ended
    });
    let complaint = fs::read_to_string(directory.join("error.log")).unwrap_or_default();
    assert!(listens || complaint.contains("in use"), "nginx does not start: {complaint}");
    listens.then_some(process)
}

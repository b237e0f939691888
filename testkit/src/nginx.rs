//! An nginx for each test, with the project's configuration and a site written by the test.

use std::fs;
use std::io::{PipeWriter, pipe};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use tempfile::TempDir;

use crate::server::{certify, free_port, program, wait_until};

/// nginx on loopback, ended on drop.
#[derive(Debug)]
pub struct Nginx {
    port: u16,
    tls_port: u16,
    status_port: u16,
    _process: GuardedNginx,
    directory: TempDir,
}

/// Shell that ends nginx with this process or on drop. Killing nginx itself would leave its workers running.
#[derive(Debug)]
struct GuardedNginx {
    shell: Child,
    lifeline: Option<PipeWriter>,
}

const SHELL: &str = r#"
exec 3<&0
"$@" 3<&- &
nginx=$!
(read -r _ <&3; kill "$nginx") &
wait "$nginx"
"#;

/// Upstream servers, and settings that differ between installations.
#[derive(Clone, Debug, Default)]
pub struct Site {
    /// Addresses of the redirectors.
    pub redirectors: Vec<String>,
    pub admins: Vec<String>,
    /// Whether loopback is a trusted proxy, so that a test can pose as many clients by `X-Forwarded-For`, each with
    /// limits of its own.
    pub is_behind_proxy: bool,
}

impl Nginx {
    /// Starts nginx with the files in `configuration`, whose `site/` is replaced.
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

    /// Returns the address of the same server with TLS, whose certificate is [`Nginx::authority`].
    pub fn tls_address(&self) -> String {
        format!("127.0.0.1:{}", self.tls_port)
    }

    /// Returns the PEM file of the authority to trust.
    pub fn authority(&self) -> PathBuf {
        self.directory.path().join("certificate.pem")
    }

    /// Returns the address of `/stub_status`.
    pub fn status_address(&self) -> String {
        format!("127.0.0.1:{}", self.status_port)
    }

    /// Returns the access log so far: one JSON object a line.
    pub fn access_log(&self) -> String {
        fs::read_to_string(self.access_log_file()).unwrap_or_default()
    }

    pub fn access_log_file(&self) -> PathBuf {
        self.directory.path().join("access.json")
    }

    /// Replaces the site as `nginx -s reload` does: new workers start, and old ones finish their requests.
    pub fn reload(&self, site: &Site) {
        let before = self.workers();
        write_site(self.directory.path(), site, [self.port, self.tls_port, self.status_port]);
        kill(self.master(), Signal::SIGHUP).unwrap();
        wait_until("new workers", || self.workers().iter().any(|worker| !before.contains(worker)));
    }

    /// Returns the process ids of the workers, including those that are ending.
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

impl GuardedNginx {
    fn start(program: &Path, arguments: &[&str]) -> GuardedNginx {
        let (stdin, lifeline) = pipe().unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", SHELL, "nginx"]).arg(program).args(arguments);
        shell.stdin(stdin).stdout(Stdio::null()).stderr(Stdio::null());
        GuardedNginx { shell: shell.spawn().unwrap(), lifeline: Some(lifeline) }
    }

    fn has_ended(&mut self) -> bool {
        self.shell.try_wait().unwrap().is_some()
    }
}

impl Drop for GuardedNginx {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        // Fails only if the shell was waited for already.
        let _ = self.shell.wait();
    }
}

fn write_site(directory: &Path, site: &Site, [port, tls_port, status_port]: [u16; 3]) {
    // Each server twice, as nginx/README.md explains.
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

/// Returns the process once it listens, or `None` if one of its ports was taken.
fn try_start(directory: &Path) -> Option<GuardedNginx> {
    let nginx = program(&["/usr/sbin/nginx", "/usr/local/sbin/nginx"], "nginx-light");
    let arguments = ["-p", directory.to_str().unwrap(), "-c", "nginx.conf", "-e", "error.log"];
    let mut process = GuardedNginx::start(&nginx, &arguments);
    let (mut listens, mut has_ended) = (false, false);
    wait_until("nginx listens, or gives up", || {
        has_ended = process.has_ended();
        // nginx writes the file once it has bound its ports.
        listens = fs::read_to_string(directory.join("nginx.pid")).is_ok_and(|id| id.ends_with('\n'));
        listens || has_ended
    });
    let complaint = fs::read_to_string(directory.join("error.log")).unwrap_or_default();
    assert!(listens || complaint.contains("in use"), "nginx does not start: {complaint}");
    listens.then_some(process)
}

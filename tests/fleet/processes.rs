//! Starting, replacing and restarting the processes of a fleet.

use std::fs::File;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tern_testkit::server::Process;

use crate::fleet::Fleet;
use crate::plane::{PATH, Plane, command};

/// File system of a disk that a test creates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filesystem {
    Btrfs,
    Ext4,
    Xfs,
}

impl Filesystem {
    /// Returns the mkfs program, its options, and the smallest size in megabytes.
    fn make(self) -> (&'static str, &'static [&'static str], u64) {
        match self {
            Filesystem::Btrfs => ("mkfs.btrfs", &["--quiet", "--mixed"], 128),
            Filesystem::Ext4 => ("mkfs.ext4", &["-q"], 64),
            Filesystem::Xfs => ("mkfs.xfs", &["-q"], 320),
        }
    }
}

impl Fleet {
    /// Starts the `n`th redirector, with a data directory that persists across its restarts.
    pub fn start_redirector(&self, n: usize) -> Plane {
        Plane::start(&mut command("tern-redirector", &[], self.directory.path(), &self.redirector_settings(n)), 2)
    }

    /// Starts the `n`th redirector with settings that override the others.
    pub fn start_redirector_with(&self, n: usize, settings: &[(&str, &str)]) -> Plane {
        let mut all = self.redirector_settings(n);
        all.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Plane::start(&mut command("tern-redirector", &[], self.directory.path(), &all), 2)
    }

    /// Runs a plane with settings that override those of the fleet, until it ends.
    pub fn run(&self, program: &str, arguments: &[&str], settings: &[(&str, &str)]) -> std::process::Output {
        let mut all = self.settings.clone();
        all.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        command(program, arguments, self.directory.path(), &all).output().unwrap()
    }

    /// Replaces the admin, with settings that override the others.
    pub fn restart_admin(&mut self, settings: &[(&str, &str)]) {
        self.admin = self.start_admin_with(settings);
    }

    /// Starts an admin beside the fleet's own, with settings that override the others.
    pub fn start_admin_with(&self, settings: &[(&str, &str)]) -> Plane {
        let mut all = self.settings.clone();
        all.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Plane::start_admin(self.directory.path(), &all)
    }

    /// Starts a load of a file.
    pub fn load(&self, file: &Path) -> Child {
        let mut load = command("tern-admin", &["load", file.to_str().unwrap()], self.directory.path(), &self.settings);
        load.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Starts a successor of the `n`th redirector, waits until it serves, and returns the predecessor.
    pub fn replace_redirector(&mut self, n: usize) -> Plane {
        let successor = Plane::start(&mut self.successor_command(n), 2);
        std::mem::replace(&mut self.redirectors[n], successor)
    }

    /// Starts a successor of the `n`th redirector without waiting for it.
    pub fn begin_to_replace_redirector(&self, n: usize) -> Process {
        Process::start(&mut self.successor_command(n))
    }

    /// Runs the health check of container runtimes against `address`; returns its result.
    pub fn is_healthy(&self, program: &str, setting: &str, address: &str) -> bool {
        let mut settings = self.redirector_settings(0);
        settings.push((setting.to_owned(), address.to_owned()));
        let checked = command(program, &["healthcheck"], self.directory.path(), &settings).output().unwrap();
        match checked.status.code() {
            Some(0) => true,
            Some(1) => false,
            _ => panic!("{}", String::from_utf8_lossy(&checked.stderr)),
        }
    }

    fn successor_command(&self, n: usize) -> Command {
        let arguments = &["serve", "--take-over"];
        command("tern-redirector", arguments, self.directory.path(), &self.redirector_settings(n))
    }

    /// Starts the `n`th redirector on a listening socket that outlives it, passed as systemd does.
    pub fn start_redirector_on(&self, n: usize, socket: &TcpListener) -> Plane {
        let script = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=redirects exec \"$0\"";
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(crate::plane::binary("tern-redirector"));
        command.current_dir(self.directory.path()).env_clear().envs(self.redirector_settings(n));
        Plane::start(command.stdin(OwnedFd::from(socket.try_clone().unwrap())), 2)
    }

    /// Returns the settings of the `n`th redirector: those of the fleet, its directory, and the redirectors' database
    /// role.
    fn redirector_settings(&self, n: usize) -> Vec<(String, String)> {
        let mut settings = self.settings.clone();
        for (name, path) in [("TERN_DATA_DIR", "data"), ("LOG_FILE", "app.log")] {
            settings.push((name.to_owned(), self.redirector_directory(n).join(path).display().to_string()));
        }
        for (name, value) in &mut settings {
            if name == "DATABASE_URL" {
                *value = value.replace("//tern@", "//tern_redirector@");
            }
        }
        settings
    }

    /// Starts the `n`th redirector with its data on a tmpfs of `size`. Other processes see its files through
    /// [`Plane::own_file`] only.
    pub fn start_redirector_on_small_disk(&self, n: usize, size: &str) -> Plane {
        let data = self.redirector_directory(n).join("data");
        std::fs::create_dir_all(&data).unwrap();
        let mut settings = self.redirector_settings(n);
        settings.push(("PATH".to_owned(), "/usr/bin:/bin:/usr/sbin:/sbin".to_owned()));
        let script = format!("mount -t tmpfs -o size={size} tern {} && exec \"$0\"", data.display());
        let program = crate::plane::binary("tern-redirector");
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]).arg(program);
        command.current_dir(self.directory.path()).env_clear().envs(settings);
        Plane::start(command.stdin(Stdio::null()), 2)
    }

    /// Starts the `n`th redirector with its data on a new disk that it alone has mounted.
    ///
    /// # Panics
    /// If this process may not mount: it must be root, with loop devices.
    pub fn start_redirector_on_disk(&self, n: usize, filesystem: Filesystem, settings: &[(&str, &str)]) -> Plane {
        let data = self.redirector_directory(n).join("data");
        std::fs::create_dir_all(&data).unwrap();
        let image = self.redirector_directory(n).join("disk.image");
        let (mkfs, options, megabytes) = filesystem.make();
        File::create(&image).unwrap().set_len(megabytes << 20).unwrap();
        let made = Command::new(mkfs).args(options).arg(&image).env("PATH", PATH).output();
        let made = made.unwrap_or_else(|error| panic!("{mkfs}: {error}; install it with: make chaos"));
        assert!(made.status.success(), "{mkfs}: {}", String::from_utf8_lossy(&made.stderr));
        let mut all = self.redirector_settings(n);
        all.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        all.push(("PATH".to_owned(), PATH.to_owned()));
        let script = format!(
            "mount -o loop {} {} || {{ echo 'to mount a disk takes root and loop devices' >&2; exit 1; }}; exec \"$0\"",
            image.display(),
            data.display()
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script]).arg(crate::plane::binary("tern-redirector"));
        command.current_dir(self.directory.path()).env_clear().envs(all);
        Plane::start(command.stdin(Stdio::null()), 2)
    }

    pub fn redirector_directory(&self, n: usize) -> PathBuf {
        self.directory.path().join(format!("redirector{n}"))
    }

    /// Replaces a redirector that was killed.
    pub fn restart_redirector(&mut self, n: usize) {
        self.redirectors[n] = self.start_redirector(n);
    }

    /// Ends a redirector with `signal`, restarts it at its addresses, and waits until it is ready.
    /// Returns the time from the start of the new process.
    pub async fn restart_redirector_in_place(&mut self, n: usize, signal: Signal) -> Duration {
        let ended = self.redirectors.remove(n);
        let addresses = ended.addresses.clone();
        ended.end(signal);
        let began = Instant::now();
        let listen = [("REDIRECTOR_LISTEN", &*addresses[0]), ("REDIRECTOR_OPS_LISTEN", &*addresses[1])];
        self.redirectors.insert(n, self.start_redirector_with(n, &listen));
        self.wait_until_ready().await;
        began.elapsed()
    }
}

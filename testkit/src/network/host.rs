//! A host: a network namespace with one device, and the thread that starts its programs.

use std::fs::File;
use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::mpsc::{Sender, channel};

use nix::sched::{CloneFlags, setns, unshare};

use super::device;
use crate::server::Process;

type Task = Box<dyn FnOnce() + Send>;

/// Host of a network. Its programs end when it is dropped.
#[derive(Debug)]
pub struct Host {
    address: Ipv4Addr,
    namespace: File,
    /// Thread in the namespace, which starts the programs. The kernel ends them with this thread.
    starter: Sender<Task>,
}

impl Host {
    /// Starts a host, and returns it with the file of its device.
    pub(super) fn start(address: Ipv4Addr) -> (Host, File) {
        let (starter, tasks) = channel::<Task>();
        let (made, parts) = channel();
        std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET)
                .unwrap_or_else(|error| panic!("a network namespace takes root and CAP_SYS_ADMIN: {error}"));
            let namespace = File::open("/proc/thread-self/ns/net").unwrap();
            let device = device::create();
            let name = device::NAME;
            for arguments in [
                "link set lo up".to_owned(),
                format!("address add {address}/24 dev {name}"),
                format!("link set {name} up mtu 1500 txqueuelen 10000"),
            ] {
                let ip = Command::new("ip").args(arguments.split(' ')).output();
                let ip = ip.unwrap_or_else(|error| panic!("ip: {error}; install it with: apt-get install iproute2"));
                assert!(ip.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&ip.stderr));
            }
            made.send((namespace, device)).unwrap();
            tasks.into_iter().for_each(|task| task());
        });
        let (namespace, device) = parts.recv().expect("a host is made");
        (Host { address, namespace, starter }, device)
    }

    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Moves this thread to the host. Threads and processes that it starts from then on are there, too.
    pub fn enter(&self) {
        setns(&self.namespace, CloneFlags::CLONE_NEWNET).unwrap();
    }

    /// Runs `task` in the thread of the host and returns its result.
    pub fn run<T: Send + 'static>(&self, task: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = channel();
        self.starter.send(Box::new(move || drop(done.send(task())))).unwrap();
        result.recv().expect("the task ended")
    }

    /// Starts a process on the host, which ends with the host.
    pub(super) fn spawn(&self, mut command: Command) -> Process {
        self.run(move || Process::spawn(&mut command))
    }
}

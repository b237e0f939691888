//! Child processes that end with the test process, however it ends.

use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::sync::{LazyLock, Mutex, PoisonError};

use crate::server::Process;

type Task = Box<dyn FnOnce() + Send>;

/// Thread that starts the child processes and lives as long as this process. The kernel ends a child with the thread
/// that started it, and a test's own thread ends with the test.
static STARTER: LazyLock<Mutex<Sender<Task>>> = LazyLock::new(|| {
    let (sender, tasks) = channel::<Task>();
    std::thread::spawn(move || tasks.into_iter().for_each(|task| task()));
    Mutex::new(sender)
});

/// Starts `program` with `arguments`.
pub fn start(program: &str, arguments: &[String]) -> Process {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", program]).args(arguments);
    let (started, process) = channel();
    let task = Box::new(move || started.send(Process::start(&mut command)).unwrap());
    STARTER.lock().unwrap_or_else(PoisonError::into_inner).send(task).unwrap();
    process.recv().unwrap()
}

//! Processes that end with the test process, however that ends.

use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::sync::{LazyLock, Mutex, PoisonError};

use crate::server::Process;

type Errand = Box<dyn FnOnce() + Send>;

/// The kernel ends a leashed process with the thread that started it, and a test's thread ends with the test.
/// This thread lives as long as the process.
static STARTER: LazyLock<Mutex<Sender<Errand>>> = LazyLock::new(|| {
    let (sender, errands) = channel::<Errand>();
    std::thread::spawn(move || errands.into_iter().for_each(|errand| errand()));
    Mutex::new(sender)
});

/// Starts `program` with `arguments`.
pub fn start(program: &str, arguments: &[String]) -> Process {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", program]).args(arguments);
    let (started, process) = channel();
    let errand = Box::new(move || started.send(Process::start(&mut command)).unwrap());
    STARTER.lock().unwrap_or_else(PoisonError::into_inner).send(errand).unwrap();
    process.recv().unwrap()
}

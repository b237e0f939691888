//! Messages to the service manager that started the process (`sd_notify(3)`), if it wants any.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::config::Variables;

/// How often a long start is reported to be alive: a fraction of any sensible `WatchdogSec=`.
const STEP: Duration = Duration::from_secs(2);

/// The socket of the service manager. Without one, messages go nowhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notifier {
    socket: Option<String>,
}

impl Notifier {
    /// Reads `NOTIFY_SOCKET`, which is systemd's and no setting.
    pub fn read(variables: &Variables) -> Notifier {
        Notifier { socket: variables.get("NOTIFY_SOCKET").filter(|path| !path.is_empty()).cloned() }
    }

    /// Reports that the process is alive (`WATCHDOG=1`). Does not wait: a manager that does not read loses the message.
    pub fn alive(&self) {
        let Some(path) = &self.socket else { return };
        // A message that cannot be sent is missed by the manager, whose watchdog acts then.
        let _ = UnixDatagram::unbound().and_then(|socket| {
            socket.set_nonblocking(true)?;
            // A name that begins with `@` is in the abstract namespace.
            let address = match path.strip_prefix('@') {
                Some(name) => SocketAddr::from_abstract_name(name)?,
                None => SocketAddr::from_pathname(path)?,
            };
            socket.send_to_addr(b"WATCHDOG=1", &address)
        });
    }

    /// Waits for `step` of a start, which takes as long as it takes, and reports meanwhile that the process is alive.
    pub async fn alive_during<T>(&self, step: impl Future<Output = T>) -> T {
        let mut step = std::pin::pin!(step);
        loop {
            self.alive();
            if let Ok(done) = tokio::time::timeout(STEP, &mut step).await {
                return done;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notifier(path: &str) -> Notifier {
        Notifier::read(&[("NOTIFY_SOCKET".to_owned(), path.to_owned())].into_iter().collect())
    }

    fn received(manager: &UnixDatagram) -> String {
        let mut message = [0; 64];
        let len = manager.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..len]).into_owned()
    }

    #[test]
    fn message_reaches_a_socket_with_a_path_and_one_with_an_abstract_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        notifier(path.to_str().unwrap()).alive();
        assert_eq!(received(&manager), "WATCHDOG=1");
        let name = format!("tern-test-{}", std::process::id());
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        notifier(&format!("@{name}")).alive();
        assert_eq!(received(&manager), "WATCHDOG=1");
    }

    #[test]
    fn message_without_a_manager_goes_nowhere() {
        for notifier in [notifier(""), notifier("/nowhere/notify"), Notifier::default()] {
            notifier.alive();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn long_start_is_reported_to_be_alive_until_it_ends() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let step = async {
            tokio::time::sleep(3 * STEP).await;
            7
        };
        assert_eq!(notifier(path.to_str().unwrap()).alive_during(step).await, 7);
        for _ in 0..3 {
            assert_eq!(received(&manager), "WATCHDOG=1");
        }
    }
}

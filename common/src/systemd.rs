//! Notifications to the service manager that started the process (`sd_notify(3)`).

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::config::Variables;

/// The interval of watchdog notifications during a long start. It is a fraction of any sensible `WatchdogSec=`.
const ALIVE_INTERVAL: Duration = Duration::from_secs(2);

/// A sender of notifications to the service manager. Without a socket it sends nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notifier {
    socket: Option<String>,
}

impl Notifier {
    /// Reads `NOTIFY_SOCKET`, which systemd sets. It is not a setting of Tern.
    pub fn read(variables: &Variables) -> Notifier {
        Notifier { socket: variables.get("NOTIFY_SOCKET").filter(|path| !path.is_empty()).cloned() }
    }

    /// Reports that the process is alive (`WATCHDOG=1`). Does not block: a full socket loses the notification.
    pub fn alive(&self) {
        let Some(path) = &self.socket else { return };
        // The manager's watchdog acts if notifications do not arrive.
        let _ = UnixDatagram::unbound().and_then(|socket| {
            socket.set_nonblocking(true)?;
            // A leading `@` means the abstract namespace.
            let address = match path.strip_prefix('@') {
                Some(name) => SocketAddr::from_abstract_name(name)?,
                None => SocketAddr::from_pathname(path)?,
            };
            socket.send_to_addr(b"WATCHDOG=1", &address)
        });
    }

    /// Waits for `step` without a limit, and reports in the meantime that the process is alive.
    pub async fn alive_during<T>(&self, step: impl Future<Output = T>) -> T {
        let mut step = std::pin::pin!(step);
        loop {
            self.alive();
            if let Ok(done) = tokio::time::timeout(ALIVE_INTERVAL, &mut step).await {
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
    fn notification_to_a_path_or_an_abstract_name_is_received() {
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
    fn notification_without_a_manager_is_dropped() {
        for notifier in [notifier(""), notifier("/nowhere/notify"), Notifier::default()] {
            notifier.alive();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn long_start_sends_notifications_until_it_ends() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let step = async {
            tokio::time::sleep(3 * ALIVE_INTERVAL).await;
            7
        };
        assert_eq!(notifier(path.to_str().unwrap()).alive_during(step).await, 7);
        for _ in 0..3 {
            assert_eq!(received(&manager), "WATCHDOG=1");
        }
    }
}

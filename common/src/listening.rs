//! Listening on a port, with errors that name the remedy.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use anyhow::anyhow;
use tokio::net::TcpListener;

/// Listens on an address, and returns it with the actual port. `settings` are the settings that choose the address.
///
/// # Errors
/// When the address cannot be used. The error is the message of [`refusal`].
pub async fn listen(address: SocketAddr, settings: &str) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listening = async {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    listening.await.map_err(|error| anyhow!(refusal(address, settings, &error)))
}

/// Returns a message for the operator why listening on an address failed. `settings` are the settings that choose it.
pub fn refusal(address: SocketAddr, settings: &str, error: &io::Error) -> String {
    let why = match error.kind() {
        ErrorKind::AddrInUse => {
            format!("the port is in use; stop the program that listens there, or set another port ({settings})")
        }
        ErrorKind::PermissionDenied => {
            format!(
                "this user may not use the port; set one above 1023 ({settings}), or give the process CAP_NET_BIND_SERVICE"
            )
        }
        ErrorKind::AddrNotAvailable => {
            format!(
                "this machine does not have the address; set one of its own, or 0.0.0.0 for all of them ({settings})"
            )
        }
        _ => format!("{error} ({settings})"),
    };
    format!("cannot listen on {address}: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_names_address_reason_and_setting() {
        let check = |kind: ErrorKind, expected: &str| {
            let text = refusal(SocketAddr::from(([127, 0, 0, 1], 80)), "APP_PORT", &kind.into());
            assert!(text.starts_with("cannot listen on 127.0.0.1:80: ") && text.contains("APP_PORT"), "{text}");
            assert!(text.contains(expected), "{text}");
        };
        check(ErrorKind::AddrInUse, "in use");
        check(ErrorKind::PermissionDenied, "above 1023");
        check(ErrorKind::AddrNotAvailable, "0.0.0.0");
        check(ErrorKind::OutOfMemory, "out of memory");
    }
}

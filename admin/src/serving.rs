//! Serving a router on a socket until told to stop.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long requests that are under way have when the process is told to end.
const DRAIN: Duration = Duration::from_secs(5);

/// A router that is being served.
#[derive(Debug)]
pub struct Serving {
    stop: oneshot::Sender<()>,
    task: JoinHandle<io::Result<()>>,
}

impl Serving {
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(listener: TcpListener, router: Router) -> Serving {
        let listener = listener.tap_io(|stream| {
            // Answers are small and whole; without it they would wait for the acknowledgement of the last one.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY");
            }
        });
        let (stop, stops) = oneshot::channel();
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let serving = axum::serve(listener, service).with_graceful_shutdown(async {
            // A sender that is gone stops it as well.
            let _ = stops.await;
        });
        Serving { stop, task: tokio::spawn(serving.into_future()) }
    }

    /// Waits for what should not happen: that it ends by itself.
    pub async fn ended(&mut self) -> anyhow::Error {
        match (&mut self.task).await {
            Ok(Ok(())) => anyhow::anyhow!("the API ended by itself"),
            Ok(Err(error)) => anyhow::Error::new(error).context("the API ended by itself"),
            Err(error) => anyhow::Error::new(error).context("the API ended by itself"),
        }
    }

    /// Stops accepting and finishes what is under way; false if that took too long and was cut.
    pub async fn drain(self) -> bool {
        let Serving { stop, mut task } = self;
        let _ = stop.send(());
        let is_drained = tokio::time::timeout(DRAIN, &mut task).await.is_ok();
        task.abort();
        is_drained
    }
}

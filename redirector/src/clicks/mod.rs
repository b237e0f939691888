//! Clicks on their way to the store.
//!
//! A worker records each answered redirect into a bounded queue, without a lock, an allocation or a system call;
//! the shipper takes them out in batches. Full means that the newest click is dropped, and counted.

mod shipper;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use crossbeam_queue::ArrayQueue;
use tern_common::{Click, ShortCode, TargetUrl};

use crate::link_map::LinkView;
use crate::metrics::{ClickMetrics, Drop};
pub use shipper::Shipper;

/// How many clicks may wait: at 10,000 a second the store may be away for 26 seconds.
/// Each takes 32 bytes, whether it is used or not.
pub const DEFAULT_CAPACITY: usize = 1 << 18;

/// What both ends share.
#[derive(Debug)]
struct Queue {
    waiting: ArrayQueue<Click>,
    /// Clicks that the shipper took and the store has not. Written by the shipper, read for the metrics.
    in_hand: AtomicUsize,
}

impl Queue {
    fn pending(&self) -> usize {
        self.waiting.len() + self.in_hand.load(Ordering::Relaxed)
    }
}

/// The workers' end.
#[derive(Debug)]
pub struct Recorder {
    queue: Arc<Queue>,
    metrics: ClickMetrics,
}

/// Both ends of a queue for `capacity` clicks.
pub fn queue(capacity: usize, metrics: ClickMetrics) -> (Recorder, Shipper) {
    let queue = Arc::new(Queue { waiting: ArrayQueue::new(capacity), in_hand: AtomicUsize::new(0) });
    let shipper = Shipper::new(Arc::clone(&queue), metrics.clone());
    (Recorder { queue, metrics }, shipper)
}

impl Recorder {
    /// Records one redirect. Called before its answer is handed to the socket.
    pub fn record(&self, link: LinkView<'_>, at: SystemTime) {
        self.metrics.accepted.inc();
        let click = Click {
            url_id: link.url_id,
            owner_id: link.owner_id,
            short_code: ShortCode::parse(link.code).expect("the map holds checked codes"),
            target: TargetUrl::parse(link.original_url()).expect("the map holds checked targets"),
            at,
        };
        if self.queue.waiting.push(click).is_err() {
            self.metrics.dropped(Drop::QueueFull, 1);
        }
    }

    /// How many clicks are recorded and not yet in the store.
    pub fn pending(&self) -> usize {
        self.queue.pending()
    }
}

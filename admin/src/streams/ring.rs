//! The last clicks in memory, as the text that listeners receive.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::body::Bytes;
use tern_common::Id;
use tern_common::event::{Event, EventFilter};
use tern_common::json::WriteJson as _;

/// The text of clicks in memory. A listener that is further behind misses clicks.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// Clicks of one read, by id.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The id up to which the batch has every click.
    pub(crate) up_to: i64,
    text: Bytes,
    clicks: Vec<Frame>,
}

/// A click in the text of its batch.
#[derive(Debug)]
struct Frame {
    id: i64,
    url_id: Id,
    user_id: Id,
    end: usize,
}

/// The last batches. Together they have every click between two ids.
#[derive(Debug)]
pub(crate) struct Ring {
    /// The id after which the ring has every click.
    pub(crate) after: i64,
    batches: VecDeque<Arc<Batch>>,
    bytes: usize,
}

impl Batch {
    pub(crate) fn new(clicks: &[Event], up_to: i64) -> Batch {
        let mut text = Vec::new();
        let frame = |click: &Event| {
            write_click(click, &mut text);
            Frame { id: click.id.get(), url_id: click.url_id, user_id: click.user_id, end: text.len() }
        };
        let clicks = clicks.iter().map(frame).collect();
        Batch { up_to, text: text.into(), clicks }
    }

    /// Returns the text of the clicks after an id that match a filter.
    pub(crate) fn text(&self, filter: &EventFilter, after: i64) -> Bytes {
        let is_wanted = |click: &Frame| {
            click.id > after
                && filter.url_id.is_none_or(|id| id == click.url_id)
                && filter.user_id.is_none_or(|id| id == click.user_id)
        };
        if self.clicks.iter().all(is_wanted) {
            return self.text.clone();
        }
        let mut wanted = Vec::new();
        let mut begin = 0;
        for click in &self.clicks {
            if is_wanted(click) {
                wanted.extend_from_slice(&self.text[begin..click.end]);
            }
            begin = click.end;
        }
        wanted.into()
    }
}

/// Appends a click as a server-sent event.
pub(crate) fn write_click(click: &Event, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("event: click\nid: {}\ndata: ", click.id).as_bytes());
    write_line(click, out);
    out.extend_from_slice(b"\n\n");
}

/// Appends an event as JSON on one line. A line break in JSON is white space between its tokens.
pub(crate) fn write_line(event: &Event, out: &mut Vec<u8>) {
    let begin = out.len();
    event.write_json(out);
    out[begin..].iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
}

impl Ring {
    /// Returns an empty ring, which has every click after an id as long as there is none.
    pub(crate) fn empty(after: i64) -> Ring {
        Ring { after, batches: VecDeque::new(), bytes: 0 }
    }

    pub(crate) fn push(&mut self, batch: Batch) {
        self.bytes += batch.text.len();
        self.batches.push_back(Arc::new(batch));
        while self.bytes > MAX_BYTES && self.batches.len() > 1 {
            let Some(oldest) = self.batches.pop_front() else { return };
            self.bytes -= oldest.text.len();
            self.after = oldest.up_to;
        }
    }

    /// Returns the first batch with clicks after an id.
    pub(crate) fn find(&self, after: i64) -> Option<Arc<Batch>> {
        let next = self.batches.partition_point(|batch| batch.up_to <= after);
        self.batches.get(next).cloned()
    }
}

#[cfg(test)]
mod tests {
    use tern_common::Timestamp;
    use tern_common::event::Details;

    use super::*;

    fn click(id: i64, url: i64, details: &str) -> Event {
        Event {
            id: Id::new(id).unwrap(),
            url_id: Id::new(url).unwrap(),
            user_id: Id::new(1).unwrap(),
            event_type: "clicked".to_owned(),
            timestamp: Timestamp::from_unix_seconds(0),
            details: Details::parse(details).unwrap(),
        }
    }

    fn ids(text: &[u8]) -> Vec<i64> {
        let lines = std::str::from_utf8(text).unwrap().lines();
        lines.filter_map(|line| line.strip_prefix("id: ")).map(|id| id.parse().unwrap()).collect()
    }

    #[test]
    fn click_with_line_breaks_in_its_details_is_one_line_of_data() {
        let mut out = Vec::new();
        write_click(&click(7, 2, "{\"a\":\r\n\"b\\nc\"}"), &mut out);
        let expected = "event: click\nid: 7\ndata: {\"id\":7,\"url_id\":2,\"user_id\":1,\"event_type\":\"clicked\",\
                        \"timestamp\":\"1970-01-01T00:00:00\",\"details\":{\"a\":  \"b\\nc\"}}\n\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn batch_returns_the_clicks_of_a_filter_after_an_id() {
        let batch = Batch::new(&[click(3, 1, "{}"), click(5, 2, "{}"), click(6, 1, "{}")], 8);
        let find = |url: Option<i64>, after| {
            let filter = EventFilter { url_id: url.and_then(Id::new), ..EventFilter::default() };
            ids(&batch.text(&filter, after))
        };
        assert_eq!(find(None, 0), [3, 5, 6]);
        assert_eq!(find(None, 3), [5, 6]);
        assert_eq!(find(Some(1), 0), [3, 6]);
        assert_eq!(find(Some(2), 5), [0_i64; 0]);
        let stranger = EventFilter { user_id: Id::new(9), ..EventFilter::default() };
        assert_eq!(batch.text(&stranger, 0), "");
    }

    #[test]
    fn ring_forgets_its_oldest_batches_beyond_its_size() {
        let mut ring = Ring::empty(10);
        let details = format!("{{\"x\":\"{}\"}}", "x".repeat(15_000));
        for id in 11..=1_500 {
            ring.push(Batch::new(&[click(id, 1, &details)], id));
            assert!(ring.bytes <= MAX_BYTES);
        }
        assert!(ring.after > 900 && ring.after < 1_000, "{}", ring.after);
        assert_eq!(ring.find(ring.after).unwrap().up_to, ring.after + 1);
        assert_eq!(ring.find(1_499).unwrap().up_to, 1_500);
        assert!(ring.find(1_500).is_none());
    }
}

//! A client that publishes on Tern's channels without being a part of Tern.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tern_testkit::redis::Redis;

/// Channels of the bus.
pub const CHANNELS: [&str; 2] = ["tern:v1:invalidations", "tern:v2:progress"];

/// Number of messages in a batch; the replies to a batch are read before the next one is sent.
const BATCH: usize = 5000;

/// Connection to Redis that publishes forged messages.
#[derive(Debug)]
pub struct Forger(TcpStream);

/// Repeated publication of messages in the background.
#[derive(Debug)]
pub struct Forgery {
    ended: Arc<AtomicBool>,
    published: JoinHandle<usize>,
}

impl Forgery {
    /// Ends the publication and returns the number of messages.
    pub fn end(self) -> usize {
        self.ended.store(true, Ordering::Relaxed);
        self.published.join().unwrap()
    }
}

/// Result of a flood.
#[derive(Clone, Copy, Debug)]
pub struct Flood {
    /// Number of messages that Redis accepted.
    pub messages: usize,
    pub time: Duration,
}

impl Flood {
    #[expect(clippy::cast_precision_loss, reason = "a rate to be printed")]
    pub fn per_second(&self) -> f64 {
        self.messages as f64 / self.time.as_secs_f64()
    }
}

impl Forger {
    pub fn new(redis: &Redis) -> Forger {
        Forger(TcpStream::connect(("127.0.0.1", redis.port())).unwrap())
    }

    /// Publishes messages repeatedly is_over the returned value is ended.
    pub fn repeat(mut self, messages: Vec<(&'static str, Vec<u8>)>) -> Forgery {
        let commands: Vec<u8> = messages.iter().flat_map(|(channel, message)| publication(channel, message)).collect();
        let ended = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&ended);
        let published = std::thread::spawn(move || {
            let mut published = 0;
            while !is_over.load(Ordering::Relaxed) {
                self.send(&commands, messages.len());
                published += messages.len();
            }
            published
        });
        Forgery { ended, published }
    }

    /// Publishes nonsense, hints and announcements for `time`, as fast as Redis accepts them.
    pub fn flood(mut self, time: Duration) -> JoinHandle<Flood> {
        let forged = ["invalidation", "", "nonsense", "applied x y", "\u{0}\u{1}"];
        let one_each = forged.map(|message| publication(CHANNELS[0], message.as_bytes())).concat();
        let batch = one_each.repeat(BATCH / forged.len());
        std::thread::spawn(move || {
            let (began, mut messages) = (Instant::now(), 0);
            while began.elapsed() < time {
                self.send(&batch, BATCH);
                messages += BATCH;
            }
            Flood { messages, time: began.elapsed() }
        })
    }

    fn send(&mut self, commands: &[u8], answers: usize) {
        let (mut input, mut output) = (&self.0, &self.0);
        std::thread::scope(|scope| {
            scope.spawn(move || output.write_all(commands).unwrap());
            let mut missing = answers;
            let mut buffer = [0; 64 * 1024];
            while missing > 0 {
                let read = input.read(&mut buffer).unwrap();
                assert!(read > 0, "Redis closed the connection");
                // Each reply is a line with the number of receivers.
                missing -= buffer[..read].iter().filter(|&&byte| byte == b'\n').count();
            }
        });
    }
}

fn publication(channel: &str, message: &[u8]) -> Vec<u8> {
    let head = format!("*3\r\n$7\r\nPUBLISH\r\n${}\r\n{channel}\r\n${}\r\n", channel.len(), message.len());
    [head.as_bytes(), message, b"\r\n"].concat()
}

/// Recorder of every message on the bus.
#[derive(Debug)]
pub struct BusListener {
    stream: TcpStream,
    received: JoinHandle<Vec<u8>>,
}

impl BusListener {
    pub fn new(redis: &Redis) -> BusListener {
        let mut stream = TcpStream::connect(("127.0.0.1", redis.port())).unwrap();
        stream.write_all(b"PSUBSCRIBE tern:v*\r\n").unwrap();
        let mut input = stream.try_clone().unwrap();
        // The confirmation of the subscription.
        let mut confirmation = [0; "*3\r\n$10\r\npsubscribe\r\n$7\r\ntern:v*\r\n:1\r\n".len()];
        input.read_exact(&mut confirmation).unwrap();
        let received = std::thread::spawn(move || {
            let mut received = Vec::new();
            // The read ends with an error if the connection was closed within a message.
            let _ = input.read_to_end(&mut received);
            received
        });
        BusListener { stream, received }
    }

    /// Ends the recording; returns the messages in their order, each with its channel.
    pub fn end(self) -> Vec<(&'static str, Vec<u8>)> {
        self.stream.shutdown(std::net::Shutdown::Both).unwrap();
        let received = String::from_utf8(self.received.join().unwrap()).unwrap();
        let lines: Vec<&str> = received.split("\r\n").collect();
        // Of each nine lines the seventh is the channel and the ninth the message.
        let messages = lines.chunks_exact(9).map(|lines| {
            let channel = CHANNELS.into_iter().find(|channel| *channel == lines[6]).unwrap();
            (channel, lines[8].as_bytes().to_vec())
        });
        messages.collect()
    }
}

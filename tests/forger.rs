//! Somebody who writes to Tern's channels and is no part of it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tern_testkit::redis::Redis;

/// The channels of the bus.
pub const CHANNELS: [&str; 2] = ["tern:v1:invalidations", "tern:v2:progress"];

/// Messages are sent in batches, and a batch is answered before the next one is sent.
const BATCH: usize = 5000;

/// A connection to Redis that publishes what it likes.
#[derive(Debug)]
pub struct Forger(TcpStream);

/// Messages that are being published.
#[derive(Debug)]
pub struct Forgery {
    ended: Arc<AtomicBool>,
    published: JoinHandle<usize>,
}

impl Forgery {
    /// How many there were.
    pub fn end(self) -> usize {
        self.ended.store(true, Ordering::Relaxed);
        self.published.join().unwrap()
    }
}

/// What a flood came to.
#[derive(Clone, Copy, Debug)]
pub struct Flood {
    /// Messages that Redis took.
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

    /// Publishes these messages over and over until it is told to end.
    pub fn repeat(mut self, messages: Vec<(&'static str, Vec<u8>)>) -> Forgery {
        let commands: Vec<u8> = messages.iter().flat_map(|(channel, message)| publication(channel, message)).collect();
        let ended = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&ended);
        let published = std::thread::spawn(move || {
            let mut published = 0;
            while !until.load(Ordering::Relaxed) {
                self.send(&commands, messages.len());
                published += messages.len();
            }
            published
        });
        Forgery { ended, published }
    }

    /// Publishes nonsense, hints and announcements for a while, as fast as Redis takes them.
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
                // Each answer is a line, the number of those who heard the message.
                missing -= buffer[..read].iter().filter(|&&byte| byte == b'\n').count();
            }
        });
    }
}

fn publication(channel: &str, message: &[u8]) -> Vec<u8> {
    let head = format!("*3\r\n$7\r\nPUBLISH\r\n${}\r\n{channel}\r\n${}\r\n", channel.len(), message.len());
    [head.as_bytes(), message, b"\r\n"].concat()
}

/// Everything that the planes say on the bus until it is told to end.
#[derive(Debug)]
pub struct Eavesdropper {
    stream: TcpStream,
    heard: JoinHandle<Vec<u8>>,
}

impl Eavesdropper {
    pub fn new(redis: &Redis) -> Eavesdropper {
        let mut stream = TcpStream::connect(("127.0.0.1", redis.port())).unwrap();
        stream.write_all(b"PSUBSCRIBE tern:v*\r\n").unwrap();
        let mut input = stream.try_clone().unwrap();
        // The confirmation.
        let mut confirmation = [0; "*3\r\n$10\r\npsubscribe\r\n$7\r\ntern:v*\r\n:1\r\n".len()];
        input.read_exact(&mut confirmation).unwrap();
        let heard = std::thread::spawn(move || {
            let mut heard = Vec::new();
            // Ends with an error when the other side was closed in the middle of something.
            let _ = input.read_to_end(&mut heard);
            heard
        });
        Eavesdropper { stream, heard }
    }

    /// The messages, in the order in which they were sent, each with its channel.
    pub fn end(self) -> Vec<(&'static str, Vec<u8>)> {
        self.stream.shutdown(std::net::Shutdown::Both).unwrap();
        let heard = String::from_utf8(self.heard.join().unwrap()).unwrap();
        let lines: Vec<&str> = heard.split("\r\n").collect();
        // Of each nine lines the seventh is the channel and the ninth the message.
        let messages = lines.chunks_exact(9).map(|lines| {
            let channel = CHANNELS.into_iter().find(|channel| *channel == lines[6]).unwrap();
            (channel, lines[8].as_bytes().to_vec())
        });
        messages.collect()
    }
}

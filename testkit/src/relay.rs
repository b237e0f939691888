//! A TCP relay on loopback that can stall without closing, as a cut cable does, and can change its destination.
//!
//! A relay with a delay stands for a long way: each direction delivers bytes in order, and each byte that time later.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes that are read at once.
const CHUNK: usize = 64 * 1024;

/// Chunks on their way in one direction of a connection: at most 16 MiB. Then the sender waits, as for a full window.
const ON_THE_WAY: usize = 256;

/// Direction whose bytes are withheld.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stall {
    /// From clients to the server.
    ToServer,
    /// From the server to clients.
    ToClient,
    Both,
}

/// Relay that forwards every connection wait_until it is dropped.
#[derive(Debug)]
pub struct Relay {
    port: u16,
    shared: Arc<RelayState>,
}

#[derive(Debug)]
struct RelayState {
    /// Time that each byte takes, in either direction.
    delay: Duration,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// Port to which connections are forwarded.
    server: u16,
    stall: Option<Stall>,
    ended: bool,
    accepted: usize,
    /// Bytes carried in both directions.
    carried: usize,
    /// Sockets of both ends of each connection, to cut them.
    sockets: Vec<TcpStream>,
}

impl Relay {
    /// Starts a relay to `port` on this machine.
    pub fn to(port: u16) -> Relay {
        Relay::delayed(port, Duration::ZERO)
    }

    /// Starts a relay to `port` on this machine whose bytes arrive `delay` later, in either direction.
    /// A new connection takes a round trip before its first byte leaves, as the handshake of TCP does.
    pub fn delayed(port: u16, delay: Duration) -> Relay {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let state = State { server: port, stall: None, ended: false, accepted: 0, carried: 0, sockets: Vec::new() };
        let shared = Arc::new(RelayState { delay, state: Mutex::new(state), changed: Condvar::new() });
        let relay = Relay { port: listener.local_addr().unwrap().port(), shared: Arc::clone(&shared) };
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let server = {
                    let state = shared.lock();
                    if state.ended {
                        return;
                    }
                    SocketAddr::from((Ipv4Addr::LOCALHOST, state.server))
                };
                // If the client is gone or the server is down, the connection closes.
                if let (Ok(client), Ok(server)) = (client, TcpStream::connect(server)) {
                    forward(&shared, client, server);
                }
            }
        });
        relay
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Withholds bytes from now on, also on new connections. Nothing is closed.
    pub fn stall(&self, stall: Stall) {
        self.shared.lock().stall = Some(stall);
    }

    /// Forwards bytes again, the withheld ones first.
    pub fn resume(&self) {
        self.shared.lock().stall = None;
        self.shared.changed.notify_all();
    }

    /// Forwards to another port from now on, as an address that moves to another machine does. Open connections are
    /// closed.
    pub fn forward_to(&self, port: u16) {
        self.shared.lock().server = port;
        self.cut();
    }

    /// Closes every connection; new ones are accepted.
    pub fn cut(&self) {
        for socket in self.shared.lock().sockets.drain(..) {
            // Fails only if the socket is already closed.
            let _ = socket.shutdown(Shutdown::Both);
        }
        self.shared.changed.notify_all();
    }

    /// Returns the number of connections forwarded so far.
    pub fn accepted(&self) -> usize {
        self.shared.lock().accepted
    }

    /// Returns the number of bytes carried so far, in both directions.
    pub fn carried(&self) -> usize {
        self.shared.lock().carried
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.cut();
        // Wakes the listener, so that it sees the end.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl RelayState {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while bytes in the direction `to` are withheld.
    fn wait_to_send(&self, to: Stall) {
        let is_withheld = |state: &mut State| !state.ended && state.stall.is_some_and(|s| s == Stall::Both || s == to);
        drop(self.changed.wait_while(self.lock(), is_withheld).unwrap_or_else(PoisonError::into_inner));
    }
}

fn forward(shared: &Arc<RelayState>, client: TcpStream, server: TcpStream) {
    for socket in [&client, &server] {
        // A closed socket has no options; its pump notices the end.
        let _ = socket.set_nodelay(true);
    }
    {
        let mut state = shared.lock();
        state.accepted += 1;
        state.sockets.extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
    }
    let (client_reader, server_reader) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    for (from, to, direction) in [(client_reader, server, Stall::ToServer), (server_reader, client, Stall::ToClient)] {
        let (sender, chunks) = sync_channel(ON_THE_WAY);
        let (reader_state, writer_state) = (Arc::clone(shared), Arc::clone(shared));
        let open_from = Instant::now() + 2 * shared.delay;
        std::thread::spawn(move || read(from, &sender, open_from, reader_state.delay));
        std::thread::spawn(move || write(&writer_state, &chunks, to, direction));
    }
}

/// Bytes, and the time at which they arrive. No bytes are the end of the stream.
type Chunk = (Instant, Vec<u8>);

/// Reads until the end of the stream. What arrives before `open_from` leaves then.
fn read(mut from: TcpStream, chunks: &SyncSender<Chunk>, open_from: Instant, delay: Duration) {
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = from.read(&mut buffer).unwrap_or(0);
        let bytes = buffer[..read].to_vec();
        let is_end = bytes.is_empty();
        if chunks.send((Instant::now().max(open_from) + delay, bytes)).is_err() || is_end {
            // Fails only if it is already closed.
            let _ = from.shutdown(Shutdown::Read);
            return;
        }
    }
}

fn write(shared: &RelayState, chunks: &Receiver<Chunk>, mut to: TcpStream, direction: Stall) {
    while let Ok((at, bytes)) = chunks.recv() {
        wait_until(at);
        // The end of a stream is withheld as well.
        shared.wait_to_send(direction);
        shared.lock().carried += bytes.len();
        if bytes.is_empty() || to.write_all(&bytes).is_err() {
            break;
        }
    }
    // Fails only if it is already closed.
    let _ = to.shutdown(Shutdown::Both);
}

#[expect(clippy::disallowed_methods, reason = "the relay has threads of its own")]
fn wait_until(at: Instant) {
    std::thread::sleep(at.saturating_duration_since(Instant::now()));
}

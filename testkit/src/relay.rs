//! A TCP relay on loopback that can fall silent without closing, as a cut cable does, and change where it leads.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Which bytes are held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stall {
    /// What clients send does not arrive.
    ToServer,
    /// What the server sends does not arrive.
    ToClient,
    Both,
}

/// Forwards every connection until it is dropped.
#[derive(Debug)]
pub struct Relay {
    port: u16,
    shared: Arc<RelayState>,
}

#[derive(Debug)]
struct RelayState {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// Where connections are forwarded to.
    server: u16,
    stalled: Option<Stall>,
    ended: bool,
    accepted: usize,
    /// Both ends of each connection, to cut them.
    sockets: Vec<TcpStream>,
}

impl Relay {
    /// A relay to `port` on this machine.
    pub fn to(port: u16) -> Relay {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let state = State { server: port, stalled: None, ended: false, accepted: 0, sockets: Vec::new() };
        let shared = Arc::new(RelayState { state: Mutex::new(state), changed: Condvar::new() });
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
                // A client that is gone already, or a server that is away: the connection closes.
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

    /// Holds bytes back from now on, on connections to come as well. Nothing is closed.
    pub fn stall(&self, stall: Stall) {
        self.shared.lock().stalled = Some(stall);
    }

    /// Lets bytes go on, those held back first.
    pub fn resume(&self) {
        self.shared.lock().stalled = None;
        self.shared.changed.notify_all();
    }

    /// Leads to another port from now on, as an address does that moves to another machine: what stands is closed.
    pub fn lead_to(&self, port: u16) {
        self.shared.lock().server = port;
        self.cut();
    }

    /// Closes every connection; new ones are welcome.
    pub fn cut(&self) {
        for socket in self.shared.lock().sockets.drain(..) {
            // Fails only when it is closed already.
            let _ = socket.shutdown(Shutdown::Both);
        }
        self.shared.changed.notify_all();
    }

    /// How many connections were forwarded so far.
    pub fn accepted(&self) -> usize {
        self.shared.lock().accepted
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

    /// Waits while bytes in the direction of `to` are held back.
    fn wait_to_send(&self, to: Stall) {
        let held = |state: &mut State| !state.ended && state.stalled.is_some_and(|s| s == Stall::Both || s == to);
        drop(self.changed.wait_while(self.lock(), held).unwrap_or_else(PoisonError::into_inner));
    }
}

fn forward(shared: &Arc<RelayState>, client: TcpStream, server: TcpStream) {
    for socket in [&client, &server] {
        // One that is closed already has no options, and is found out by its pump.
        let _ = socket.set_nodelay(true);
    }
    {
        let mut state = shared.lock();
        state.accepted += 1;
        state.sockets.extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
    }
    let (client_reader, server_reader) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    for (from, to, direction) in [(client_reader, server, Stall::ToServer), (server_reader, client, Stall::ToClient)] {
        let shared = Arc::clone(shared);
        std::thread::spawn(move || pump(&shared, from, to, direction));
    }
}

fn pump(shared: &RelayState, mut from: TcpStream, mut to: TcpStream, direction: Stall) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).unwrap_or(0);
        // The news that one end has closed is held back as well.
        shared.wait_to_send(direction);
        if read == 0 || to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // Fail only when they are closed already.
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

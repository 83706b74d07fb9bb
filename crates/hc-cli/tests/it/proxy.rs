//! A stretch of network between a reader and a server that can be held up, cut and led elsewhere.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

pub(crate) struct Proxy {
    pub(crate) address: String,
    way: Arc<Way>,
}

struct Way {
    server: Mutex<String>,
    /// Bytes that each connection may bring before it is held up.
    limit: AtomicU64,
    /// Connections that are cut instead of being held up.
    cuts: AtomicUsize,
    connections: AtomicUsize,
}

impl Proxy {
    /// Holds each connection up after so many bytes from the server.
    pub(crate) fn new(server: &str, limit: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let way = Arc::new(Way {
            server: Mutex::new(server.to_owned()),
            limit: AtomicU64::new(limit),
            cuts: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
        });
        let shared = way.clone();
        thread::spawn(move || {
            for reader in listener.incoming() {
                let way = shared.clone();
                thread::spawn(move || way.carry(&reader.unwrap()));
            }
        });
        Self { address, way }
    }

    /// Cuts so many connections at the limit; those after them have none.
    pub(crate) fn cut(self, connections: usize) -> Self {
        self.way.cuts.store(connections, Ordering::SeqCst);
        self
    }

    pub(crate) fn lead_to(&self, server: &str) {
        *self.way.server.lock().unwrap() = server.to_owned();
    }

    pub(crate) fn lift(&self) {
        self.way.limit.store(u64::MAX, Ordering::SeqCst);
    }

    pub(crate) fn connections(&self) -> usize {
        self.way.connections.load(Ordering::SeqCst)
    }
}

impl Way {
    fn carry(&self, reader: &TcpStream) {
        self.connections.fetch_add(1, Ordering::SeqCst);
        let address = self.server.lock().unwrap().clone();
        let Ok(server) = TcpStream::connect(address) else {
            return;
        };
        let (mut from, mut to) = (reader.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        });
        // Either side may be gone at any time.
        let _ = self.bring(&server, reader);
        let _ = reader.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
    }

    fn bring(&self, mut server: &TcpStream, mut reader: &TcpStream) -> io::Result<()> {
        server.set_read_timeout(Some(Duration::from_millis(20)))?;
        let mut brought = 0;
        let mut buffer = [0; 4096];
        loop {
            if brought >= self.limit.load(Ordering::SeqCst) {
                let take = |left: usize| left.checked_sub(1);
                let order = Ordering::SeqCst;
                if let Ok(left) = self.cuts.fetch_update(order, order, take) {
                    if left == 1 {
                        self.limit.store(u64::MAX, order);
                    }
                    return Ok(());
                }
                thread::sleep(Duration::from_millis(5));
                // A server that dies is noticed also while it is held up.
                if server.peek(&mut buffer).is_ok_and(|count| count == 0) {
                    return Ok(());
                }
                continue;
            }
            match server.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => {
                    reader.write_all(&buffer[..count])?;
                    brought += count as u64;
                }
                Err(error) if is_late(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn is_late(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

//! A way to a server that can be cut, for tests of a network that delivers nothing any more.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

/// How often a part of the way looks whether it is cut.
const LOOK: Duration = Duration::from_millis(2);

/// A way to a database that can be cut: nothing is closed, and nothing arrives until it is mended.
pub struct Way {
    url: String,
    /// The way ends with this.
    is_cut: Arc<AtomicBool>,
}

impl Way {
    /// A way to the database of this address.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn to(url: &str) -> Self {
        let server = url.split(['@', '/']).find_map(|part| part.parse::<SocketAddr>().ok());
        let server = server.expect("an address of a database");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("its address");
        let url = url.replace(&server.to_string(), &address.to_string());
        let is_cut = Arc::new(AtomicBool::new(false));
        let cut = Arc::downgrade(&is_cut);
        listener.set_nonblocking(true).expect("a listener that is asked and not waited for");
        thread::spawn(move || {
            while cut.strong_count() > 0 {
                let Ok((caller, _)) = listener.accept() else {
                    thread::sleep(LOOK);
                    continue;
                };
                let Ok(called) = TcpStream::connect(server) else { continue };
                let (Ok(back), Ok(forth)) = (caller.try_clone(), called.try_clone()) else { continue };
                let (cut, also_cut) = (cut.clone(), cut.clone());
                thread::spawn(move || carry(caller, called, &cut));
                thread::spawn(move || carry(forth, back, &also_cut));
            }
        });
        Self { url, is_cut }
    }

    /// The database's address by this way.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Nothing arrives from now on.
    pub fn cut(&self) {
        self.is_cut.store(true, Ordering::Relaxed);
    }

    /// What is under way arrives, and what comes after it.
    pub fn mend(&self) {
        self.is_cut.store(false, Ordering::Relaxed);
    }
}

/// Carries what comes, one way, for as long as there is one.
fn carry(mut from: TcpStream, mut to: TcpStream, cut: &Weak<AtomicBool>) {
    if from.set_nonblocking(false).and_then(|()| from.set_read_timeout(Some(LOOK))).is_err() {
        return;
    }
    let is_cut = || cut.upgrade().map(|is_cut| is_cut.load(Ordering::Relaxed));
    let mut bytes = [0; 16 * 1024];
    while is_cut().is_some() {
        match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => {
                while is_cut() == Some(true) {
                    thread::sleep(LOOK);
                }
                if to.write_all(&bytes[..count]).is_err() {
                    break;
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

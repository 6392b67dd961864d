//! Free loopback ports for servers that open their port themselves, a moment after they were told its number.
//! Knows nothing of the servers.
//!
//! Between the choice and the server's own bind another test could be given the same number. So the UDP port of that
//! number is held until this process ends, and whoever asks here takes only numbers whose UDP port it could hold:
//! two test processes never share one. The range lies below the one that systems draw outgoing connections from.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::{Error, ErrorKind, Result};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::Mutex;

const FIRST: u16 = 15_000;
const COUNT: u16 = 17_000;

static HELD: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());

/// A TCP port of 127.0.0.1 that nobody listens on, and that no test will be given while this process lives.
///
/// # Errors
/// Every port of the range is taken.
pub fn free() -> Result<u16> {
    // Any starting point will do; processes that start apart rarely try the same number.
    let start = RandomState::new().build_hasher().finish() % u64::from(COUNT);
    let start = u16::try_from(start).unwrap_or(0);
    for step in 0..COUNT {
        let port = FIRST + (start + step) % COUNT;
        let Ok(hold) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) else { continue };
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            HELD.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(hold);
            return Ok(port);
        }
    }
    Err(Error::new(ErrorKind::AddrInUse, "no free loopback port between 15000 and 32000"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ports_differ_and_can_be_listened_on() {
        let ports: BTreeSet<u16> = (0..100).map(|_| free().unwrap()).collect();
        assert_eq!(ports.len(), 100);
        for port in ports {
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        }
    }
}

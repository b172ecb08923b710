//! Servers that send back what they get, and who talks to them.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use super::ns::Ns;

/// Longer than any answer takes; a dead connection is given up after it, and the test fails.
const PATIENCE: Duration = Duration::from_secs(20);
/// A connection that nobody refuses and nobody takes ends so.
const DIAL: Duration = Duration::from_secs(2);

/// Serves TCP at this address of this machine, until the test ends.
pub fn serve(ns: &Ns, address: &str) {
    let listener = listen(ns, address);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            std::thread::spawn(move || {
                let mut copy = stream.try_clone().expect("a copy");
                let _ = io::copy(&mut stream, &mut copy);
            });
        }
    });
}

/// Serves UDP.
pub fn serve_udp(ns: &Ns, address: &str) {
    let socket = ns.run(|| UdpSocket::bind(address).expect("free"));
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..length], from);
        }
    });
}

/// A TCP listener on this machine.
pub fn listen(ns: &Ns, address: &str) -> TcpListener {
    ns.run(|| TcpListener::bind(address).unwrap_or_else(|error| panic!("{address}: {error}")))
}

/// A TCP connection from this machine.
pub fn dial(ns: &Ns, address: &str) -> io::Result<TcpStream> {
    let address: SocketAddr = address.parse().expect("an address");
    let stream = ns.run(|| TcpStream::connect_timeout(&address, DIAL))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// There and back on an open connection.
pub fn talk(mut stream: &TcpStream) -> io::Result<()> {
    let mut back = [0; 4];
    stream.write_all(b"ping")?;
    stream.read_exact(&mut back)?;
    assert_eq!(&back, b"ping");
    Ok(())
}

/// There and back on a new connection.
pub fn exchange(ns: &Ns, address: &str) -> io::Result<()> {
    talk(&dial(ns, address)?)
}

/// There and back by UDP.
pub fn ask(ns: &Ns, address: &str) -> io::Result<()> {
    let socket = ns.run(|| UdpSocket::bind("0.0.0.0:0"))?;
    socket.set_read_timeout(Some(DIAL))?;
    socket.connect(address)?;
    socket.send(b"ping")?;
    socket.recv(&mut [0; 4]).map(drop)
}

/// Fails unless this open connection was ended from the outside: reset, rather than left to time out.
pub fn assert_ended(stream: &TcpStream, what: &str) {
    let outcome = talk(stream);
    let kind = outcome.as_ref().map_err(io::Error::kind);
    let reset = [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];
    assert!(kind.is_err_and(|kind| reset.contains(&kind)), "{what}: {outcome:?}");
}

/// Fails if anything still comes back on this open connection. The kernel makes no reset for a packet of a bridge that
/// another DNAT has sent elsewhere, so such a connection falls silent.
pub fn assert_cut(stream: &TcpStream, what: &str) {
    stream.set_read_timeout(Some(DIAL)).expect("sets");
    let outcome = talk(stream);
    assert!(outcome.is_err(), "{what}: {outcome:?}");
}

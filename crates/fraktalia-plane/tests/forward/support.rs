//! A forwarder with a stage around it: a listener and containers on loopback addresses that belong to one test alone.
#![allow(dead_code, reason = "each test program uses its own part of it")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use fraktalia_plane::config::{Forward, Listen};
use fraktalia_plane::forward::{Addresses, Forwarder, ListenerState, Options};
use rustix::net::sockopt::set_socket_linger;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

pub const AGENT: &str = "gardener";
pub const PORT: u16 = 3000;

/// A forwarder with one listener. Each test has a `number` of its own, and with it the addresses 127.88.number.*.
pub struct Stage {
    pub number: u8,
    pub forwarder: Forwarder,
    pub addresses: watch::Sender<Addresses>,
}

impl Stage {
    /// No container runs yet.
    pub fn new(number: u8) -> Self {
        Self::with(number, &Options::default())
    }

    pub fn with(number: u8, options: &Options) -> Self {
        let (addresses, receiver) = watch::channel(Addresses::default());
        let forwarder = Forwarder::start_with(receiver, options).expect("threads");
        let stage = Self { number, forwarder, addresses };
        stage.forwarder.set(&BTreeMap::from([(stage.listen(9000), forward(AGENT))])).expect("a free port");
        stage
    }

    /// A container that runs, as the one of our agent.
    pub async fn with_container(number: u8) -> (Self, TcpListener) {
        let stage = Self::new(number);
        let container = stage.container(2);
        stage.move_to(Some(2)).await;
        (stage, container)
    }

    pub fn address(&self, host: u8) -> IpAddr {
        Ipv4Addr::new(127, 88, self.number, host).into()
    }

    /// An address to listen at.
    pub fn listen(&self, port: u16) -> Listen {
        Listen { address: self.address(1), port }
    }

    /// What listens in a container. Its queue is long enough for every burst: where it is not, the kernel lets clients
    /// try again and again, and what a test sees is the container's limit.
    pub fn container(&self, host: u8) -> TcpListener {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("a socket");
        socket
            .bind((self.address(host), PORT).into())
            .and_then(|()| socket.listen(4096))
            .expect("a free port")
    }

    /// What Docker's events would say; returns when the forwarder knows it.
    pub async fn move_to(&self, host: Option<u8>) {
        let address = host.map(|host| (AGENT.to_owned(), self.address(host)));
        self.addresses.send(Arc::new(address.into_iter().collect())).expect("a forwarder that listens");
        let target = host.map(|host| SocketAddr::new(self.address(host), PORT));
        until(|| self.state().target == target).await;
        // What has been told after it was told before it, too.
        self.forwarder.set(&BTreeMap::from([(self.listen(9000), forward(AGENT))])).expect("no change");
    }

    pub fn state(&self) -> ListenerState {
        self.forwarder.state()[&self.listen(9000)].clone()
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect((self.address(1), 9000)).await.expect("a listener")
    }

    /// Whether a new connection is reset; that may come before `connect` has returned.
    pub async fn refuses(&self) -> bool {
        match TcpStream::connect((self.address(1), 9000)).await {
            Ok(mut client) => ends_with_reset(&mut client).await,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }

    /// A client and its peer in the container.
    pub async fn pair(&self, container: &TcpListener) -> (TcpStream, TcpStream) {
        let (client, accepted) = tokio::join!(self.connect(), container.accept());
        (client, accepted.expect("a connection").0)
    }
}

pub fn forward(agent: &str) -> Forward {
    Forward { agent: agent.into(), port: PORT }
}

/// Asks again and again; a test that waits for what never comes is ended from outside.
pub async fn until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Gives everything back, and ends when the other side has.
pub async fn echo(container: TcpListener) {
    while let Ok((mut peer, _)) = container.accept().await {
        tokio::spawn(async move {
            let (mut read, mut write) = peer.split();
            let _ = tokio::io::copy(&mut read, &mut write).await;
            let _ = write.shutdown().await;
        });
    }
}

/// One word there and back.
pub async fn is_answered(client: &mut TcpStream, word: u64) -> bool {
    let mut answer = [0; 8];
    let there = client.write_all(&word.to_be_bytes()).await.is_ok();
    there && client.read_exact(&mut answer).await.is_ok() && u64::from_be_bytes(answer) == word
}

/// Closes with a reset.
pub fn reset(stream: TcpStream) {
    set_socket_linger(&stream, Some(Duration::ZERO)).expect("a socket");
    drop(stream);
}

/// Whether the stream ends with a reset and not with an end, whatever comes before.
pub async fn ends_with_reset(stream: &mut TcpStream) -> bool {
    let mut bytes = vec![0; 64 << 10];
    loop {
        match stream.read(&mut bytes).await {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

/// Bytes that show when one of them is missing, doubled, or out of its place.
pub fn pattern(from: usize, length: usize) -> Vec<u8> {
    (from..from + length).map(|place| (place.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect()
}

/// Reads to the end and holds it against the pattern. The number of bytes.
pub async fn read_pattern(stream: &mut TcpStream) -> std::io::Result<usize> {
    let (mut at, mut bytes) = (0, vec![0; 64 << 10]);
    loop {
        let read = stream.read(&mut bytes).await?;
        if read == 0 {
            return Ok(at);
        }
        assert!(bytes[..read] == pattern(at, read), "wrong bytes between {at} and {}", at + read);
        at += read;
    }
}

/// Sends that much of the pattern.
pub async fn write_pattern(stream: &mut TcpStream, length: usize) -> std::io::Result<()> {
    let mut at = 0;
    while at < length {
        let chunk = (length - at).min(1 << 20);
        stream.write_all(&pattern(at, chunk)).await?;
        at += chunk;
    }
    Ok(())
}

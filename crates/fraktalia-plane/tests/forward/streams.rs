//! What happens to the bytes, the ends and the resets of one connection.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use fraktalia_plane::config::Listen;
use fraktalia_plane::forward::Forwarder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::support::{
    AGENT, PORT, Stage, echo, ends_with_reset, forward, is_answered, pattern, read_pattern, reset, until,
    write_pattern,
};

const MANY: usize = 48 << 20;

#[tokio::test]
async fn what_is_sent_arrives_in_both_directions_at_once_and_is_counted() {
    let (stage, container) = Stage::with_container(1).await;
    let (client, server) = stage.pair(&container).await;
    let both = |stream: TcpStream| async move {
        let (mut read, mut write) = stream.into_split();
        let sending = tokio::spawn(async move {
            write.write_all(&pattern(0, MANY)).await.unwrap();
            write.shutdown().await.unwrap();
            write
        });
        let mut bytes = Vec::new();
        read.read_to_end(&mut bytes).await.unwrap();
        sending.await.unwrap();
        bytes
    };
    let (at_client, at_server) = tokio::join!(both(client), both(server));
    assert!(at_client == pattern(0, MANY) && at_server == pattern(0, MANY));
    until(|| stage.state().open == 0).await;
    let state = stage.state();
    assert_eq!((state.bytes_up, state.bytes_down), (MANY as u64, MANY as u64));
    assert_eq!((state.connections, state.refused.total()), (1, 0));
}

#[tokio::test]
async fn an_answer_comes_back_after_the_client_has_ended_its_side() {
    let (stage, container) = Stage::with_container(2).await;
    let (mut client, mut server) = stage.pair(&container).await;
    client.write_all(b"request").await.unwrap();
    client.shutdown().await.unwrap();
    let mut request = Vec::new();
    server.read_to_end(&mut request).await.unwrap();
    assert_eq!(request, b"request");
    // Only now, and more than fits into any buffer.
    let (written, read) = tokio::join!(
        async {
            write_pattern(&mut server, MANY).await?;
            server.shutdown().await
        },
        read_pattern(&mut client)
    );
    written.unwrap();
    assert_eq!(read.unwrap(), MANY);
}

#[tokio::test]
async fn the_client_goes_on_sending_after_the_container_has_ended_its_side() {
    let (stage, container) = Stage::with_container(3).await;
    let (mut client, mut server) = stage.pair(&container).await;
    server.write_all(b"greeting").await.unwrap();
    server.shutdown().await.unwrap();
    let mut greeting = Vec::new();
    client.read_to_end(&mut greeting).await.unwrap();
    assert_eq!(greeting, b"greeting");
    let (written, read) = tokio::join!(
        async {
            write_pattern(&mut client, MANY).await?;
            client.shutdown().await
        },
        read_pattern(&mut server)
    );
    written.unwrap();
    assert_eq!(read.unwrap(), MANY);
    until(|| stage.state().open == 0).await;
}

#[tokio::test]
async fn a_reset_by_the_client_is_a_reset_at_the_container() {
    let (stage, container) = Stage::with_container(4).await;
    let (mut client, mut server) = stage.pair(&container).await;
    client.write_all(b"half a req").await.unwrap();
    server.read_exact(&mut [0; 10]).await.unwrap();
    reset(client);
    assert!(ends_with_reset(&mut server).await);
    until(|| stage.state().open == 0).await;
}

#[tokio::test]
async fn a_reset_by_the_container_is_a_reset_at_the_client_and_what_came_before_it_is_not_lost() {
    let (stage, container) = Stage::with_container(5).await;
    let (mut client, mut server) = stage.pair(&container).await;
    server.write_all(b"answer").await.unwrap();
    // On loopback a reset can overtake what was sent before it, when the sender moves to another processor in between.
    until(|| unacknowledged(&server) == 0).await;
    reset(server);
    let mut answer = [0; 6];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"answer");
    assert!(ends_with_reset(&mut client).await);
    until(|| stage.state().open == 0).await;
}

/// Bytes that were sent and of which the peer's kernel has not said yet that it has them.
fn unacknowledged(stream: &TcpStream) -> u64 {
    let port = |address: std::io::Result<SocketAddr>| format!(":{:04X}", address.unwrap().port());
    let (local, peer) = (port(stream.local_addr()), port(stream.peer_addr()));
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let row = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .find(|row| row.len() > 4 && row[1].ends_with(&local) && row[2].ends_with(&peer));
    let queues = row.expect("the connection is there")[4];
    u64::from_str_radix(queues.split(':').next().unwrap(), 16).unwrap()
}

#[tokio::test]
async fn a_reset_in_a_stream_that_is_full_ends_it_on_both_sides() {
    let (stage, container) = Stage::with_container(6).await;
    let (client, mut server) = stage.pair(&container).await;
    let chunk = vec![7; 1 << 20];
    // Nobody reads at the client: in the end nothing more is taken.
    while tokio::time::timeout(Duration::from_millis(200), server.write_all(&chunk)).await.is_ok() {}
    reset(client);
    let error = server.write_all(&chunk).await.unwrap_err();
    assert!(
        matches!(error.kind(), std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe),
        "{error}"
    );
    until(|| stage.state().open == 0).await;
}

#[tokio::test]
async fn an_end_after_a_half_close_by_the_other_side_ends_all() {
    let (stage, container) = Stage::with_container(7).await;
    let (mut client, mut server) = stage.pair(&container).await;
    client.shutdown().await.unwrap();
    assert_eq!(server.read(&mut [0; 1]).await.unwrap(), 0);
    assert_eq!(stage.state().open, 1);
    drop(server);
    assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
    until(|| stage.state().open == 0).await;
}

/// What the reader has not taken waits at the sender, not here: far less than all of it has passed through when the
/// sender is held up, and nothing is missing in the end.
#[tokio::test]
async fn a_slow_reader_holds_up_the_sender() {
    let (stage, container) = Stage::with_container(8).await;
    let (mut client, mut server) = stage.pair(&container).await;
    let sending = tokio::spawn(async move {
        write_pattern(&mut server, 4 * MANY).await.unwrap();
        server.shutdown().await.unwrap();
    });
    let mut passed = u64::MAX;
    while stage.state().bytes_down != passed {
        passed = stage.state().bytes_down;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    // The socket buffers of the kernel, which grow to 4 and 6 MiB by default, and one pipe.
    assert!(passed < 24 << 20, "{passed} bytes are in flight");
    assert_eq!(read_pattern(&mut client).await.unwrap(), 4 * MANY);
    sending.await.unwrap();
}

/// Words that are copied, not spliced: the part of one that does not fit any more is kept, and so is its place.
#[tokio::test]
async fn a_slow_reader_of_a_talk_loses_no_word() {
    let (stage, container) = Stage::with_container(11).await;
    let (mut client, mut server) = stage.pair(&container).await;
    let (mut said, word) = (0, 10_000);
    loop {
        server.write_all(&pattern(said, word)).await.unwrap();
        said += word;
        // Each is on its way before the next one is said, until one is not: then all is full.
        let heard = until(|| stage.state().bytes_down == said as u64);
        if tokio::time::timeout(Duration::from_millis(300), heard).await.is_err() {
            break;
        }
    }
    server.shutdown().await.unwrap();
    assert_eq!(read_pattern(&mut client).await.unwrap(), said);
}

#[tokio::test]
async fn a_slow_reader_does_not_hold_up_others() {
    let (stage, container) = Stage::with_container(9).await;
    let (slow, mut server) = stage.pair(&container).await;
    let sending = tokio::spawn(async move { server.write_all(&vec![7; MANY]).await });
    tokio::spawn(echo(container));
    for word in 0..200 {
        assert!(is_answered(&mut stage.connect().await, word).await);
    }
    reset(slow);
    assert!(sending.await.unwrap().is_err());
}

#[tokio::test]
async fn a_talk_after_a_transfer_still_gets_each_word_at_once() {
    let (stage, container) = Stage::with_container(10).await;
    tokio::spawn(echo(container));
    let client = stage.connect().await;
    let (mut read, mut write) = client.into_split();
    let sending = tokio::spawn(async move {
        write.write_all(&pattern(0, MANY)).await.unwrap();
        write
    });
    let mut bytes = vec![0; MANY];
    read.read_exact(&mut bytes).await.unwrap();
    assert!(bytes == pattern(0, MANY));
    let mut client = read.reunite(sending.await.unwrap()).unwrap();
    for word in 0..100 {
        assert!(is_answered(&mut client, word).await);
    }
}

#[tokio::test]
async fn ipv6_is_carried_into_ipv6() {
    let Ok(container) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await else {
        #[expect(clippy::print_stderr, reason = "a test that does not run has to say so")]
        return eprintln!("skipped: no IPv6 on this host");
    };
    let to = container.local_addr().unwrap();
    tokio::spawn(echo(container));
    let known = BTreeMap::from([(AGENT.to_owned(), to.ip())]);
    let (_keep, addresses) = watch::channel(Arc::new(known));
    let forwarder = Forwarder::start(addresses).unwrap();
    let listen = Listen { address: IpAddr::V6(Ipv6Addr::LOCALHOST), port: 0 };
    let mut to_port = forward(AGENT);
    to_port.port = to.port();
    forwarder.set(&BTreeMap::from([(listen, to_port)])).unwrap();
    let bound = forwarder.state()[&listen].bound;
    assert!(bound.is_ipv6() && bound.port() != PORT);
    assert!(is_answered(&mut TcpStream::connect(bound).await.unwrap(), 6).await);
}

//! Sets of listeners: all or nothing, and never a gap.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use fraktalia_plane::config::{Forward, Listen};
use fraktalia_plane::forward::{Forwarder, ListenFailure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::support::{
    AGENT, Stage, echo, ends_with_reset, forward, is_answered, read_pattern, until, write_pattern,
};

fn set(listens: &[Listen]) -> BTreeMap<Listen, Forward> {
    listens.iter().map(|listen| (*listen, forward(AGENT))).collect()
}

/// The kernel's own number of the listening socket at `listen`.
fn inode(listen: Listen) -> Option<String> {
    let IpAddr::V4(address) = listen.address else { panic!("IPv4") };
    let at = format!("{:08X}:{:04X}", u32::from(address).swap_bytes(), listen.port);
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let fields = sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut mine = fields.filter(|fields| fields[1] == at && fields[3] == "0A");
    mine.next().map(|fields| fields[9].to_owned())
}

#[tokio::test]
async fn a_clash_changes_nothing_and_says_where_it_is() {
    let (stage, container) = Stage::with_container(40).await;
    tokio::spawn(echo(container));
    let other = TcpListener::bind((stage.address(1), 9002)).await.unwrap();
    let before = stage.forwarder.state();
    // 9001 comes before the clash and would be new, 9000 would go.
    let error = stage.forwarder.set(&set(&[stage.listen(9001), stage.listen(9002)])).unwrap_err();
    assert_eq!(error.cause, ListenFailure::InUse);
    assert_eq!(error.to_string(), "cannot listen on 127.88.40.1:9002: in use by another program");
    assert!(error.hint().contains("sport = :9002"), "{}", error.hint());
    assert_eq!(stage.forwarder.state(), before);
    assert_eq!(inode(stage.listen(9001)), None);
    assert!(is_answered(&mut stage.connect().await, 1).await);
    drop(other);
    stage.forwarder.set(&set(&[stage.listen(9001), stage.listen(9002)])).unwrap();
    assert_eq!(inode(stage.listen(9000)), None);
    assert!(inode(stage.listen(9001)).is_some() && inode(stage.listen(9002)).is_some());
}

#[tokio::test]
async fn an_address_that_this_host_does_not_have_is_named() {
    let stage = Stage::new(41);
    let nowhere = Listen { address: Ipv4Addr::new(203, 0, 113, 77).into(), port: 9000 };
    let error = stage.forwarder.set(&set(&[nowhere])).unwrap_err();
    assert_eq!(error.to_string(), "cannot listen on 203.0.113.77:9000: this host has no such address");
    assert!(error.hint().contains("203.0.113.77"));
}

#[tokio::test]
async fn two_forwards_that_cover_each_other_are_named() {
    let stage = Stage::new(42);
    let all = Listen { address: Ipv4Addr::UNSPECIFIED.into(), port: 19042 };
    let error = stage.forwarder.set(&set(&[all, stage.listen(19042)])).unwrap_err();
    assert_eq!(error.cause, ListenFailure::Overlap(all));
    assert_eq!(
        error.to_string(),
        "cannot listen on 127.88.42.1:19042: another forward listens on 0.0.0.0:19042"
    );
}

#[tokio::test]
async fn a_listener_that_stays_is_the_same_socket_and_keeps_its_connections_and_counts() {
    let (stage, container) = Stage::with_container(43).await;
    tokio::spawn(echo(container));
    let mut client = stage.connect().await;
    assert!(is_answered(&mut client, 1).await);
    let before = inode(stage.listen(9000)).unwrap();
    stage.forwarder.set(&set(&[stage.listen(9000), stage.listen(9001)])).unwrap();
    stage.forwarder.set(&set(&[stage.listen(9000)])).unwrap();
    assert_eq!(inode(stage.listen(9000)).unwrap(), before);
    assert!(is_answered(&mut client, 2).await);
    assert_eq!((stage.state().connections, stage.state().open), (1, 1));
}

#[tokio::test]
async fn a_listener_that_stays_may_lead_somewhere_else_for_new_connections() {
    let (stage, container) = Stage::with_container(44).await;
    tokio::spawn(echo(container));
    let mut before = stage.connect().await;
    assert!(is_answered(&mut before, 1).await);
    let other = TcpListener::bind((stage.address(3), super::support::PORT)).await.unwrap();
    let both = [(AGENT, 2), ("cook", 3)].map(|(agent, host)| (agent.to_owned(), stage.address(host)));
    stage.addresses.send(Arc::new(BTreeMap::from(both))).unwrap();
    stage.forwarder.set(&BTreeMap::from([(stage.listen(9000), forward("cook"))])).unwrap();
    until(|| stage.state().target.is_some_and(|target| target.ip() == stage.address(3))).await;
    let (_client, _server) = stage.pair(&other).await;
    assert!(is_answered(&mut before, 2).await);
}

#[tokio::test]
async fn a_forward_that_is_withdrawn_takes_its_connections_along() {
    let (stage, container) = Stage::with_container(45).await;
    let (mut client, mut server) = stage.pair(&container).await;
    stage.forwarder.set(&BTreeMap::new()).unwrap();
    assert!(ends_with_reset(&mut client).await && ends_with_reset(&mut server).await);
    assert!(stage.forwarder.state().is_empty());
    assert!(TcpStream::connect((stage.address(1), 9000)).await.is_err());
}

/// The old and the new one cover each other, so that the kernel would refuse the second as long as the first is there.
#[tokio::test]
async fn a_listener_gives_way_to_one_that_covers_it_and_back() {
    let (stage, container) = Stage::with_container(46).await;
    tokio::spawn(echo(container));
    let all = Listen { address: Ipv4Addr::UNSPECIFIED.into(), port: 19046 };
    let one = stage.listen(19046);
    for (listen, gone) in [(one, all), (all, one), (one, all)] {
        stage.forwarder.set(&set(&[listen])).unwrap();
        assert!(inode(listen).is_some() && inode(gone).is_none());
        let mut client = TcpStream::connect((stage.address(1), 19046)).await.unwrap();
        assert!(is_answered(&mut client, 1).await);
    }
}

#[tokio::test]
async fn a_shutdown_lets_a_transfer_finish_and_takes_nothing_new() {
    let (stage, container) = Stage::with_container(47).await;
    let (mut client, mut server) = stage.pair(&container).await;
    let length = 96 << 20;
    let sending = tokio::spawn(async move {
        write_pattern(&mut server, length).await.unwrap();
        server.shutdown().await.unwrap();
        server
    });
    let mut first = [0; 1];
    client.peek(&mut first).await.unwrap();
    let address = stage.address(1);
    let Stage { forwarder, addresses: _addresses, .. } = stage;
    let ending = tokio::spawn(forwarder.shutdown(Duration::from_hours(1)));
    let listen = Listen { address, port: 9000 };
    until(|| inode(listen).is_none()).await;
    assert!(!ending.is_finished());
    assert!(TcpStream::connect((address, 9000)).await.is_err());
    assert_eq!(read_pattern(&mut client).await.unwrap(), length);
    client.write_all(b"thanks").await.unwrap();
    client.shutdown().await.unwrap();
    let mut thanks = Vec::new();
    sending.await.unwrap().read_to_end(&mut thanks).await.unwrap();
    assert_eq!(thanks, b"thanks");
    assert_eq!(ending.await.unwrap(), 0);
}

#[tokio::test]
async fn a_shutdown_resets_what_has_not_finished_in_time() {
    let (stage, container) = Stage::with_container(48).await;
    let (mut client, mut server) = stage.pair(&container).await;
    let Stage { forwarder, .. } = stage;
    assert_eq!(Forwarder::shutdown(forwarder, Duration::from_millis(50)).await, 1);
    assert!(ends_with_reset(&mut client).await && ends_with_reset(&mut server).await);
}

#[tokio::test]
async fn metrics_are_those_of_the_state() {
    let (stage, container) = Stage::with_container(49).await;
    tokio::spawn(echo(container));
    assert!(is_answered(&mut stage.connect().await, 1).await);
    until(|| stage.state().open == 0).await;
    let line =
        "fraktalia_forward_bytes_total{listen=\"127.88.49.1:9000\",agent=\"gardener\",direction=\"up\"} 8";
    assert!(stage.forwarder.metrics().lines().any(|found| found == line), "{}", stage.forwarder.metrics());
}

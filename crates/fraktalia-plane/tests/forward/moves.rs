//! Containers that are not there, move, or do not answer.

use std::time::Duration;

use fraktalia_plane::forward::Options;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::support::{Stage, echo, ends_with_reset, is_answered, pattern, read_pattern, until};

#[tokio::test]
async fn without_a_container_a_connection_is_reset_and_with_one_it_is_carried() {
    let stage = Stage::new(20);
    assert_eq!(stage.state().target, None);
    assert!(stage.refuses().await);
    until(|| stage.state().refused.absent == 1).await;
    tokio::spawn(echo(stage.container(2)));
    stage.move_to(Some(2)).await;
    assert!(is_answered(&mut stage.connect().await, 1).await);
    stage.move_to(None).await;
    assert!(stage.refuses().await);
    until(|| stage.state().refused.absent == 2).await;
    assert_eq!(stage.state().connections, 3);
}

#[tokio::test]
async fn new_connections_go_to_the_new_address_and_those_to_the_old_one_end() {
    let (stage, old) = Stage::with_container(21).await;
    let (mut before, _server) = stage.pair(&old).await;
    tokio::spawn(echo(stage.container(3)));
    stage.move_to(Some(3)).await;
    // The old container has said nothing: neither an end nor a reset.
    assert!(ends_with_reset(&mut before).await);
    assert!(is_answered(&mut stage.connect().await, 1).await);
    assert_eq!(stage.state().refused.total(), 0);
}

#[tokio::test]
async fn what_a_container_sent_before_it_went_still_arrives() {
    let (stage, container) = Stage::with_container(22).await;
    let (mut client, mut server) = stage.pair(&container).await;
    // As much as fits into all buffers on the way, this forwarder's included.
    let mut length = 0;
    let full = Duration::from_millis(200);
    while let Ok(sent) = tokio::time::timeout(full, server.write(&pattern(length, 64 << 10))).await {
        length += sent.unwrap();
    }
    drop(server);
    stage.move_to(None).await;
    assert_eq!(read_pattern(&mut client).await.unwrap(), length);
}

#[tokio::test]
async fn a_transfer_from_a_container_that_goes_is_cut_off_with_a_reset_and_not_with_an_end() {
    let (stage, container) = Stage::with_container(23).await;
    let (mut client, mut server) = stage.pair(&container).await;
    let (gone, mut is_gone) = tokio::sync::oneshot::channel::<()>();
    let sending = tokio::spawn(async move {
        let chunk = vec![7; 64 << 10];
        while tokio::select! { sent = server.write_all(&chunk) => sent.is_ok(), _ = &mut is_gone => false } {}
        // Neither an end nor a reset comes from a machine that is not there any more.
        server
    });
    client.read_exact(&mut vec![0; 4 << 20]).await.unwrap();
    gone.send(()).unwrap();
    let _silent = sending.await.unwrap();
    stage.move_to(Some(3)).await;
    assert!(ends_with_reset(&mut client).await);
    until(|| stage.state().open == 0).await;
}

#[tokio::test]
async fn a_container_whose_port_is_closed_refuses_and_the_client_hears_it() {
    let stage = Stage::new(24);
    stage.move_to(Some(2)).await;
    assert!(stage.refuses().await);
    until(|| stage.state().refused.unreachable == 1).await;
    assert_eq!(stage.state().open, 0);
}

#[tokio::test]
async fn a_container_that_does_not_answer_is_given_up_and_others_are_served_meanwhile() {
    let options = Options { connect_timeout: Duration::from_millis(300), ..Options::default() };
    let stage = Stage::with(25, &options);
    // A queue of one that is full: the kernel drops what else comes, as a machine that is switched off would.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind((stage.address(2), super::support::PORT).into()).unwrap();
    let silent = socket.listen(0).unwrap();
    let filling = tokio::net::TcpStream::connect(silent.local_addr().unwrap()).await.unwrap();
    stage.move_to(Some(2)).await;
    let mut waiting = stage.connect().await;
    until(|| stage.state().open == 1).await;
    assert_eq!(stage.state().refused.unreachable, 0);
    assert!(ends_with_reset(&mut waiting).await);
    until(|| stage.state().refused.unreachable == 1).await;
    drop(filling);
}

#[tokio::test]
async fn a_container_that_goes_before_it_has_answered_is_given_up_at_once() {
    let options = Options { connect_timeout: Duration::from_hours(1), ..Options::default() };
    let stage = Stage::with(26, &options);
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind((stage.address(2), super::support::PORT).into()).unwrap();
    let silent = socket.listen(0).unwrap();
    let _filling = tokio::net::TcpStream::connect(silent.local_addr().unwrap()).await.unwrap();
    stage.move_to(Some(2)).await;
    let mut waiting = stage.connect().await;
    until(|| stage.state().open == 1).await;
    stage.move_to(None).await;
    assert!(ends_with_reset(&mut waiting).await);
}

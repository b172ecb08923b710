//! A process that runs out of open files. A program of its own: the limit is the process's.

#[path = "forward/support.rs"]
mod support;

use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::{Stage, echo, is_answered, until};
use tokio::net::TcpSocket;

/// Takes all descriptors that are left, until it is dropped.
fn exhaust() -> Vec<std::fs::File> {
    std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_survives_the_want_of_descriptors_without_spinning() {
    let stage = Stage::new(90);
    tokio::spawn(echo(stage.container(2)));
    stage.move_to(Some(2)).await;
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(200), maximum }).unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    let taken = exhaust();
    let mut client = socket.connect(SocketAddr::new(stage.address(1), 9000)).await.unwrap();
    until(|| stage.state().accept_errors > 0).await;
    let threads = u64::try_from(std::thread::available_parallelism().unwrap().get()).unwrap();
    let rests = Duration::from_millis(500);
    tokio::time::sleep(rests).await;
    // One try of each thread every 50 ms; without a rest it would be hundreds of thousands.
    let errors = stage.state().accept_errors;
    assert!(errors <= 100 * threads, "{errors} tries");
    drop(taken);
    assert!(is_answered(&mut client, 1).await);
    assert_eq!(stage.state().refused.total(), 0);
}

//! What quiet connections cost. A program of its own: its memory is measured.

#[path = "forward/support.rs"]
mod support;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use support::{PORT, Stage};

const IDLE: usize = 1000;

/// Bytes of memory of this process.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
}

/// Streams without a runtime: what they need is in the kernel, so that what is measured is the forwarder's.
fn pairs(stage: &Stage, container: &TcpListener, count: usize) -> Vec<(TcpStream, TcpStream)> {
    let at = (stage.address(1), 9000);
    let pair = |_| {
        let mut client = TcpStream::connect(at).unwrap();
        let mut server = container.accept().unwrap().0;
        word(&mut client, &mut server);
        (client, server)
    };
    (0..count).map(pair).collect()
}

/// More than is read at once, so that buffers were in use.
fn word(client: &mut TcpStream, server: &mut TcpStream) {
    let mut bytes = vec![7; 100 << 10];
    client.write_all(&bytes).unwrap();
    server.read_exact(&mut bytes).unwrap();
    server.write_all(&bytes).unwrap();
    client.read_exact(&mut bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_idle_connections_need_less_than_two_kilobytes_each_and_are_alive() {
    let stage = Stage::new(80);
    let container = TcpListener::bind((stage.address(2), PORT)).unwrap();
    stage.move_to(Some(2)).await;
    let _warm = pairs(&stage, &container, 100);
    let before = resident();
    let mut idle = pairs(&stage, &container, IDLE);
    let each = resident().saturating_sub(before) / IDLE;
    assert_eq!(stage.state().open, 100 + IDLE as u64);
    assert!(each < 2048, "{each} bytes for each idle connection");
    for (client, server) in &mut idle {
        word(client, server);
    }
}

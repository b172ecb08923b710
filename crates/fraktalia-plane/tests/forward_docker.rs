//! The forwarder and a real container.

#[path = "forward/support.rs"]
mod support;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use fraktalia_plane::forward::Forwarder;
use fraktalia_testkit::real::docker::{BUSYBOX, docker};
use fraktalia_testkit::real::{Cache, Docker};
use support::{AGENT, forward};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;

const NAME: &str = "fraktalia-test-forward";
const LISTEN: &str = "127.88.100.1:9000";

/// A web server that says which of the containers it is, and its address.
async fn container(which: &str) -> IpAddr {
    let script = format!(
        "mkdir /www; echo {which} >/www/index.html; head -c 67108864 /dev/zero >/www/large; httpd -p 3000 -h /www; \
         exec sleep 3600"
    );
    let label = "io.fraktalia.test=1";
    let run =
        ["run", "--detach", "--name", NAME, "--label", label, "--stop-timeout", "0", BUSYBOX, "sh", "-c"];
    docker(&[&run[..], &[&script]].concat()).await.expect("a container");
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let address = docker(&["inspect", "--format", format, NAME]).await.expect("its address");
    let address: IpAddr = address.parse().expect("an address");
    while TcpStream::connect((address, 3000)).await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    address
}

async fn remove() {
    // None may be left of an earlier run.
    let _ = docker(&["rm", "--force", NAME]).await;
}

/// The body of an answer; an error when the connection is cut off or the answer is not whole.
async fn get(path: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(LISTEN).await?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let end =
        answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let body = answer.split_off(end + 4);
    let head = String::from_utf8_lossy(&answer).to_ascii_lowercase();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    if length.is_some_and(|length| length == body.len()) {
        Ok(body)
    } else {
        Err(std::io::ErrorKind::UnexpectedEof.into())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_is_made_anew_with_another_address_is_reached_at_the_same_port() {
    let Some(cache) = Cache::for_test() else { return };
    let engine = Docker::ensure(&cache).await.expect("a Docker engine");
    engine.base_image(&cache, BUSYBOX).await.expect("the base image");
    remove().await;
    let (known, addresses) = watch::channel(Arc::default());
    let forwarder = Forwarder::start(addresses).expect("threads");
    let listen = LISTEN.parse().unwrap();
    forwarder.set(&BTreeMap::from([(listen, forward(AGENT))])).expect("a free port");
    assert!(get("/").await.is_err(), "there is no container yet");

    let first = container("first").await;
    known.send(Arc::new(BTreeMap::from([(AGENT.to_owned(), first)]))).unwrap();
    support::until(|| forwarder.state()[&listen].target.is_some()).await;
    assert_eq!(get("/").await.expect("an answer"), b"first\n");
    assert_eq!(get("/large").await.expect("all of it").len(), 64 << 20);

    let mut during = TcpStream::connect(LISTEN).await.unwrap();
    during.write_all(b"GET /large HTTP/1.0\r\n\r\n").await.unwrap();
    during.read_exact(&mut [0; 4096]).await.unwrap();
    // Another one is in the old one's place before the new one comes, so that it gets another address.
    remove().await;
    known.send(Arc::default()).unwrap();
    let squatter =
        docker(&["run", "--detach", "--rm", "--label", "io.fraktalia.test=1", BUSYBOX, "sleep", "3600"]);
    let squatter = squatter.await.expect("a container");
    let mut rest = Vec::new();
    let ended = during.read_to_end(&mut rest).await;
    assert!(
        ended.is_err() || rest.len() < 64 << 20,
        "a transfer from a container that was killed cannot be whole"
    );
    support::until(|| forwarder.state()[&listen].open == 0).await;
    assert!(get("/").await.is_err(), "there is no container now");

    let second = container("second").await;
    assert_ne!(first, second);
    known.send(Arc::new(BTreeMap::from([(AGENT.to_owned(), second)]))).unwrap();
    support::until(|| forwarder.state()[&listen].target.is_some()).await;
    assert_eq!(get("/").await.expect("an answer"), b"second\n");
    assert_eq!(get("/large").await.expect("all of it").len(), 64 << 20);
    let _ = docker(&["rm", "--force", &squatter]).await;
    remove().await;
    engine.stop().await.expect("an end");
}

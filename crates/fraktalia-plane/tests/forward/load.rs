//! Many connections.

use fraktalia_plane::forward::Options;
use tokio::task::JoinSet;

use super::support::{Stage, echo, is_answered, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_a_thousand_connections_is_carried() {
    let (stage, container) = Stage::with_container(60).await;
    tokio::spawn(echo(container));
    let at = (stage.address(1), 9000);
    let mut burst = JoinSet::new();
    for word in 0..1000 {
        burst.spawn(async move {
            let mut client = tokio::net::TcpStream::connect(at).await.unwrap();
            is_answered(&mut client, word).await
        });
    }
    assert!(burst.join_all().await.into_iter().all(|answered| answered));
    assert_eq!((stage.state().connections, stage.state().refused.total()), (1000, 0));
}

/// A queue that is too short costs a burst seconds: the kernel drops what does not fit and clients ask again later.
#[tokio::test]
async fn the_queue_of_a_listener_is_as_long_as_the_kernel_allows_up_to_4096() {
    let stage = Stage::new(61);
    let at = format!("{}:9000", stage.address(1));
    let output = std::process::Command::new("ss").args(["-H", "-l", "-t", "-n", "src", &at]).output();
    let Ok(output) = output else {
        #[expect(clippy::print_stderr, reason = "a test that does not run has to say so")]
        return eprintln!("skipped: needs ss(8)");
    };
    let line = String::from_utf8(output.stdout).unwrap();
    let allowed: usize =
        std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap().trim().parse().unwrap();
    assert_eq!(line.split_whitespace().nth(2), Some(allowed.min(4096).to_string().as_str()), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_short_connections_is_carried_to_the_last() {
    let (stage, container) = Stage::with_container(62).await;
    tokio::spawn(echo(container));
    let at = (stage.address(1), 9000);
    let mut flood = JoinSet::new();
    for client in 0..8_u64 {
        flood.spawn(async move {
            let mut answered = 0;
            for word in 0..500 {
                let mut stream = tokio::net::TcpStream::connect(at).await.unwrap();
                answered += u64::from(is_answered(&mut stream, client << 32 | word).await);
            }
            answered
        });
    }
    assert_eq!(flood.join_all().await.into_iter().sum::<u64>(), 4000);
    until(|| stage.state().open == 0).await;
    let state = stage.state();
    assert_eq!((state.connections, state.refused.total(), state.bytes_up), (4000, 0, 32_000));
}

#[tokio::test]
async fn above_the_limit_a_connection_is_refused_at_once_and_below_it_carried_again() {
    let stage = Stage::with(63, &Options { connections: 10, ..Options::default() });
    tokio::spawn(echo(stage.container(2)));
    stage.move_to(Some(2)).await;
    let mut open = Vec::new();
    for word in 0..10 {
        let mut client = stage.connect().await;
        assert!(is_answered(&mut client, word).await);
        open.push(client);
    }
    assert!(stage.refuses().await);
    assert_eq!(stage.state().refused.full, 1);
    for (word, client) in open.iter_mut().enumerate() {
        assert!(is_answered(client, word as u64).await);
    }
    drop(open.pop());
    until(|| stage.state().open == 9).await;
    assert!(is_answered(&mut stage.connect().await, 1).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_moves_under_load_loses_nothing_but_its_own_connections() {
    let stage = Stage::new(64);
    for host in [2, 3] {
        tokio::spawn(echo(stage.container(host)));
    }
    stage.move_to(Some(2)).await;
    let at = (stage.address(1), 9000);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut clients = JoinSet::new();
    for _ in 0..4 {
        let stopped = stopped.clone();
        clients.spawn(async move {
            let (mut answered, mut cut) = (0_u64, 0_u64);
            while !*stopped.borrow() {
                let there = match tokio::net::TcpStream::connect(at).await {
                    Ok(mut stream) => is_answered(&mut stream, answered).await,
                    Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => false,
                    Err(error) => panic!("there is always a listener: {error}"),
                };
                answered += u64::from(there);
                cut += u64::from(!there);
            }
            (answered, cut)
        });
    }
    for turn in 0_u8..40 {
        let before = stage.state().connections;
        stage.move_to(Some(2 + turn % 2)).await;
        until(|| stage.state().connections > before + 20).await;
    }
    stop.send(true).unwrap();
    let (answered, cut) =
        clients.join_all().await.into_iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    // At the most one of each client per move: the one that was open just then.
    assert!(answered >= 800 - cut && cut <= 4 * 40, "{answered} answered, {cut} cut off");
    assert_eq!(stage.state().refused.total(), 0);
}

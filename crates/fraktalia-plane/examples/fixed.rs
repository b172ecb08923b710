//! Forwards one address to another until it is told to end: what `cargo xtask bench forward` measures.
//!
//! `fixed LISTEN TARGET|none [THREADS]`, for example `fixed 127.0.0.1:9000 172.17.0.2:3000`.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fraktalia_plane::config::{Forward, Listen};
use fraktalia_plane::forward::{Addresses, Forwarder, Options};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

const AGENT: &str = "fixed";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let listen: Listen = arguments.next().ok_or("LISTEN is missing")?.parse()?;
    let target = arguments.next().ok_or("TARGET is missing")?;
    let target: Option<SocketAddr> = if target == "none" { None } else { Some(target.parse()?) };
    let mut options = Options::default();
    if let Some(threads) = arguments.next() {
        options.threads = threads.parse()?;
    }
    let known = target.map(|target| (AGENT.to_owned(), target.ip()));
    let (_known, addresses) = watch::channel(Addresses::from(Arc::new(known.into_iter().collect())));
    let forwarder = Forwarder::start_with(addresses, &options)?;
    let port = target.map_or(0, |target| target.port());
    forwarder.set(&BTreeMap::from([(listen, Forward { agent: AGENT.into(), port })]))?;
    signal(SignalKind::terminate())?.recv().await;
    forwarder.shutdown(Duration::ZERO).await;
    Ok(())
}

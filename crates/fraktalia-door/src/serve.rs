//! Connections, with the bounds that only they can have: heads that come slowly or are long, and how many at once.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::door::Settings;

/// Most bytes of a request's head.
const HEAD: usize = 16 * 1024;
/// Most headers.
const HEADERS: usize = 64;
/// How long nothing is accepted after accepting failed: no file descriptors are left, and one more try finds none either.
const PAUSE: Duration = Duration::from_millis(200);

pub(crate) async fn run(
    settings: &Settings,
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()> + Send,
) {
    let places = Arc::new(Semaphore::new(settings.connections));
    let (ending, ended) = watch::channel(());
    tokio::pin!(stop);
    loop {
        let place = tokio::select! {
            () = &mut stop => break,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        let Ok(place) = place else { break };
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection to the API");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let (settings, router, ended) = (settings.clone(), router.clone(), ended.clone());
        tokio::spawn(async move {
            connection(&settings, stream, router, ended).await;
            drop(place);
        });
    }
    drop(ended);
    drop(listener);
    // Those at work hear of it, and hold the other end until they are done.
    let _ = ending.send(());
    ending.closed().await;
}

async fn connection(settings: &Settings, stream: TcpStream, router: Router, mut ended: watch::Receiver<()>) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(settings.head_time)
        .max_headers(HEADERS)
        .max_buf_size(HEAD);
    let served = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(served);
    let life = tokio::time::sleep(settings.life);
    tokio::pin!(life);
    let mut going = true;
    loop {
        tokio::select! {
            result = &mut served => {
                if let Err(error) = result {
                    tracing::debug!(%error, "a connection to the API broke");
                }
                return;
            }
            () = &mut life => return,
            _ = ended.changed(), if going => {
                going = false;
                served.as_mut().graceful_shutdown();
            }
        }
    }
}

//! Counts what comes in, and ends the connection when it is too much.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// An answer that is larger than anything an engine has to say.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("its answer is larger than {} MB, and was not read to its end", .0 >> 20)]
pub struct TooMuch(u64);

/// How much may still come in over a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter {
    allowed: Arc<AtomicU64>,
    left: Arc<AtomicU64>,
}

impl Meter {
    /// From now on so many bytes.
    pub(super) fn allow(&self, bytes: u64) {
        self.allowed.store(bytes, Ordering::Relaxed);
        self.left.store(bytes, Ordering::Relaxed);
    }

    fn take(&self, bytes: u64) -> Result<(), TooMuch> {
        let left = self.left.load(Ordering::Relaxed);
        self.left.store(left.saturating_sub(bytes), Ordering::Relaxed);
        if left < bytes { Err(TooMuch(self.allowed.load(Ordering::Relaxed))) } else { Ok(()) }
    }
}

/// A stream that is counted.
pub(super) struct Metered<S> {
    stream: S,
    meter: Meter,
}

/// Counts `stream`; nothing is allowed yet.
pub(super) fn metered<S>(stream: S) -> (Metered<S>, Meter) {
    let meter = Meter::default();
    (Metered { stream, meter: meter.clone() }, meter)
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, into))?;
        let came = into.filled().len() - before;
        Poll::Ready(self.meter.take(came as u64).map_err(io::Error::other))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

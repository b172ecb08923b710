//! The server in the container. The first byte of a connection says what the client wants of it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::error::{Context as _, TaskError};

/// One byte more, its answer, and the end: the shortest connection that is of use.
pub const ONCE: u8 = b'o';
/// Byte for byte back, until the client ends.
pub const ECHO: u8 = b'e';
/// Takes as many bytes as the next eight say, and then says so.
pub const SINK: u8 = b's';
/// Gives as many bytes as the next eight say.
pub const SOURCE: u8 = b'g';
/// Waits for the end of the stream, and only then answers with [`LATE_ANSWER`] bytes.
pub const LATE: u8 = b'l';
/// Resets the connection.
pub const RESET: u8 = b'r';
/// Waits for how the client leaves.
pub const WATCH: u8 = b'w';
/// Says how the last one left that was watched: [`LEFT_BY_RESET`] or something else.
pub const HOW: u8 = b'h';

/// What does not fit into buffers.
pub const LATE_ANSWER: usize = 8 << 20;
pub const LEFT_BY_RESET: u8 = b'r';
const LEFT_BY_END: u8 = b'e';
const NOT_YET: u8 = b'n';

static LEFT: AtomicU8 = AtomicU8::new(NOT_YET);

/// Serves until it is killed.
pub async fn run(listen: SocketAddr) -> Result<(), TaskError> {
    let what = || format!("listen on {listen}");
    let socket = TcpSocket::new_v4().context(what)?;
    socket.set_reuseaddr(true).context(what)?;
    socket.bind(listen).context(what)?;
    let listener = socket.listen(4096).context(what)?;
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            // How a client leaves is the client's business.
            tokio::spawn(async move { serve(stream).await.ok() });
        }
    }
}

async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    match stream.read_u8().await? {
        ONCE => {
            let byte = stream.read_u8().await?;
            stream.write_u8(byte).await
        }
        ECHO => {
            let mut bytes = [0; 4096];
            loop {
                let read = stream.read(&mut bytes).await?;
                if read == 0 {
                    return Ok(());
                }
                stream.write_all(&bytes[..read]).await?;
            }
        }
        SINK => sink(stream).await,
        SOURCE => source(stream).await,
        LATE => {
            stream.read_to_end(&mut Vec::new()).await?;
            stream.write_all(&vec![7; LATE_ANSWER]).await
        }
        RESET => set_socket_linger(&stream, Some(Duration::ZERO)).map_err(Into::into),
        WATCH => {
            LEFT.store(NOT_YET, Relaxed);
            stream.write_u8(WATCH).await?;
            let left =
                if stream.read_u8().await.is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset) {
                    LEFT_BY_RESET
                } else {
                    LEFT_BY_END
                };
            LEFT.store(left, Relaxed);
            Ok(())
        }
        HOW => {
            while LEFT.load(Relaxed) == NOT_YET {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            stream.write_u8(LEFT.load(Relaxed)).await
        }
        _ => Ok(()),
    }
}

async fn sink(mut stream: TcpStream) -> std::io::Result<()> {
    let mut left = stream.read_u64().await?;
    let mut bytes = vec![0; 256 << 10];
    while left > 0 {
        let read = stream.read(&mut bytes).await?;
        if read == 0 {
            return Ok(());
        }
        left = left.saturating_sub(read as u64);
    }
    stream.write_u8(SINK).await?;
    stream.read_u8().await.map(|_| ())
}

async fn source(mut stream: TcpStream) -> std::io::Result<()> {
    let mut left = stream.read_u64().await?;
    let bytes = vec![7; 256 << 10];
    while left > 0 {
        let chunk = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        stream.write_all(&bytes[..chunk]).await?;
        left -= chunk as u64;
    }
    stream.read_u8().await.map(|_| ())
}

//! Makes connections.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::ssh::{self, LastWords};
use super::tls;
use crate::client::endpoint::{Address, Endpoint, SshTarget};
use crate::error::DockerError;

/// How often the other side is asked for a sign of life; without three it is gone.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
const GONE_MS: u32 = 20_000;

/// Nobody took the connection, or whoever did never said a word.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("no connection came about within {} s", .0.as_secs())]
pub struct Silent(Duration);

/// There never was a connection, so nothing was asked.
#[derive(Debug, thiserror::Error)]
#[error("no connection: {0}")]
pub struct Unreached(#[source] io::Error);

impl Unreached {
    /// Why not, in the words of the system.
    pub fn kind(&self) -> io::ErrorKind {
        self.0.kind()
    }
}

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// What it takes to connect.
pub(super) struct Dialer {
    way: Way,
    ssh_config: Option<std::path::PathBuf>,
    within: Duration,
}

enum Way {
    Unix(std::path::PathBuf),
    Plain(String, u16),
    Tls(String, u16, ServerName<'static>, TlsConnector),
    Ssh(SshTarget),
}

impl Dialer {
    pub(super) fn new(endpoint: &Endpoint, within: Duration) -> Result<Self, DockerError> {
        let way = match (endpoint.address()?, endpoint.tls()) {
            (Address::Unix(path), _) => Way::Unix(path),
            (Address::Ssh(target), _) => Way::Ssh(target),
            (Address::Tcp { host, port }, None) => Way::Plain(host, port),
            (Address::Tcp { host, port }, Some(files)) => {
                let name = ServerName::try_from(host.clone()).map_err(|_| DockerError::BadEndpoint {
                    endpoint: endpoint.to_string(),
                    why: "no certificate can have such a name".into(),
                })?;
                let config = tls::tls_of(files, &endpoint.to_string())?;
                Way::Tls(host, port, name, TlsConnector::from(Arc::new(config)))
            }
        };
        Ok(Self { way, ssh_config: endpoint.ssh_config().map(Into::into), within })
    }

    /// A connection, and where the last words of a client are that makes it for us.
    pub(super) async fn dial(&self) -> io::Result<(Box<dyn Stream>, Option<LastWords>)> {
        match tokio::time::timeout(self.within, self.connect()).await {
            Ok(connected) => connected.map_err(|error| io::Error::other(Unreached(error))),
            Err(_) => Err(io::Error::other(Silent(self.within))),
        }
    }

    async fn connect(&self) -> io::Result<(Box<dyn Stream>, Option<LastWords>)> {
        Ok(match &self.way {
            Way::Unix(path) => (Box::new(UnixStream::connect(path).await?), None),
            Way::Plain(host, port) => (Box::new(tcp(host, *port).await?), None),
            Way::Tls(host, port, name, tls) => {
                (Box::new(tls.connect(name.clone(), tcp(host, *port).await?).await?), None)
            }
            Way::Ssh(target) => {
                let (stream, words) = ssh::start(target, self.ssh_config.as_deref(), self.within)?;
                (Box::new(stream), Some(words))
            }
        })
    }
}

async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    notice_loss(&stream)?;
    Ok(stream)
}

/// A build may be silent for a quarter of an hour. A host that is gone is noticed long before.
fn notice_loss(stream: &TcpStream) -> io::Result<()> {
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEP_ALIVE)?;
    sockopt::set_tcp_keepintvl(stream, KEEP_ALIVE)?;
    sockopt::set_tcp_keepcnt(stream, 3)?;
    // The same for what was sent and is not acknowledged.
    sockopt::set_tcp_user_timeout(stream, GONE_MS)?;
    Ok(())
}

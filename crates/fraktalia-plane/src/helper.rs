//! The helper itself: it takes what it is told over a socket, keeps it on disk, and holds it.
//!
//! Whatever it holds outlives it: the rules stay in force in the kernel when it ends, so that a helper that is stopped,
//! killed or replaced never opens a network. It starts with what its file says, before the engine can have started any
//! container again.

mod disk;
mod held;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

use crate::engine;
use crate::pages::{self, Page};
use crate::protocol::{Answer, LONGEST, PATIENCE, Request};

pub use held::Holder;

/// How long open connections may go on once the helper is asked to end. Docker waits ten seconds before it kills.
const GRACE: Duration = Duration::from_secs(8);

/// How a helper is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// The scope that it works for, which goes into the name of its table.
    pub realm: String,
    /// Where its file is kept. Made when it is missing.
    pub dir: PathBuf,
    /// The socket on which it is asked. Only its own user may use it.
    pub control: PathBuf,
    /// The socket of the Docker engine that it follows.
    pub docker: PathBuf,
    /// Where its metrics are to be read, as Prometheus reads them.
    pub metrics: Option<SocketAddr>,
}

/// Why a helper ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum HelperError {
    /// Its file cannot be used.
    #[error("{path} cannot be {doing}: {cause}")]
    File {
        /// Which.
        path: PathBuf,
        /// `read`, `written`.
        doing: &'static str,
        /// Why.
        cause: String,
    },
    /// It cannot listen.
    #[error("cannot listen on {at}: {cause}")]
    Listen {
        /// Where.
        at: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// What its file says cannot be held.
    #[error("what it was told cannot be held: {what}")]
    Hold {
        /// What, and why.
        what: String,
        /// What to do next.
        hint: Option<String>,
    },
}

impl HelperError {
    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            Self::File { path, .. } => {
                format!("remove {} and run `fraktalia apply`, which tells it anew", path.display())
            }
            Self::Listen { .. } => "another helper may be running already".into(),
            Self::Hold { hint, .. } => {
                hint.clone().unwrap_or_else(|| "`fraktalia apply` tells it anew".into())
            }
        }
    }

    fn file(path: &Path, doing: &'static str, cause: impl std::fmt::Display) -> Self {
        Self::File { path: path.into(), doing, cause: cause.to_string() }
    }
}

/// Runs until `end` is done; `ready` is called once everything of the last time is held again.
///
/// # Errors
/// When it cannot start. From then on whatever fails is told to whoever asks, and tried again.
pub async fn run(
    options: Options,
    ready: impl FnOnce(),
    end: impl Future<Output = ()>,
) -> Result<(), HelperError> {
    let (tell, seen) = watch::channel(engine::Seen::default());
    let holder = Arc::new(Holder::start(&options, seen.clone()).await?);
    let control = listen(&options.control)?;
    let follower = tokio::spawn(engine::follow(options.docker.clone(), tell));
    let mover = tokio::spawn(Arc::clone(&holder).follow(seen));
    let metrics = match options.metrics {
        Some(at) => Some(tokio::spawn(serve_metrics(metrics_listener(at).await?, Arc::clone(&holder)))),
        None => None,
    };
    tracing::info!(dir = %options.dir.display(), control = %options.control.display(), "holding");
    ready();
    tokio::select! {
        () = serve(control, &holder) => {}
        () = end => {}
    }
    tracing::info!("ending: open connections have {} s", GRACE.as_secs());
    let _ = std::fs::remove_file(&options.control);
    for task in [Some(follower), Some(mover), metrics].into_iter().flatten() {
        task.abort();
    }
    let left = holder.end(GRACE).await;
    if left > 0 {
        tracing::warn!(left, "connections were cut");
    }
    Ok(())
}

/// Only our own user may ask: the socket is made where nobody else can reach it, and only then gets its name.
fn listen(path: &Path) -> Result<UnixListener, HelperError> {
    let failed = |cause| HelperError::Listen { at: path.display().to_string(), cause };
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(failed(io::ErrorKind::AddrInUse.into()));
    }
    let parent = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(parent).map_err(failed)?;
    let private = tempfile::Builder::new().prefix(".fraktalia-").tempdir_in(parent).map_err(failed)?;
    let made = private.path().join("socket");
    let listener = UnixListener::bind(&made).map_err(failed)?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&made, mode).map_err(failed)?;
    std::fs::rename(&made, path).map_err(failed)?;
    Ok(listener)
}

async fn serve(control: UnixListener, holder: &Arc<Holder>) {
    loop {
        match control.accept().await {
            Ok((stream, _)) => {
                let holder = Arc::clone(holder);
                tokio::spawn(async move {
                    if let Ok(Err(error)) = tokio::time::timeout(PATIENCE, answer(stream, &holder)).await {
                        tracing::warn!(%error, "somebody asked and did not wait for the answer");
                    }
                });
            }
            // Out of descriptors: give them time to come back.
            Err(error) => {
                tracing::warn!(%error, "nobody can ask");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer(mut stream: UnixStream, holder: &Holder) -> io::Result<()> {
    let mut question = Vec::new();
    (&mut stream).take(LONGEST).read_to_end(&mut question).await?;
    let answer = match serde_json::from_slice::<Request>(&question) {
        Ok(Request::Look) => Answer::Holding(holder.look().await),
        Ok(Request::Set { was, config }) => holder.set(&was, config).await,
        Err(error) => Answer::Refused {
            what: format!("the question makes no sense: {error}"),
            hint: Some("it may come from another version of fraktalia".into()),
        },
    };
    stream.write_all(&serde_json::to_vec(&answer)?).await?;
    stream.shutdown().await
}

async fn metrics_listener(at: SocketAddr) -> Result<tokio::net::TcpListener, HelperError> {
    let failed = |cause| HelperError::Listen { at: at.to_string(), cause };
    tokio::net::TcpListener::bind(at).await.map_err(failed)
}

/// One page, whatever is asked for.
async fn serve_metrics(listener: tokio::net::TcpListener, holder: Arc<Holder>) {
    pages::serve(listener, move |_| {
        let holder = Arc::clone(&holder);
        async move { Page::metrics(holder.metrics().await) }
    })
    .await;
}

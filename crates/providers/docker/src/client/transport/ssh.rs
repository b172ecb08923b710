//! Engines behind SSH: the system's own client runs `docker system dial-stdio` there, and its two streams are the
//! connection. So its configuration, its agent and its known hosts count, and nothing of it is built anew.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;

use crate::client::endpoint::SshTarget;

/// What of the client's words is kept.
const LONGEST: u64 = 4 << 10;
/// How long a client that closed its streams may take to end.
const ENDING: Duration = Duration::from_secs(5);

/// The SSH client ended, and said why.
#[derive(Clone, Debug, thiserror::Error)]
#[error("ssh said: {0}")]
pub struct SshFailed(String);

impl SshFailed {
    /// What can be done about it.
    pub fn hint(&self) -> &'static str {
        let said = &self.0;
        if said.contains("Host key verification failed") || said.contains("key is not known") {
            "log in once by hand (`ssh HOST`), compare the fingerprint and let it be remembered; keys are never accepted \
             without a person"
        } else if said.contains("Permission denied") {
            "put a key of this user into `authorized_keys` there; nobody is asked for a password here"
        } else if said.contains("not found") {
            "install Docker's command line there: the connection runs `docker system dial-stdio`"
        } else {
            "try `ssh HOST docker version` by hand"
        }
    }
}

/// The two streams of a client, which ends with them.
pub(super) struct SshStream {
    reads: ChildStdout,
    /// Taken away when we have said all.
    writes: Option<ChildStdin>,
    /// Killed when it is dropped.
    _client: Child,
}

/// What the client says besides, once it has ended.
pub(super) struct LastWords(JoinHandle<String>);

impl LastWords {
    /// Waits for them, not for long.
    pub(super) async fn wait(self) -> Option<SshFailed> {
        let said = tokio::time::timeout(ENDING, self.0).await.ok()?.ok()?;
        let said = crate::error::plain(said.trim());
        (!said.is_empty()).then_some(SshFailed(said))
    }
}

/// Starts a client.
pub(super) fn start(
    target: &SshTarget,
    config: Option<&Path>,
    within: Duration,
) -> io::Result<(SshStream, LastWords)> {
    let mut command = Command::new("ssh");
    if let Some(config) = config {
        command.arg("-F").arg(config);
    }
    command.args(arguments(target, within));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut client = command.spawn().map_err(|error| {
        io::Error::other(SshFailed(format!("not started, since the program `ssh` cannot be run: {error}")))
    })?;
    let missing = || io::Error::other("the SSH client has no streams");
    let (Some(writes), Some(reads), Some(says)) =
        (client.stdin.take(), client.stdout.take(), client.stderr.take())
    else {
        return Err(missing());
    };
    let words = LastWords(tokio::spawn(listen(says)));
    Ok((SshStream { reads, writes: Some(writes), _client: client }, words))
}

/// Reads on after the limit, so that a talkative client is not stuck.
async fn listen(says: ChildStderr) -> String {
    let mut said = Vec::new();
    let mut first = says.take(LONGEST);
    let _ = first.read_to_end(&mut said).await;
    let _ = tokio::io::copy(&mut first.into_inner(), &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&said).into_owned()
}

fn arguments(target: &SshTarget, within: Duration) -> Vec<String> {
    let mut arguments = vec!["-T".to_owned()];
    let seconds = within.as_secs().max(1);
    for option in [
        // Nobody is there to answer questions, and a key that nobody has seen is refused.
        "BatchMode=yes",
        "StrictHostKeyChecking=yes",
        &format!("ConnectTimeout={seconds}"),
        "ServerAliveInterval=10",
        "ServerAliveCountMax=3",
        // The other side gets a pipe to its engine, and nothing of ours.
        "ForwardAgent=no",
        "ForwardX11=no",
        "ClearAllForwardings=yes",
        "PermitLocalCommand=no",
    ] {
        arguments.extend(["-o".into(), option.into()]);
    }
    arguments.extend(target.port.iter().flat_map(|port| ["-p".into(), port.to_string()]));
    arguments.extend(target.user.iter().flat_map(|user| ["-l".into(), user.clone()]));
    arguments.push("--".into());
    arguments.push(target.host.clone());
    arguments.push("docker system dial-stdio".into());
    arguments
}

impl AsyncRead for SshStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reads).poll_read(cx, into)
    }
}

fn closed() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

impl AsyncWrite for SshStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.writes {
            Some(writes) => Pin::new(writes).poll_write(cx, bytes),
            None => Poll::Ready(Err(closed())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.writes {
            Some(writes) => Pin::new(writes).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    /// A pipe is closed by letting go of it; what comes back is still read.
    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writes = None;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_never_asks_and_knows_its_host_beforehand() {
        let target = SshTarget { user: Some("ops".into()), host: "mox".into(), port: Some(2222) };
        let arguments = arguments(&target, Duration::from_secs(10)).join(" ");
        assert!(arguments.contains("BatchMode=yes") && arguments.contains("StrictHostKeyChecking=yes"));
        assert!(arguments.ends_with("-p 2222 -l ops -- mox docker system dial-stdio"), "{arguments}");
    }
}

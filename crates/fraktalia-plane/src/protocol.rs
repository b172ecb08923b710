//! What is asked of a helper, and what it answers: one JSON text each way, then the connection ends.
//!
//! A helper runs on hostile ground, so its answers are data: bounded in size, refused when they have a form that is
//! not known, and never followed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::config::{Config, Listen};

/// No question and no answer is longer: thousands of networks and forwards fit in.
pub const LONGEST: u64 = 4 << 20;
/// How long an answer may take. A change waits for nft and for ports to be bound, both a matter of milliseconds.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// What do you hold?
    Look,
    /// Hold this from now on.
    Set {
        /// [`fingerprint`] of what it held when the change was worked out; something else means that somebody was
        /// faster, and is refused.
        was: String,
        /// All that it is to hold.
        config: Config,
    },
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// What it holds, by now.
    Holding(View),
    /// It did not do as asked, and nothing changed.
    Refused {
        /// What it could not do, on what, and why.
        what: String,
        /// What to do next.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
}

/// What a helper holds, and how that goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// What it was told.
    pub config: Config,
    /// Whether the rules of the networks are in force as it loaded them.
    pub closed: bool,
    /// Each listener, by the text of its [`Listen`].
    pub forwards: BTreeMap<String, Carried>,
    /// What it cannot do at the moment, in words: the engine does not answer, a port is taken.
    #[serde(default)]
    pub problems: Vec<String>,
    /// How often it has put its rules back after somebody else had changed them.
    #[serde(default)]
    pub healed: u64,
}

/// A forwarded port at work.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Carried {
    /// Whether it listens.
    pub listening: bool,
    /// Whether new connections are carried by the kernel.
    pub by_kernel: bool,
    /// Where it leads at the moment; nowhere while the agent has no running container.
    pub target: Option<SocketAddr>,
    /// Connections that are open.
    pub open: u64,
    /// Connections so far.
    pub connections: u64,
    /// How many of them found no container.
    pub refused: u64,
    /// Bytes carried into the container.
    pub bytes_in: u64,
    /// Bytes carried out of it.
    pub bytes_out: u64,
}

impl View {
    /// The listener at `listen`.
    pub fn carried(&self, listen: &Listen) -> Option<&Carried> {
        self.forwards.get(&listen.to_string())
    }
}

/// SHA-256 (hex) of what a helper holds.
pub fn fingerprint(config: &Config) -> String {
    use std::fmt::Write as _;
    // Maps are in order, so one config has one text.
    let text = serde_json::to_vec(config).unwrap_or_default();
    Sha256::digest(text).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The way to one helper.
#[async_trait]
pub trait Link: Send + Sync + std::fmt::Debug + 'static {
    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// When there is no helper, or no answer that makes sense.
    async fn ask(&self, request: &Request) -> Result<Answer, LinkError>;
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Nobody is there to be asked.
    #[error("{what}")]
    Absent {
        /// Where it was looked for.
        what: String,
    },
    /// It cannot be said whether the question was heard.
    #[error("{what}")]
    Failed {
        /// What failed, on what, why.
        what: String,
        /// What to do next.
        hint: String,
    },
}

/// Reads an answer that came as bytes.
///
/// # Errors
/// When it is none.
pub fn read_answer(bytes: &[u8]) -> Result<Answer, LinkError> {
    serde_json::from_slice(bytes).map_err(|error| LinkError::Failed {
        what: format!("the helper's answer makes no sense: {error}"),
        hint: "it may be of another version: `fraktalia apply` brings ours".into(),
    })
}

/// The helper that listens on a socket of this machine.
#[derive(Clone, Debug)]
pub struct Socket(pub PathBuf);

#[async_trait]
impl Link for Socket {
    async fn ask(&self, request: &Request) -> Result<Answer, LinkError> {
        let failed = |doing: &str, error: std::io::Error| LinkError::Failed {
            what: format!("cannot {doing} the helper at {}: {error}", self.0.display()),
            hint: "look at its log: `journalctl -u fraktalia-forward`".into(),
        };
        let asking = async {
            let mut stream = match UnixStream::connect(&self.0).await {
                Ok(stream) => stream,
                Err(error)
                    if matches!(
                        error.kind(),
                        std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused
                    ) =>
                {
                    return Err(LinkError::Absent {
                        what: format!("no helper listens at {}", self.0.display()),
                    });
                }
                Err(error) => return Err(failed("reach", error)),
            };
            let question = serde_json::to_vec(request).unwrap_or_default();
            stream.write_all(&question).await.map_err(|error| failed("ask", error))?;
            stream.shutdown().await.map_err(|error| failed("ask", error))?;
            let mut answer = Vec::new();
            stream.take(LONGEST).read_to_end(&mut answer).await.map_err(|error| failed("hear", error))?;
            read_answer(&answer)
        };
        let late = |_| LinkError::Failed {
            what: format!(
                "the helper at {} did not answer within {} s",
                self.0.display(),
                PATIENCE.as_secs()
            ),
            hint: "look at its log: `journalctl -u fraktalia-forward`".into(),
        };
        tokio::time::timeout(PATIENCE, asking).await.map_err(late)?
    }
}

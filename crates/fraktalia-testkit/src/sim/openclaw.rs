//! A double of the OpenClaw gateway: speaks the part of its WebSocket protocol (version 4) that we use, reads the
//! configuration file, checks it in a simple way, and runs on it or not, as it is told.
//!
//! It looks at the file when it is asked, not on a timer, so that a test is never about time.

mod config;
mod wire;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// How the gateway behaves towards a file that is not the one it runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    /// Takes it over after it was asked this many times, as a gateway that needs a moment to notice.
    #[default]
    Prompt,
    /// Notices it only at the given number of questions.
    Slow(usize),
    /// Reads it, finds it valid, and goes on with the old one.
    StayOnOld,
    /// Finds it invalid, whatever is in it.
    Refuse,
    /// Takes the question and never answers.
    Hang,
    /// Closes the connection instead of answering.
    Drop,
    /// Takes it over, and writes it anew as OpenClaw does: plain JSON, `agents.entries`, a `meta` of its own.
    Rewrite,
}

/// A gateway double, until dropped.
#[derive(Debug)]
pub struct GatewaySim {
    url: String,
    token: String,
    state: Arc<Mutex<State>>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    path: PathBuf,
    token: String,
    mood: Mood,
    /// Whether it can say what it runs on; older releases cannot.
    says_applied: bool,
    /// Connections that it still turns away because it is starting.
    starting: usize,
    /// What it runs on.
    applied: String,
    asked: usize,
    /// Questions since the file last changed.
    since_change: usize,
    last_seen: String,
}

impl GatewaySim {
    /// A gateway that runs on the file at `path`.
    ///
    /// # Errors
    /// When no port on loopback can be had, or the file cannot be read.
    pub async fn start(path: &Path) -> std::io::Result<Self> {
        let text = std::fs::read_to_string(path)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("ws://{}", listener.local_addr()?);
        let token = "the-gateway's-token".to_owned();
        let state = Arc::new(Mutex::new(State {
            path: path.to_owned(),
            token: token.clone(),
            mood: Mood::Prompt,
            says_applied: true,
            starting: 0,
            applied: text.clone(),
            asked: 0,
            since_change: 0,
            last_seen: text,
        }));
        let server = tokio::spawn(wire::serve(listener, Arc::clone(&state)));
        Ok(Self { url, token, state, server })
    }

    /// `ws://127.0.0.1:<port>`
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The token that it lets in.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// From now on.
    pub fn be(&self, mood: Mood) {
        self.state().mood = mood;
    }

    /// Turns away the next connections, as a gateway that is starting does.
    pub fn start_again(&self, connections: usize) {
        self.state().starting = connections;
    }

    /// Behaves like a release that cannot say what it runs on.
    pub fn be_old(&self) {
        self.state().says_applied = false;
    }

    /// What it runs on: the text of the file when it took it over.
    pub fn applied(&self) -> String {
        self.state().applied.clone()
    }

    /// How often it was asked for its configuration.
    pub fn asked(&self) -> usize {
        self.state().asked
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Drop for GatewaySim {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// Looks at the file, takes it over if it is in the mood, and says what it then sees.
    fn look(&mut self) -> Value {
        self.asked += 1;
        let text = std::fs::read_to_string(&self.path).unwrap_or_default();
        if text != self.last_seen {
            self.last_seen.clone_from(&text);
            self.since_change = 0;
        }
        self.since_change += 1;
        let read = config::read(&text);
        let mut issues = read.as_ref().map_or_else(|issue| vec![issue.clone()], config::issues);
        if text != self.applied {
            match &self.mood {
                Mood::Refuse => issues.push(config::issue("agents", "this gateway takes nothing")),
                Mood::Slow(questions) if self.since_change < *questions => {
                    return self.answer_for(&self.applied, &[]);
                }
                Mood::Prompt | Mood::Slow(_) if issues.is_empty() => self.applied.clone_from(&text),
                Mood::Rewrite if issues.is_empty() => return self.rewrite(&read.unwrap_or_default()),
                _ => {}
            }
        }
        self.answer_for(&text, &issues)
    }

    fn rewrite(&mut self, config: &Value) -> Value {
        let text = config::rewritten(config);
        // A double that cannot write would be a broken test, and shows as a file that was never rewritten.
        let _ = std::fs::write(&self.path, &text);
        self.applied.clone_from(&text);
        self.last_seen.clone_from(&text);
        self.answer_for(&text, &[])
    }

    fn answer_for(&self, text: &str, issues: &[Value]) -> Value {
        config::answer(&self.path, text, issues, self.says_applied.then_some(&self.applied))
    }
}

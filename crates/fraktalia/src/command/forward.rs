//! `forward`: the helper beside a Docker engine, and the way to put a question to it.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fraktalia_plane::helper::{self, Options};
use fraktalia_plane::protocol::{Answer, LONGEST, Link as _, LinkError, Request, Socket};
use tokio::signal::unix::{SignalKind, signal};

use crate::app::App;
use crate::cli::ForwardArgs;
use crate::error::Failure;
use crate::exit::Exit;

/// How long a helper may take from its start until it listens.
const STARTING: Duration = Duration::from_secs(5);
/// When it is asked again.
const AGAIN: Duration = Duration::from_millis(50);

/// Holds what it is told, until it is asked to end.
pub async fn run(app: &App, args: &ForwardArgs) -> Result<Exit, Failure> {
    if args.ask {
        return ask(app, args).await;
    }
    let realm = realm(app, args)?;
    let options = Options {
        dir: args.dir.clone().unwrap_or_else(|| PathBuf::from("/var/lib/fraktalia").join(&realm)),
        control: control(args, &realm),
        docker: args.docker.clone(),
        metrics: args.metrics,
        realm,
    };
    let signals = |what| Failure::Environment {
        what: format!("cannot listen for signals: {what}"),
        hint: "the process may have too few files: see `ulimit -n`".into(),
    };
    let mut term = signal(SignalKind::terminate()).map_err(signals)?;
    let mut int = signal(SignalKind::interrupt()).map_err(signals)?;
    let end = async {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    };
    // Nobody to tell is fine: it was not started by systemd.
    let ready = || {
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    };
    helper::run(options, ready, end)
        .await
        .map_err(|error| Failure::Environment { what: error.to_string(), hint: error.hint() })?;
    Ok(Exit::OK)
}

/// Where the helper of a realm is asked, when it runs as a service of this machine.
pub fn socket_of(realm: &str) -> PathBuf {
    PathBuf::from("/run/fraktalia").join(format!("{realm}.sock"))
}

fn control(args: &ForwardArgs, realm: &str) -> PathBuf {
    args.control.clone().unwrap_or_else(|| socket_of(realm))
}

fn realm(app: &App, args: &ForwardArgs) -> Result<String, Failure> {
    match &args.realm {
        Some(realm) => Ok(realm.clone()),
        None => Ok(app.manifest()?.0.realm),
    }
}

/// One question, one answer. This is what runs inside of the helper's container.
async fn ask(app: &App, args: &ForwardArgs) -> Result<Exit, Failure> {
    let mut text = Vec::new();
    let read = std::io::stdin().lock().take(LONGEST).read_to_end(&mut text);
    read.map_err(|source| Failure::File { doing: "read", path: "stdin".into(), source })?;
    let question: Request = serde_json::from_slice(&text).map_err(|error| {
        Failure::usage(format!("the question makes no sense: {error}"), "`\"look\"` is the simplest one")
    })?;
    let socket = Socket(match &args.control {
        Some(control) => control.clone(),
        None => socket_of(&realm(app, args)?),
    });
    let answer = patiently(&socket, &question).await.map_err(|error| match error {
        LinkError::Absent { what } => Failure::Environment { what, hint: "start it first".into() },
        LinkError::Failed { what, hint } => Failure::Environment { what, hint },
    })?;
    let text = serde_json::to_vec(&answer).unwrap_or_default();
    let written = std::io::stdout().lock().write_all(&text);
    written.map_err(|source| Failure::File { doing: "write", path: "stdout".into(), source })?;
    Ok(Exit::OK)
}

/// Asks; a helper that was started a moment ago may not listen yet.
async fn patiently(socket: &Socket, question: &Request) -> Result<Answer, LinkError> {
    let until = Instant::now() + STARTING;
    loop {
        match socket.ask(question).await {
            Err(LinkError::Absent { .. }) if Instant::now() < until => tokio::time::sleep(AGAIN).await,
            answer => return answer,
        }
    }
}

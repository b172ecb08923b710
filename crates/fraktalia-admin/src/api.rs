//! The Fractal API: the door's requests go to the clerk, who has the store, and come back as answers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use fraktalia_desk::{Case, Filing, Moment};
use fraktalia_door::{Desk, Door, Health, Living, Settings, Token, TokenError, Tokens, Unavailable};
use fraktalia_engine::{Secrets, StatePaths, applier::chain, journal};
use fraktalia_model::manifest::Api;
use fraktalia_model::{Manifest, Outputs, RoomId, id};
use fraktalia_room::Room;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::clerk::Told;

/// How long the clerk may take to say that all is well.
const WELL: Duration = Duration::from_secs(5);
/// How long the last answers may take.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// What the door asks of the clerk.
#[derive(Debug)]
pub enum Asked {
    /// Files something, and yields its case.
    File(Filing, oneshot::Sender<Option<Case>>),
    /// The case of an origin.
    CaseOf(String, oneshot::Sender<Option<Case>>),
    /// All cases.
    Cases(oneshot::Sender<Vec<Case>>),
    /// The fractals of the manifest; nothing while it is not in order.
    Fractals(oneshot::Sender<Option<Vec<Living>>>),
}

/// The manifest's section about the API, and where its secrets are read from.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    api: Option<Api>,
    base: PathBuf,
}

impl Section {
    /// That of a manifest.
    pub fn of(manifest: &Manifest) -> Self {
        Self { api: manifest.api.clone(), base: manifest.base.clone() }
    }

    /// Where it is to be served.
    pub fn listen(&self) -> Option<std::net::SocketAddr> {
        self.api.as_ref().map(|api| api.listen)
    }

    /// Its tokens. One that cannot be had is left out, and the log says why; the others count.
    pub async fn tokens(&self) -> Tokens {
        let secrets = Secrets::new(&self.base);
        let mut tokens = Vec::new();
        for (name, token) in self.api.iter().flat_map(|api| &api.tokens) {
            match secrets.resolve(&token.token).await {
                Ok(secret) => tokens.push(Token {
                    name: name.clone(),
                    secret,
                    scopes: token.scopes.clone(),
                    expires: Moment(token.expires_ms),
                    per_minute: token.per_minute,
                }),
                Err(error) => tracing::error!(
                    "the API's token `{name}` is refused: {}; make it readable, and send SIGHUP",
                    chain(&error)
                ),
            }
        }
        usable(tokens)
    }
}

/// Those of the tokens that nobody can guess, and that are one holder's alone.
fn usable(mut tokens: Vec<Token>) -> Tokens {
    loop {
        let error = match Tokens::new(tokens.clone()) {
            Ok(tokens) => return tokens,
            Err(error) => error,
        };
        tracing::error!("{error}; until then it is refused");
        let refused = match &error {
            TokenError::Weak(name) => [name, name],
            TokenError::Same(one, other) => [one, other],
        };
        let before = tokens.len();
        tokens.retain(|token| refused.iter().all(|name| **name != token.name));
        if tokens.len() == before {
            return Tokens::default();
        }
    }
}

/// The fractals of a manifest.
pub(crate) fn living(manifest: &Manifest) -> Vec<Living> {
    let room = |key: &str| Some((manifest.rooms.get(key)?, manifest.matrix.as_ref()?));
    let living = manifest.fractals.values().map(|fractal| Living {
        key: fractal.key.clone(),
        name: fractal.name.clone(),
        purpose: fractal.purpose.clone(),
        alias: room(&fractal.key)
            .filter(|(room, _)| room.aliased)
            .map(|(room, matrix)| format!("#{}:{}", room.alias, matrix.server_name)),
        room_id: room(&fractal.key).and_then(|(room, _)| room.id.as_ref()).map(|id| id.0.clone()),
        drifted: false,
    });
    living.collect()
}

/// The desk as the door sees it. Cheap to clone.
#[derive(Clone)]
pub struct Counter {
    tell: mpsc::Sender<Told>,
    changes: watch::Receiver<u64>,
    room: Room,
    looked: watch::Receiver<Option<bool>>,
    made: Arc<Mutex<Made>>,
}

impl Counter {
    /// A counter before the clerk: requests go to `tell`, `looked` says whether the hands' last look was answered.
    pub fn new(
        tell: mpsc::Sender<Told>,
        changes: watch::Receiver<u64>,
        room: Room,
        looked: watch::Receiver<Option<bool>>,
        state: StatePaths,
    ) -> Self {
        Self {
            tell,
            changes,
            room,
            looked,
            made: Arc::new(Mutex::new(Made { state, read: BTreeSet::new(), outputs: Outputs::new() })),
        }
    }

    async fn ask<A>(&self, asked: impl FnOnce(oneshot::Sender<A>) -> Asked) -> Result<A, Unavailable> {
        let ended = || Unavailable("the clerk has ended".into());
        let (answer, answered) = oneshot::channel();
        self.tell.send(Told::Asked(asked(answer))).await.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())
    }
}

#[async_trait]
impl Desk for Counter {
    async fn file(&self, filing: Filing) -> Result<Case, Unavailable> {
        let case = self.ask(|answer| Asked::File(filing, answer)).await?;
        case.ok_or_else(|| Unavailable("it was not taken up".into()))
    }

    async fn case_of(&self, origin: &str) -> Result<Option<Case>, Unavailable> {
        self.ask(|answer| Asked::CaseOf(origin.into(), answer)).await
    }

    async fn cases(&self) -> Result<Vec<Case>, Unavailable> {
        self.ask(Asked::Cases).await
    }

    async fn fractals(&self) -> Result<Vec<Living>, Unavailable> {
        let living = self.ask(Asked::Fractals).await?;
        let mut living = living.ok_or_else(|| Unavailable("the manifest is not in order now".into()))?;
        let made = Arc::clone(&self.made);
        let look = move || {
            let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
            made.look();
            for fractal in living.iter_mut().filter(|fractal| fractal.room_id.is_none()) {
                fractal.room_id = made.room(&fractal.key);
            }
            living
        };
        tokio::task::spawn_blocking(look).await.map_err(|error| Unavailable(error.to_string()))
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }

    async fn health(&self) -> Health {
        let desk = tokio::time::timeout(WELL, self.case_of("")).await;
        let mut checks = BTreeMap::from([("desk", matches!(desk, Ok(Ok(_)))), ("room", self.room.hears())]);
        if let Some(well) = *self.looked.borrow() {
            checks.insert("hands", well);
        }
        Health { checks }
    }
}

/// The ids of the rooms that runs have made: the journals have them, and each journal is read once.
struct Made {
    state: StatePaths,
    read: BTreeSet<PathBuf>,
    outputs: Outputs,
}

impl Made {
    /// What cannot be read is not known: nothing but a convenience is missing then.
    fn look(&mut self) {
        for path in journal::list(&self.state).unwrap_or_default() {
            if self.read.contains(&path) {
                continue;
            }
            let Ok(Some(run)) = journal::read(&path) else { continue };
            for status in &run.statuses {
                if let journal::Status::Done { outputs, .. } = status {
                    self.outputs.extend(outputs.clone());
                }
            }
            if run.closed.is_some() {
                self.read.insert(path);
            }
        }
    }

    fn room(&self, key: &str) -> Option<String> {
        self.outputs.get::<RoomId>(&id::room(key)).map(|room| room.0)
    }
}

/// The API at work: from its start until it is told to end.
pub struct Serving {
    stop: watch::Sender<bool>,
    done: JoinHandle<()>,
}

impl Serving {
    /// Serves the API on a listener that is there already.
    pub async fn begin(listener: TcpListener, counter: Counter, sections: watch::Receiver<Section>) -> Self {
        let clock = || Moment(jiff::Timestamp::now().as_millisecond().max(0).unsigned_abs());
        let first = sections.borrow().clone();
        let door = Door::new(Settings::default(), first.tokens().await, Arc::new(counter), Arc::new(clock));
        let (stop, stopped) = watch::channel(false);
        let done = tokio::spawn(async move {
            let keep = keep(&door, &first, sections);
            let mut ended = stopped.clone();
            let serve = door.serve(listener, async move {
                let _ = ended.wait_for(|stop| *stop).await;
            });
            tokio::pin!(serve);
            tokio::select! {
                () = &mut serve => {}
                () = keep => serve.await,
            }
        });
        Self { stop, done }
    }

    /// Takes no more requests. Those at work are still answered.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until all are answered, or for as long as that may take.
    pub async fn ended(self) {
        self.stop();
        if tokio::time::timeout(LAST_ANSWERS, self.done).await.is_err() {
            tracing::warn!("some requests to the API were not answered");
        }
    }
}

/// Keeps the tokens as the manifest says, and reads their secrets anew on SIGHUP.
async fn keep(door: &Door, first: &Section, mut sections: watch::Receiver<Section>) {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hang_up = signal(SignalKind::hangup()).ok();
    let mut listen = first.listen();
    loop {
        let signalled = async {
            match &mut hang_up {
                Some(hang_up) => hang_up.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = sections.changed() => if changed.is_err() { return },
            _ = signalled => {}
        }
        let section = sections.borrow_and_update().clone();
        if section.listen() != listen {
            listen = section.listen();
            tracing::warn!("`api.listen` is another now, or gone; that counts after a restart");
        }
        door.set_tokens(section.tokens().await);
        tracing::info!("the API's tokens were read again");
    }
}

//! Puts the parts together, and ends them in order.

use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use fraktalia_desk::What;
use fraktalia_engine::{SecretError, Secrets, StatePaths};
use fraktalia_hands::{Drift, Hands};
use fraktalia_model::{Manifest, UserId};
use fraktalia_room::{Batch, Room, RoomError, Settings, Unread, Why};
use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::api::{Counter, Serving};
use crate::clerk::{Clerk, ClerkError, Files, Told};
use crate::cli::{Cli, Command};
use crate::rules::{NoRules, Rules};

/// Why the program ends.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Rules(#[from] NoRules),
    #[error(transparent)]
    Room(#[from] RoomError),
    #[error(transparent)]
    Clerk(#[from] ClerkError),
    #[error(
        "cannot listen on {listen} for the API; end what listens there, or choose another `api.listen` (without `api` nothing listens)"
    )]
    Listen {
        listen: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot read `matrix.admin_token`")]
    Token(#[from] SecretError),
    #[error("cannot make the directory {}", path.display())]
    Folder {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "there is no place for our own files: neither XDG_STATE_HOME nor HOME is set; `--state` names a directory"
    )]
    NoState,
    #[error(
        "`{0}` has no identity that could be trusted; they have to set up a key backup or verify a device first"
    )]
    NoIdentity(String),
    #[error("cannot start")]
    Runtime(#[source] std::io::Error),
}

impl Failure {
    /// As `fraktalia` ends in the same case: docs/reference/exit-codes.md.
    fn exit(&self) -> u8 {
        match self {
            Self::Rules(_) => 10,
            Self::Room(_) => 11,
            _ => 1,
        }
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // A closed pipe is no reason to fail.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    trace(cli.verbose);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::Runtime);
    match runtime.and_then(|runtime| runtime.block_on(command(&cli))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tracing::error!("{}", fraktalia_engine::applier::chain(&failure));
            ExitCode::from(failure.exit())
        }
    }
}

/// Who reads the log of a service did not ask for `-v`.
fn trace(verbose: u8) {
    use tracing_subscriber::EnvFilter;
    let usual = match verbose {
        0 => "warn,fraktalia_admin=info,matrix_sdk=error,matrix_sdk_crypto=error,matrix_sdk_base=error",
        1 => "info,matrix_sdk=warn,matrix_sdk_crypto=warn,matrix_sdk_base=warn",
        _ => "debug",
    };
    let filter = std::env::var("FRAKTALIA_LOG").ok().and_then(|text| text.parse().ok());
    let filter = filter.unwrap_or_else(|| EnvFilter::new(usual));
    let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt().with_ansi(ansi).with_env_filter(filter).with_writer(std::io::stderr).init();
}

async fn command(cli: &Cli) -> Result<(), Failure> {
    let rules = Rules::read(&cli.manifest)?;
    let place = Place::of(cli, rules.manifest())?;
    let settings = place.settings(rules.manifest()).await?;
    match &cli.command {
        None | Some(Command::Run) => Box::pin(run(cli, rules, &place, settings)).await,
        Some(Command::Trust { user }) => trust(&settings, user).await,
    }
}

async fn trust(settings: &Settings, user: &str) -> Result<(), Failure> {
    let room = Room::enter(settings).await?;
    if !room.trust(&UserId(user.into())).await? {
        return Err(Failure::NoIdentity(user.into()));
    }
    tracing::info!("the identity that {user} has now is trusted");
    Ok(())
}

/// Where everything is.
struct Place {
    state: StatePaths,
    files: Files,
    room: PathBuf,
    program: PathBuf,
}

impl Place {
    fn of(cli: &Cli, manifest: &Manifest) -> Result<Self, Failure> {
        let root = match &cli.state {
            Some(state) => state.clone(),
            None => fraktalia_engine::paths::state_home()
                .ok_or(Failure::NoState)?
                .join("fraktalia")
                .join(&manifest.realm),
        };
        let failed = |path: &PathBuf| {
            let path = path.clone();
            move |source| Failure::Folder { path, source }
        };
        let root = std::path::absolute(&root).map_err(failed(&root))?;
        let state = StatePaths::new(&root);
        state.create().map_err(failed(&root))?;
        let admin = root.join("admin");
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&admin).map_err(failed(&admin))?;
        let files =
            Files { store: admin.join("desk.sqlite"), audit: state.audit(), anchor: state.audit_anchor() };
        Ok(Self { state, files, room: admin.join("room"), program: program(cli) })
    }

    async fn settings(&self, manifest: &Manifest) -> Result<Settings, Failure> {
        let no_room = || NoRules::NoRoom { path: manifest.path.clone() };
        let (matrix, admin) = (
            manifest.matrix.as_ref().ok_or_else(no_room)?,
            manifest.admin_room.as_ref().ok_or_else(no_room)?,
        );
        let room = match manifest.rooms.get(&admin.room) {
            Some(room) => room.address(matrix),
            None => format!("#{}:{}", admin.room, matrix.server_name),
        };
        Ok(Settings {
            homeserver: matrix.homeserver.clone(),
            user: admin.user.clone(),
            room,
            dir: self.room.clone(),
            admin_token: Secrets::new(&manifest.base).resolve(&matrix.admin_token).await?,
            keys_within: Settings::KEYS_WITHIN,
        })
    }
}

/// The `fraktalia` that belongs to this program.
fn program(cli: &Cli) -> PathBuf {
    let beside = || {
        let beside = std::env::current_exe().ok()?.with_file_name("fraktalia");
        beside.is_file().then_some(beside)
    };
    cli.program.clone().or_else(beside).unwrap_or_else(|| "fraktalia".into())
}

async fn run(cli: &Cli, rules: Rules, place: &Place, settings: Settings) -> Result<(), Failure> {
    // Whoever hears it reads the API's tokens again. Without an API nobody does, and it must not end us.
    let _hang_up = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup());
    let hands = Hands::new(&place.program, &cli.manifest, place.state.root())
        .map_err(|source| Failure::Folder { path: place.state.root().into(), source })?;
    let listener = bind(rules.manifest()).await?;
    let room = Room::enter(&settings).await?;
    // And the admin's token with the rest: from here on it is not needed.
    let address = { settings }.room;
    let clerk = Clerk::sit_down(&place.files, rules, room.clone(), hands.clone())?;
    let (tell, told) = mpsc::channel(8);
    let (end, ended) = watch::channel(false);
    let (see, looked) = watch::channel(None);
    // Before anything that is heard.
    if let Some(what) = introduction(clerk.is_new()?, room.is_new_device()) {
        tell.try_send(Told::Heard(what)).map_err(|_| ClerkError::Worker)?;
    }
    let serving = match listener {
        Some(listener) => {
            let state = place.state.clone();
            let counter = Counter::new(tell.clone(), clerk.changes(), room.clone(), looked, state);
            Some(Serving::begin(listener, counter, clerk.section()).await)
        }
        None => None,
    };
    let mut listening = tokio::spawn(listen(room.clone(), clerk.position()?, tell.clone()));
    let looking = tokio::spawn(look(hands, tell, see));
    let clerk = clerk.work(told, ended);
    tokio::pin!(clerk);
    let encrypted = if room.is_encrypted() { "encrypted" } else { "NOT encrypted" };
    tracing::info!("{} sits in {address} ({encrypted})", room.user());
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    let mut watchdog = tokio::time::interval(
        sd_notify::watchdog_enabled().map_or(Duration::from_mins(1), |every| every / 2),
    );
    let result = loop {
        tokio::select! {
            result = &mut clerk => break result.map_err(Failure::from),
            // It does not end but by a failure.
            Ok(Err(error)) = &mut listening => {
                end.send_replace(true);
                clerk.await?;
                break Err(error.into());
            }
            () = signal() => {
                let _ = sd_notify::notify(&[NotifyState::Stopping]);
                tracing::info!("ends; a run that is at work is brought to its end first");
                serving.iter().for_each(Serving::stop);
                end.send_replace(true);
                break clerk.await.map_err(Failure::from);
            }
            _ = watchdog.tick() => { let _ = sd_notify::notify(&[NotifyState::Watchdog]); }
        }
    };
    listening.abort();
    looking.abort();
    if let Some(serving) = serving {
        serving.ended().await;
    }
    result
}

/// What the room is told about us at the start.
fn introduction(new_desk: bool, new_device: bool) -> Option<What> {
    match (new_desk, new_device) {
        (true, _) => Some(What::Began),
        (false, true) => Some(What::NewDevice),
        (false, false) => None,
    }
}

/// Takes the address of the API, where the manifest has one.
async fn bind(manifest: &Manifest) -> Result<Option<TcpListener>, Failure> {
    let Some(listen) = manifest.api.as_ref().map(|api| api.listen) else { return Ok(None) };
    let listener = TcpListener::bind(listen).await.map_err(|source| Failure::Listen { listen, source })?;
    tracing::info!("the API is served on {}", listener.local_addr().unwrap_or(listen));
    Ok(Some(listener))
}

/// What happens in the room, until somebody ends it.
async fn listen(room: Room, since: Option<String>, tell: mpsc::Sender<Told>) -> Result<(), RoomError> {
    let mut listening = room.listen(since);
    loop {
        let Batch { mut events, unread, position } = listening.next().await?;
        for Unread { event, by, why } in unread {
            tracing::warn!("{event} of {by} could not be read: {why:?}");
            events.extend(in_words(why).map(|why| What::Unread { event, by, why }));
        }
        if tell.send(Told::Room { events, position }).await.is_err() {
            return Ok(());
        }
    }
}

/// Why a message could not be read, to whoever wrote it. Nothing about one that is gone.
fn in_words(why: Why) -> Option<String> {
    match why {
        Why::NoKey => Some("its key did not come".into()),
        Why::TooMany => Some("too many wait for their keys already".into()),
        Why::Edited => Some("it was edited before its key came".into()),
        Why::File(why) => Some(format!("the file cannot be had, {why}")),
        Why::Gone => None,
    }
}

/// What drifts.
async fn look(hands: Hands, tell: mpsc::Sender<Told>, see: watch::Sender<Option<bool>>) {
    let mut drift = hands.drift();
    while let Some(drift) = drift.recv().await {
        see.send_replace(Some(!matches!(drift, Drift::Unknown(_))));
        let what = match drift {
            Drift::Drifted(plan) => What::Drifted { plan },
            Drift::Settled => What::Settled,
            Drift::Unknown(why) => {
                tracing::warn!("cannot look whether anything drifts: {why}");
                continue;
            }
        };
        if tell.send(Told::Heard(what)).await.is_err() {
            return;
        }
    }
}

/// Ctrl-C, or what a service manager sends.
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

//! `watch`: stays, and keeps things as the manifest says, or says that they are not.

mod listen;
mod notify;
mod source;
mod state;
mod teller;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fraktalia_engine::watch::{Settings, Teller, Watch};
use fraktalia_engine::{Session, Stop};
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use self::notify::Notifier;
use self::state::State;
use self::teller::{Clock, Scribe, Tellers};
use crate::app::App;
use crate::cli::WatchArgs;
use crate::error::Failure;
use crate::exit::Exit;
use crate::registry;

/// Watches until it is asked to end.
pub async fn run(app: &App, args: &WatchArgs) -> Result<Exit, Failure> {
    let mut signals = Signals::listen()?;
    let policy: fraktalia_engine::watch::Policy = args.policy.into();
    let scribe = Arc::new(Scribe {
        look: app.out,
        format: args.log_format,
        policy,
        clock: Clock::of_stdout(),
        state: Mutex::new(State { git: source::state(&args.git), ..State::new(policy) }),
        gone: Notify::new(),
    });
    let settings = Settings { policy, every: args.every, ..Settings::default() };
    let fault = registry::fault()?;
    let place = app.place()?;
    let source = source::of(app.path(), &args.git, &place)?;
    let open = move |manifest: fraktalia_model::Manifest| {
        let paths = place.of(&manifest.realm).map_err(|error| error.to_string())?;
        let registry = registry::registry(&manifest);
        Ok(Session::new(manifest, registry, paths).with_fault(fault))
    };
    let notifier = args.notify.as_deref().map(|room| Notifier::new(room, policy.acts()));
    let (hush, speaking) = speak(notifier.clone(), &scribe);
    let teller: Arc<dyn Teller> = Arc::new(Tellers { scribe: Arc::clone(&scribe), notifier });
    let watch = Watch::new(source, settings, Box::new(open), teller);
    let bell = watch.bell().of("SIGHUP");
    let (ask, asked) = watch::channel(Stop::No);
    let mut running = std::pin::pin!(watch.run(asked));
    let mut beat = tokio::time::interval(beat());
    let pages = match args.listen {
        Some(at) => Some(listen::serve(listen::open(at).await?, Arc::clone(&scribe))),
        None => None,
    };
    let mut pages = std::pin::pin!(async {
        match pages {
            Some(pages) => pages.await,
            None => std::future::pending().await,
        }
    });
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    loop {
        tokio::select! {
            () = &mut running => break,
            // In this task too: a watch that hangs does not say that it lives.
            () = &mut pages => {}
            // In the same task as the watch itself: when that hangs, this is not said.
            _ = beat.tick() => {
                let _ = sd_notify::notify(&[NotifyState::Watchdog]);
            }
            asked = signals.next() => match asked {
                Asked::ToLook => bell.ring_afresh("asked to look again"),
                Asked::ToEnd => stop(&ask),
            },
            () = scribe.gone.notified() => stop(&ask),
        }
    }
    hush.notify_one();
    if let Some(speaking) = speaking {
        // Its last words have a limit of their own.
        let _ = speaking.await;
    }
    Ok(Exit::OK)
}

/// Lets somebody say in a room what happens, until the bell is rung.
fn speak(notifier: Option<Arc<Notifier>>, scribe: &Arc<Scribe>) -> (Arc<Notify>, Option<JoinHandle<()>>) {
    let hush = Arc::<Notify>::default();
    let teller: Arc<dyn Teller> = Arc::<Scribe>::clone(scribe);
    let speaking = notifier.map(|notifier| tokio::spawn(notifier.speak(teller, Arc::clone(&hush))));
    (hush, speaking)
}

/// Once: what is in flight is finished, and taken back. Twice: it stops at once, and the journal knows the rest.
fn stop(ask: &watch::Sender<Stop>) {
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    ask.send_modify(|wish| *wish = if *wish == Stop::No { Stop::RollBack } else { Stop::Now });
}

/// Half of what systemd waits for; anything, where it waits for nothing.
fn beat() -> Duration {
    sd_notify::watchdog_enabled()
        .map_or(Duration::from_mins(1), |limit| limit / 2)
        .max(Duration::from_millis(10))
}

/// What somebody outside wants.
enum Asked {
    ToLook,
    ToEnd,
}

struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|what| Failure::Environment {
                what: format!("cannot listen for signals: {what}"),
                hint: "the process may have too few files: see `ulimit -n`".into(),
            })
        };
        Ok(Self {
            hangup: listen(SignalKind::hangup())?,
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.hangup.recv() => Asked::ToLook,
            _ = self.terminate.recv() => Asked::ToEnd,
            _ = self.interrupt.recv() => Asked::ToEnd,
        }
    }
}

//! One round: read the manifest, look, judge, act.

use std::sync::Arc;
use std::time::Duration;

use fraktalia_model::{Notes, Sources};
use fraktalia_plan::{Fingerprint, Plan, fingerprint};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::failures::{Failures, May};
use super::follow::Followers;
use super::happening::{Happening, Look, Teller};
use super::policy::{self, Judged, Waiting};
use super::reader::{Read, Reader};
use super::wake::{Bell, Wake};
use super::{Open, Settings, stopped};
use crate::applier::{Stop, chain};
use crate::git::{Checkout, Origin};
use crate::journal::{Run, Status};
use crate::lock::{Lock, LockError};
use crate::session::{Options, Planned, Session, SessionError};

/// How long after another run was found at work it is looked for again.
const BUSY: Duration = Duration::from_secs(1);
/// A look that takes longer has failed. Each system has deadlines of its own; this one is for what they forget.
const LONGEST_LOOK: Duration = Duration::from_mins(10);
/// How long after a failed look the next one comes, at first and at most.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

mod act;

/// What is known from round to round.
pub(super) struct Keeper {
    reader: Reader,
    settings: Settings,
    open: Box<Open>,
    teller: Arc<dyn Teller>,
    bell: Bell,
    session: Option<Arc<Session>>,
    /// The files that the session's manifest was read from, where they go with their commit.
    checkout: Option<Arc<Checkout>>,
    followers: Option<Followers>,
    failures: Failures,
    /// What was told last, so that it is told once.
    told: Told,
    failed_looks: u32,
}

#[derive(Default)]
struct Told {
    bad_manifest: Option<Fingerprint>,
    plan: Option<Fingerprint>,
    trouble: Option<String>,
    unfinished: Option<String>,
    locked: bool,
    gave_up: Option<Fingerprint>,
}

/// What becomes of a round.
enum Turn {
    /// It goes on.
    Go,
    /// It goes on, and nothing is done.
    Hold,
    /// It is over; another one comes after a while, or with the next event.
    Over(Option<Duration>),
}

impl Keeper {
    pub fn new(
        reader: Reader,
        settings: Settings,
        open: Box<Open>,
        teller: Arc<dyn Teller>,
        bell: Bell,
    ) -> Self {
        Self {
            reader,
            settings,
            open,
            teller,
            bell,
            session: None,
            checkout: None,
            followers: None,
            failures: Failures::default(),
            told: Told::default(),
            failed_looks: 0,
        }
    }

    /// When there is to be another round without any event.
    pub async fn round(&mut self, wake: &Wake, stop: &watch::Receiver<Stop>) -> Option<Duration> {
        if wake.afresh {
            self.failures = Failures::default();
            self.told = Told::default();
        }
        self.read_manifest(wake).await;
        let session = self.session.clone()?;
        if self.is_locked(&session) {
            return Some(BUSY);
        }
        let hold = match self.settle(&session, wake, stop).await {
            Turn::Go => false,
            Turn::Hold => true,
            Turn::Over(again) => return again,
        };
        let (began, options) = (Instant::now(), Options::default());
        let planned = tokio::select! {
            biased;
            () = stopped(stop.clone()) => return None,
            planned = timeout(LONGEST_LOOK, session.plan(&options, wake.afresh)) => planned,
        };
        let planned = match planned {
            Ok(Ok(planned)) => planned,
            Ok(Err(error)) => return Some(self.look_failed(wake, &error)),
            Err(_) => {
                let why = format!("a look took longer than {} min", LONGEST_LOOK.as_secs() / 60);
                self.tell_trouble(wake, &why, &Notes::new(), Vec::new(), &[]);
                return Some(LOOK_AGAIN.1);
            }
        };
        // Whoever began meanwhile was seen half done.
        if self.is_locked(&session) {
            return Some(BUSY);
        }
        (self.failed_looks, self.told.trouble) = (0, None);
        let judged = policy::judge(self.settings.policy, &planned.plan);
        self.tell_look(&session, wake, &planned, &judged, began);
        if hold { None } else { self.act(&session, &planned.plan, &judged, stop, wake).await }
    }

    async fn read_manifest(&mut self, wake: &Wake) {
        let Some(read) = self.reader.read(wake.afresh).await else { return };
        if self.take(read, wake) || self.session.is_some() {
            return;
        }
        // What was in force before this watch began still is; what was said of the newer one stays said.
        if let Some(read) = self.reader.last_good().await {
            let bad = self.told.bad_manifest.take();
            self.take(read, wake);
            self.told.bad_manifest = bad;
        }
    }

    /// Goes by a manifest from now on, if it is good; whether it is.
    fn take(&mut self, read: Read, wake: &Wake) -> bool {
        let Read { loaded, origin, checkout } = read;
        let Some(manifest) = loaded.manifest else {
            self.bad_manifest(&loaded.notes, &loaded.sources, origin.as_ref());
            return false;
        };
        let known = self.session.clone().filter(|session| session.manifest() == &manifest);
        let session = match known.map_or_else(|| (self.open)(manifest).map(Arc::new), Ok) {
            Ok(session) => session,
            Err(why) => return self.not_taken(wake, &why),
        };
        let old = self.session.as_ref().is_some_and(|old| Arc::ptr_eq(old, &session));
        if !old && let Err(SessionError::Lowering(notes)) = session.lower() {
            self.bad_manifest(&notes, &loaded.sources, origin.as_ref());
            return false;
        }
        if let Err(error) = self.reader.put_in_force(checkout.as_deref()) {
            return self.not_taken(wake, &chain(&error));
        }
        if self.told.bad_manifest.take().is_some() {
            self.teller.tell(&Happening::GoodManifest);
        }
        session.set_origin(origin);
        self.checkout = checkout;
        if !old {
            // The old streams end first: two of them would tell of everything twice.
            self.followers = None;
            self.followers = Some(Followers::start(&session, &self.bell, &self.teller));
            self.session = Some(session);
            self.failures = Failures::default();
        }
        true
    }

    /// It is no fault of the manifest: it is read again with the next round.
    fn not_taken(&mut self, wake: &Wake, why: &str) -> bool {
        self.reader.forget();
        self.tell_trouble(wake, why, &Notes::new(), Vec::new(), &[]);
        false
    }

    fn bad_manifest(&mut self, notes: &Notes, sources: &Sources, origin: Option<&Origin>) {
        let key = Some(fingerprint(&(notes, origin.map(|origin| &origin.commit))));
        if self.told.bad_manifest != key {
            self.told.bad_manifest = key;
            let kept = self.session.is_some() || self.reader.has_good();
            self.teller.tell(&Happening::BadManifest { notes, sources, kept, origin });
        }
    }

    /// Whether another process is at work; that is told once.
    fn is_locked(&mut self, session: &Session) -> bool {
        let holder = Lock::holder(session.paths());
        if let (Some(holder), false) = (&holder, self.told.locked) {
            self.teller.tell(&Happening::Locked { holder: holder.as_deref() });
        }
        self.told.locked = holder.is_some();
        holder.is_some()
    }

    /// A run that was not finished goes on when the policy allows every step that is left of it. In any other case a
    /// person decides, as they have to before the next `apply`.
    async fn settle(&mut self, session: &Session, wake: &Wake, stop: &watch::Receiver<Stop>) -> Turn {
        let run = match session.unfinished() {
            Ok(None) => {
                self.told.unfinished = None;
                return Turn::Go;
            }
            Ok(Some(run)) => run,
            Err(error) => return Turn::Over(Some(self.look_failed(wake, &error))),
        };
        // It may have begun a moment ago.
        if self.is_locked(session) {
            return Turn::Over(Some(BUSY));
        }
        let name = &run.header.run;
        if let Some(why) = self.objection(&run) {
            if self.told.unfinished.as_ref() != Some(name) {
                self.teller.tell(&Happening::Unfinished { run: name, waits: Some(&why) });
            }
            self.told.unfinished = Some(name.clone());
            return Turn::Hold;
        }
        match self.failures.may(name) {
            May::Now => {}
            May::After(pause) => return Turn::Over(Some(pause)),
            May::Never => return Turn::Hold,
        }
        let lock = match session.lock() {
            Ok(lock) => lock,
            Err(error) => return Turn::Over(Some(self.not_locked(wake, &error))),
        };
        self.teller.tell(&Happening::Unfinished { run: name, waits: None });
        let options = self.options(stop);
        let began = Instant::now();
        let ended = session.resume(&lock, &options).await;
        drop(lock);
        let again = self.ended(name, ended, began, stop, wake);
        // Whatever is left is for a plan of its own.
        Turn::Over(again.or(Some(Duration::ZERO)))
    }

    /// Why an unfinished run is left to a person.
    fn objection(&self, run: &Run) -> Option<String> {
        if !self.settings.policy.acts() {
            return Some(format!("the policy is {}", self.settings.policy.name()));
        }
        let going_back = |status: &Status| {
            matches!(status, Status::Undoing { .. } | Status::Undone | Status::Stuck { .. })
        };
        if run.statuses.iter().any(going_back) {
            return None;
        }
        let plan = &run.header.plan;
        let open = plan.steps.iter().map(|step| step.id);
        let open = open.filter(|id| !matches!(run.status(*id), Status::Done { .. })).collect();
        let judged = policy::judge_open(self.settings.policy, plan, &open);
        judged.waiting.first().map(|first| format!("{}: {}", first.title, first.why))
    }

    fn tell_look(
        &mut self,
        session: &Session,
        wake: &Wake,
        planned: &Planned,
        judged: &Judged,
        began: Instant,
    ) {
        let key = told_of(&planned.plan);
        let news = self.told.plan.as_ref() != Some(&key);
        self.told.plan = Some(key);
        let waiting: &[Waiting] = if self.settings.policy.acts() { &judged.waiting } else { &[] };
        self.teller.tell(&Happening::Looked(Look {
            causes: &wake.causes,
            planned,
            session,
            news,
            waiting,
            took: began.elapsed(),
            since_event: wake.last.elapsed(),
        }));
    }

    fn not_locked(&mut self, wake: &Wake, error: &SessionError) -> Duration {
        if let SessionError::Lock(LockError::Held { holder, .. }) = error {
            if !std::mem::replace(&mut self.told.locked, true) {
                self.teller.tell(&Happening::Locked { holder: holder.as_deref() });
            }
            return BUSY;
        }
        self.look_failed(wake, error)
    }

    /// Tells it, once; how long to wait before the next look.
    fn look_failed(&mut self, wake: &Wake, error: &SessionError) -> Duration {
        let nothing = Notes::new();
        let (mut hints, mut systems) = (Vec::new(), Vec::new());
        let notes = match error {
            SessionError::Lowering(notes) | SessionError::Blocked(notes) => notes,
            SessionError::Observe(failed) => {
                hints.extend(
                    failed
                        .iter()
                        .filter_map(|(system, error)| Some(format!("{system}: {}", error.hint.as_ref()?))),
                );
                systems.extend(failed.iter().map(|(system, _)| system.clone()));
                &nothing
            }
            _ => &nothing,
        };
        self.tell_trouble(wake, &chain(error), notes, hints, &systems);
        let pause = LOOK_AGAIN.0 * 2_u32.saturating_pow(self.failed_looks.min(10));
        self.failed_looks += 1;
        pause.min(LOOK_AGAIN.1).min(self.settings.every)
    }

    fn tell_trouble(
        &mut self,
        wake: &Wake,
        why: &str,
        notes: &Notes,
        hints: Vec<String>,
        systems: &[fraktalia_model::SystemId],
    ) {
        let news = self.told.trouble.as_deref() != Some(why);
        self.told.trouble = Some(why.into());
        // Once it can be seen again, all that is the case is said.
        self.told.plan = None;
        let (causes, systems) = (&wake.causes, systems.to_vec());
        self.teller.tell(&Happening::Failed { causes, why, notes, hints, systems, news });
    }
}

/// Tells apart what a person would read.
fn told_of(plan: &Plan) -> Fingerprint {
    let blockers: Vec<_> = plan.blockers().collect();
    fingerprint(&(&plan.changes, blockers))
}

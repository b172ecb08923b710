//! The watch on a system as small as can be: what wakes it, what it says, what it does and what it leaves alone.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fraktalia_engine::journal::{Fault, FaultAt};
use fraktalia_engine::watch::{Bell, Happening, Patience, Policy, Settings, Watch};
use fraktalia_engine::{Lock, Registry, Session, StatePaths, Stop};
use fraktalia_testkit::contract;
use fraktalia_testkit::toy::{Shelf, Trouble, Wishes, World, wish};
use tokio::sync::{mpsc, watch};

const MANIFEST: &str = "version: 1\nrealm: test\n";

/// A manifest on disk, a shelf, and what is wanted on it.
#[derive(Clone)]
struct Stage {
    dir: Arc<tempfile::TempDir>,
    wishes: Arc<Mutex<Wishes>>,
    world: Arc<Mutex<World>>,
}

/// A watch that runs, and what it has said.
struct Watched {
    bell: Bell,
    stop: watch::Sender<Stop>,
    said: mpsc::UnboundedReceiver<String>,
    looks: Arc<AtomicU32>,
    task: tokio::task::JoinHandle<()>,
}

fn box_named(name: &str) -> fraktalia_plan::Resource<fraktalia_testkit::toy::BoxSpec> {
    wish("left", name, &name.to_uppercase(), &[])
}

fn precious(name: &str) -> fraktalia_plan::Resource<fraktalia_testkit::toy::BoxSpec> {
    let mut wish = box_named(name);
    wish.spec.precious = true;
    wish
}

impl Stage {
    fn wanting(wishes: Wishes) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("fraktalia.yaml"), MANIFEST).unwrap();
        Self { dir: Arc::new(dir), wishes: Arc::new(Mutex::new(wishes)), world: Arc::default() }
    }

    fn manifest(&self) -> PathBuf {
        self.dir.path().join("fraktalia.yaml")
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn boxes(&self) -> Vec<String> {
        self.world().boxes.keys().cloned().collect()
    }

    fn paths(&self) -> StatePaths {
        StatePaths::new(self.dir.path().join("state"))
    }

    fn session(&self, manifest: fraktalia_model::Manifest, fault: Option<Fault>) -> Session {
        let wishes = self.wishes.lock().unwrap().clone();
        let registry = Registry::new().with(Shelf::new("left", wishes, Arc::clone(&self.world)));
        Session::new(manifest, registry, self.paths()).with_fault(fault)
    }

    /// A session of another process.
    fn other(&self, fault: Option<FaultAt>) -> Session {
        let manifest = fraktalia_engine::load(&self.manifest()).manifest.unwrap();
        self.session(manifest, fault.map(|at| Fault { at, kill: false }))
    }

    async fn apply(&self) {
        contract::apply(&self.other(None)).await.unwrap();
    }

    /// Another manifest, with these wishes.
    fn want(&self, wishes: Wishes) {
        *self.wishes.lock().unwrap() = wishes;
        let salt = self.world().writes;
        std::fs::write(self.manifest(), format!("{MANIFEST}# {salt} {:?}\n", std::time::Instant::now()))
            .unwrap();
    }

    fn watch(&self, policy: Policy) -> Watched {
        let settings = Settings {
            policy,
            patience: Patience { tries: 3, pause: Duration::from_millis(20) },
            ..Settings::default()
        };
        let stage = self.clone();
        let open = Box::new(move |manifest| Ok(stage.session(manifest, None)));
        let (tell, said) = mpsc::unbounded_channel();
        let looks = Arc::<AtomicU32>::default();
        let counted = Arc::clone(&looks);
        let teller = Arc::new(move |happening: &Happening<'_>| {
            if matches!(happening, Happening::Looked(_)) {
                counted.fetch_add(1, Ordering::Relaxed);
            }
            let _ = words(happening).map(|words| tell.send(words));
        });
        let watch = Watch::new(self.manifest(), settings, open, teller);
        let (stop, asked) = watch::channel(Stop::No);
        let bell = watch.bell();
        Watched { bell, stop, said, looks, task: tokio::spawn(watch.run(asked)) }
    }
}

/// What a test wants to know of a happening.
fn words(happening: &Happening<'_>) -> Option<String> {
    Some(match happening {
        Happening::BadManifest { notes, kept, .. } => format!("bad {} kept={kept}", notes[0].code),
        Happening::GoodManifest => "good".into(),
        Happening::Looked(look) if look.news => {
            let changes: Vec<String> = look
                .planned
                .plan
                .changes
                .iter()
                .map(|change| format!("{:?} {}", change.verb, change.id.name))
                .collect();
            let causes: Vec<&str> = look.causes.iter().map(|cause| cause.who.as_str()).collect();
            let waiting = look.waiting.len();
            format!("looked [{}] waiting={waiting} by {}", changes.join(", "), causes.join(" "))
        }
        Happening::Failed { why, news: true, .. } => format!("failed {why}"),
        Happening::Locked { .. } => "locked".into(),
        Happening::Unfinished { waits, .. } => format!("unfinished waits={}", waits.is_some()),
        Happening::Applying { plan, waiting, .. } => {
            format!("applying {} leaving {}", plan.steps.len(), waiting.len())
        }
        Happening::Ended { ended, .. } => format!("ended {:?}", ended.outcome.as_ref().map(word)),
        Happening::GaveUp { times, .. } => format!("gave up after {times}"),
        Happening::Ending => "ending".into(),
        _ => return None,
    })
}

fn word(outcome: &fraktalia_engine::Outcome) -> &'static str {
    use fraktalia_engine::Outcome;
    match outcome {
        Outcome::Applied => "applied",
        Outcome::RolledBack { .. } => "rolled back",
        _ => "otherwise",
    }
}

impl Watched {
    /// Waits until it says something that begins so.
    async fn says(&mut self, start: &str) -> String {
        let mut heard = Vec::new();
        while let Some(line) = self.said.recv().await {
            if line.starts_with(start) {
                return line;
            }
            heard.push(line);
        }
        panic!("it never said `{start}`: {heard:?}")
    }

    /// Ends it; what it had to say until then.
    async fn end(mut self) -> Vec<String> {
        self.stop.send(Stop::RollBack).unwrap();
        self.task.await.unwrap();
        let mut rest = Vec::new();
        while let Some(line) = self.said.recv().await {
            rest.push(line);
        }
        rest
    }

    /// Rings, and waits until it was looked.
    async fn look(&mut self) {
        let before = self.looks.load(Ordering::Relaxed);
        self.bell.of("test").ring("");
        while self.looks.load(Ordering::Relaxed) == before {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn drift_is_said_once_with_who_woke_us_and_report_does_nothing() {
    let stage = Stage::wanting(vec![box_named("a"), box_named("b")]);
    stage.apply().await;
    let mut watched = stage.watch(Policy::Report);
    assert!(watched.says("looked").await.starts_with("looked [] waiting=0 by"));
    stage.world().boxes.remove("a");
    let writes = stage.world().writes;
    watched.bell.of("left").ring("a box is gone");
    assert_eq!(watched.says("looked").await, "looked [Create a] waiting=0 by left");
    watched.look().await;
    watched.look().await;
    assert_eq!(watched.end().await, ["ending"], "what was said is not said again");
    assert_eq!(stage.world().writes, writes);
}

#[tokio::test]
async fn a_saved_manifest_is_planned_and_a_bad_one_is_said_once_and_changes_nothing() {
    let stage = Stage::wanting(vec![box_named("a")]);
    stage.apply().await;
    let mut watched = stage.watch(Policy::Full);
    watched.says("looked").await;
    std::fs::write(stage.manifest(), "version: 1\nrealm: test\nnonsense: true\n").unwrap();
    assert_eq!(watched.says("bad").await, "bad manifest.unknown-key kept=true");
    // The last good one stays in force.
    stage.world().boxes.clear();
    watched.bell.of("left").ring("");
    assert_eq!(watched.says("ended").await, "ended Some(\"applied\")");
    assert_eq!(stage.boxes(), ["a"]);
    watched.look().await;
    stage.want(vec![box_named("a"), box_named("b")]);
    assert_eq!(watched.says("").await, "good", "and nothing in between");
    assert!(watched.says("looked").await.starts_with("looked [Create b]"));
    watched.says("ended").await;
    assert_eq!(stage.boxes(), ["a", "b"]);
    watched.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_events_is_one_look_a_second() {
    let stage = Stage::wanting(vec![box_named("a")]);
    stage.apply().await;
    let mut watched = stage.watch(Policy::Report);
    watched.says("looked").await;
    let before = watched.looks.load(Ordering::Relaxed);
    for event in 0..10_000 {
        watched.bell.of("left").ring(format!("event {event}"));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let looks = watched.looks.load(Ordering::Relaxed) - before;
    assert!((5..=11).contains(&looks), "{looks} looks in ten seconds");
    watched.end().await;
}

#[tokio::test(start_paused = true)]
async fn without_any_event_it_looks_by_the_clock() {
    let stage = Stage::wanting(vec![box_named("a")]);
    stage.apply().await;
    let mut watched = stage.watch(Policy::Report);
    watched.says("looked").await;
    stage.world().boxes.clear();
    assert_eq!(watched.says("looked").await, "looked [Create a] waiting=0 by timer");
    watched.end().await;
}

#[tokio::test]
async fn safe_makes_what_is_missing_and_removes_nothing() {
    let stage = Stage::wanting(vec![box_named("a"), box_named("b")]);
    stage.apply().await;
    stage.want(vec![box_named("a"), box_named("c")]);
    let mut watched = stage.watch(Policy::Safe);
    assert!(watched.says("looked").await.contains("Delete b, Create c] waiting=1"));
    assert_eq!(watched.says("applying").await, "applying 1 leaving 1");
    watched.says("ended Some(\"applied\")").await;
    assert_eq!(stage.boxes(), ["a", "b", "c"]);
    assert!(watched.says("looked").await.starts_with("looked [Delete b] waiting=1"));
    watched.look().await;
    assert_eq!(watched.end().await, ["ending"]);
    assert_eq!(stage.boxes(), ["a", "b", "c"]);
}

#[tokio::test]
async fn full_removes_too_but_never_what_cannot_be_taken_back() {
    let stage = Stage::wanting(vec![box_named("a"), precious("p")]);
    stage.apply().await;
    stage.want(Vec::new());
    let mut watched = stage.watch(Policy::Full);
    watched.says("ended Some(\"applied\")").await;
    assert!(watched.says("looked").await.starts_with("looked [Delete p] waiting=1"));
    watched.look().await;
    assert_eq!(watched.end().await, ["ending"]);
    assert_eq!(stage.boxes(), ["p"]);
}

#[tokio::test]
async fn what_fails_three_times_is_given_up_until_somebody_asks_for_it_again() {
    let stage = Stage::wanting(vec![box_named("a")]);
    let refuse = || stage.world().trouble.insert("a".into(), Trouble::Refuse);
    refuse();
    let mut watched = stage.watch(Policy::Full);
    for _ in 0..2 {
        assert_eq!(watched.says("ended").await, "ended Some(\"rolled back\")");
        refuse();
    }
    assert_eq!(watched.says("gave up").await, "gave up after 3");
    watched.look().await;
    watched.look().await;
    assert_eq!(stage.boxes(), Vec::<String>::new());
    assert!(watched.said.try_recv().is_err(), "it is calm");
    watched.bell.of("SIGHUP").ring_afresh("");
    assert_eq!(watched.says("ended").await, "ended Some(\"applied\")");
    assert_eq!(stage.boxes(), ["a"]);
    watched.end().await;
}

#[tokio::test]
async fn it_waits_while_another_process_holds_the_lock() {
    let stage = Stage::wanting(vec![box_named("a")]);
    stage.paths().create().unwrap();
    let lock = Lock::acquire(&stage.paths()).unwrap();
    let mut watched = stage.watch(Policy::Full);
    assert_eq!(watched.says("").await, "locked");
    assert_eq!(watched.looks.load(Ordering::Relaxed), 0);
    drop(lock);
    watched.says("ended Some(\"applied\")").await;
    assert_eq!(stage.boxes(), ["a"]);
    watched.end().await;
}

#[tokio::test]
async fn an_unfinished_run_is_said_by_report_and_finished_by_full() {
    let stage = Stage::wanting(vec![box_named("a"), box_named("b")]);
    let died = contract::apply(&stage.other(Some(FaultAt::After(3)))).await;
    assert!(died.is_err(), "{died:?}");
    let mut watched = stage.watch(Policy::Report);
    assert_eq!(watched.says("unfinished").await, "unfinished waits=true");
    watched.look().await;
    watched.look().await;
    let said = watched.end().await;
    assert!(!said.iter().any(|line| line.starts_with("unfinished")), "{said:?}");
    let mut watched = stage.watch(Policy::Full);
    assert_eq!(watched.says("unfinished").await, "unfinished waits=false");
    watched.says("ended").await;
    watched.look().await;
    watched.end().await;
    assert_eq!(stage.boxes(), ["a", "b"]);
    assert!(stage.other(None).unfinished().unwrap().is_none());
}

//! Killed between any two writes, nothing is lost and nothing is done twice.
//!
//! The world here is what a kill leaves alone: a room that knows each message by its transaction id, an applier that knows
//! each run by its key, a file with the audit, and a place in the stream of what happens. What the program holds in memory is
//! lost with each kill.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use fraktalia_desk::{
    Act, Ask, Audit, Do, EventId, Heard, Key, Lane, Moment, Order, Outcome, Planned, Policy, Store,
    StoreError, What, audit,
};
use proptest::prelude::*;

use crate::room::{AGENT, ANA, BEN, NO, OTHER, Room, YES, event, filing, fragment, plan, policy_with};

/// Counts down the writes and effects until the kill. 0: there is none any more.
///
/// A store that is only dropped tidies up. What a kill leaves are the files as they are at that moment, so they are copied
/// then, and the next life begins with the copy.
#[derive(Clone, Default)]
struct Kill(Arc<Mutex<Countdown>>);

#[derive(Default)]
struct Countdown {
    left: u64,
    points: u64,
    here: PathBuf,
    next: PathBuf,
}

impl Kill {
    fn arm(&self, after: u64, here: &Path, next: &Path) {
        let mut count = self.0.lock().expect("nobody panics with it");
        (count.left, count.here, count.next) = (after, here.into(), next.into());
    }

    /// One more point at which it could happen; whether it does.
    fn strikes(&self) -> bool {
        let mut count = self.0.lock().expect("nobody panics with it");
        count.points += 1;
        let strikes = count.left == 1;
        count.left = count.left.saturating_sub(1);
        if strikes {
            copy(&count.here, &count.next);
        }
        strikes
    }

    fn point(&self) -> Result<(), StoreError> {
        if self.strikes() { Err(StoreError::Killed) } else { Ok(()) }
    }

    fn points(&self) -> u64 {
        self.0.lock().expect("nobody panics with it").points
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("a new directory");
    for entry in std::fs::read_dir(from).expect("it can be read") {
        let entry = entry.expect("it can be read");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("it can be copied");
    }
}

/// What somebody does in the room. Messages of ours are named by the case that they belong to.
#[derive(Clone, Debug)]
enum Deed {
    Proposes(&'static str, &'static str),
    Reacts(&'static str, &'static str, &'static str),
    Asks(&'static str),
    Files(&'static str, &'static str, bool),
    FilesEnd(&'static str, &'static str, bool),
}

fn script() -> Vec<Deed> {
    vec![
        Deed::Proposes(AGENT, "cook"),
        Deed::Proposes(OTHER, "baker"),
        Deed::Reacts(ANA, "cook", YES),
        Deed::Asks("!status"),
        Deed::Proposes(AGENT, "failing"),
        Deed::Reacts(BEN, "baker", NO),
        Deed::Reacts(ANA, "failing", YES),
        Deed::Proposes(OTHER, "stale"),
        Deed::Reacts(ANA, "stale", YES),
        Deed::Reacts(BEN, "stale", YES),
        Deed::Files("root", "smith", true),
        Deed::Files("ci", "gardener", false),
        Deed::Files("ci", "potter", false),
        Deed::Reacts(ANA, "potter", YES),
        Deed::FilesEnd("root", "herder", true),
    ]
}

#[derive(Default)]
struct World {
    /// How much of the script was heard.
    position: usize,
    /// Messages of ours by transaction id.
    posted: BTreeMap<Key, (EventId, String)>,
    /// Edits by transaction id.
    edits: BTreeMap<Key, String>,
    /// Reactions of ours by transaction id: on what, and with what.
    reactions: BTreeMap<Key, String>,
    /// Runs by key, with the fractal.
    runs: BTreeMap<Key, (String, Outcome)>,
    /// What was done, as often as it was really done.
    applied: Vec<String>,
    taken_back: BTreeMap<Key, usize>,
    sent: u64,
}

impl World {
    /// The message with the newest plan of a fractal.
    fn plan_of(&self, name: &str) -> Option<EventId> {
        let shows = |text: &str| text.contains(&format!("Plan for `{name}`"));
        self.posted.values().filter(|(_, text)| shows(text)).map(|(event, _)| event.clone()).max()
    }

    fn what(&self, deed: &Deed, number: usize) -> What {
        let mut room = Room::new();
        let mut by = |name: &str| fraktalia_desk::Sent {
            event: event(&format!("$deed{number}")),
            at: at(number),
            ..room.sent(name)
        };
        let message =
            |sent, body: &str| What::Message { sent, answers: None, body: body.into(), attachment: None };
        match deed {
            Deed::Proposes(who, name) => message(by(who), &fragment(name)),
            Deed::Asks(body) => message(by(ANA), body),
            Deed::Files(token, name, apply) => {
                let fragment = format!("fractals:\n  {name}:\n    members: [ana, ben]\n");
                filing(token, &format!("api {number}"), Ask::Add { fragment }, *apply)
            }
            Deed::FilesEnd(token, name, apply) => {
                filing(token, &format!("api {number}"), Ask::Remove { name: (*name).into() }, *apply)
            }
            Deed::Reacts(who, name, key) => {
                let on = self.plan_of(name).unwrap_or_else(|| panic!("a plan for {name}"));
                What::Reaction { sent: by(who), on, key: (*key).into() }
            }
        }
    }
}

fn at(number: usize) -> Moment {
    Moment(1_000_000_000_000 + 60_000 * (number as u64 + 1))
}

/// The program, from its start until the end of the script or its kill.
fn live(dir: &Path, world: &mut World, kill: &Kill, policy: &Policy) -> Result<(), StoreError> {
    let mut store = Store::open(&dir.join("desk.sqlite"))?;
    let watched = kill.clone();
    store.watch(Box::new(move || watched.strikes()));
    let mut log = Audit::open(&dir.join("audit.jsonl"), store.anchor()?.as_ref()).expect("the audit opens");
    work(&mut store, &mut log, world, kill, policy)?;
    while let Some(deed) = script().get(world.position) {
        let heard = Heard { at: at(world.position), what: world.what(deed, world.position) };
        store.hear(&heard, policy)?;
        kill.point()?;
        // Told again after a kill here: the place in the stream was not kept yet.
        world.position += 1;
        work(&mut store, &mut log, world, kill, policy)?;
    }
    Ok(())
}

/// Does all that is to be done.
fn work(
    store: &mut Store,
    log: &mut Audit,
    world: &mut World,
    kill: &Kill,
    policy: &Policy,
) -> Result<(), StoreError> {
    loop {
        let mut idle = true;
        for lane in Lane::ALL {
            if let Some(act) = store.next(lane)? {
                idle = false;
                kill.point()?;
                perform(&act, store, log, world, kill, policy)?;
            }
        }
        if idle {
            return Ok(());
        }
    }
}

/// Does one act: first in the world, where its key makes it once, then in the store.
fn perform(
    act: &Act,
    store: &mut Store,
    log: &mut Audit,
    world: &mut World,
    kill: &Kill,
    policy: &Policy,
) -> Result<(), StoreError> {
    let (key, now) = (act.key.clone(), at(world.position));
    let answer = match &act.what {
        Do::Say { words, .. } => {
            world.sent += 1;
            let event = event(&format!("$ours{:06}", world.posted.len()));
            let (event, _) = world.posted.entry(key.clone()).or_insert((event, words.plain())).clone();
            What::Posted { key, event }
        }
        Do::Edit { of, words } => {
            assert!(store.event_of(of)?.is_some(), "what is edited stands in the room");
            world.edits.entry(key.clone()).or_insert_with(|| words.plain());
            kill.point()?;
            return store.done(&key, now);
        }
        Do::React { to, with } => {
            let on = store.event_of(to)?.expect("what is reacted to stands in the room");
            let plan =
                world.posted.values().any(|(event, text)| *event == on && text.starts_with("Plan for"));
            assert!(plan, "only plans have choices");
            world.reactions.entry(key.clone()).or_insert_with(|| with.clone());
            kill.point()?;
            return store.done(&key, now);
        }
        Do::Plan { order, .. } => What::Planned {
            key,
            answer: Planned::Plan(plan(&format!("{order:?}").chars().take(40).collect::<String>())),
        },
        Do::Run { order: Order::Add { name, .. } | Order::Remove { name }, .. } => {
            let outcome = ran(world, &key, name);
            What::Ran { key, outcome }
        }
        Do::TakeBack { .. } => {
            *world.taken_back.entry(key.clone()).or_default() += 1;
            What::TakenBack { key, failed: None }
        }
        Do::Look(_) => What::Looked { key, text: "in sync".into() },
        Do::Record(event) => {
            let anchor = log.append(&key, event).expect("the audit is written");
            kill.point()?;
            return store.recorded(&key, now, &anchor);
        }
        other => panic!("nothing here asks for {other:?}"),
    };
    kill.point()?;
    store.hear(&Heard { at: now, what: answer }, policy)
}

/// An applier that knows its runs by their keys.
fn ran(world: &mut World, key: &Key, name: &str) -> Outcome {
    if let Some((_, outcome)) = world.runs.get(key) {
        return outcome.clone();
    }
    let tries = world.runs.values().filter(|(this, _)| this == name).count();
    let outcome = match name {
        "failing" => Outcome::RolledBack { run: Some("r".into()), reason: "no".into() },
        "stale" if tries == 0 => Outcome::Stale,
        _ => {
            world.applied.push(name.into());
            Outcome::Applied { run: name.into(), commit: None }
        }
    };
    world.runs.insert(key.clone(), (name.into(), outcome.clone()));
    outcome
}

/// What is left of a world in the end: what was said and done under which key, and the audit.
type Left =
    (BTreeMap<Key, String>, BTreeMap<Key, String>, BTreeMap<Key, String>, Vec<String>, Vec<(u64, Key)>);

/// A directory in memory where there is one. A kill leaves what was written there as it does elsewhere, and the hundreds of
/// lives here need no disk to wait for.
fn in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory")
}

/// Lives through the script with a kill after so many points each, and says what is left.
fn lives(kills: &[u64]) -> (Left, u64) {
    let dirs = in_memory();
    let dir = |life: usize| dirs.path().join(life.to_string());
    std::fs::create_dir(dir(0)).expect("a new directory");
    let (mut world, kill, policy) = (World::default(), Kill::default(), policy_with(&[]));
    let mut life = 0;
    // The last life is not cut short.
    for after in kills.iter().chain([&0]) {
        kill.arm(*after, &dir(life), &dir(life + 1));
        match live(&dir(life), &mut world, &kill, &policy) {
            Ok(()) => break,
            Err(StoreError::Killed) => life += 1,
            Err(other) => panic!("killed after {kills:?}: {other}"),
        }
    }
    let dir = dir(life);
    let store = Store::open(&dir.join("desk.sqlite")).expect("it opens");
    for lane in Lane::ALL {
        assert_eq!(store.next(lane).expect("it can be read"), None, "nothing is left to do: {kills:?}");
    }
    let path = dir.join("audit.jsonl");
    let anchor = store.anchor().expect("it can be read");
    assert!(audit::verify(&path, anchor.as_ref(), &[]).expect("it can be read").is_whole(), "{kills:?}");
    let entries = audit::history(&path).expect("it can be read");
    let entries = entries.into_iter().map(|entry| (entry.seq, entry.key)).collect();
    let posted = world.posted.into_iter().map(|(key, (_, text))| (key, text)).collect();
    ((posted, world.edits, world.reactions, world.applied, entries), kill.points())
}

#[test]
fn a_kill_at_any_point_changes_nothing_that_is_left_in_the_end() {
    let (expected, points) = lives(&[]);
    assert_eq!(expected.3, ["cook", "stale", "smith", "potter", "herder"], "the script is worth its kills");
    assert!(points > 200, "{points}");
    for after in 1..=points {
        let (left, _) = lives(&[after]);
        same(&left, &expected, &[after]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn many_kills_in_a_row_change_nothing_either(kills in proptest::collection::vec(1_u64..120, 1..12)) {
        let (expected, _) = lives(&[]);
        same(&lives(&kills).0, &expected, &kills);
    }
}

/// The same was said and done, each once. The audit has the same entries; acts of different lanes may have come in another
/// order.
fn same(left: &Left, expected: &Left, kills: &[u64]) {
    assert_eq!(left.0, expected.0, "said: {kills:?}");
    assert_eq!(left.1, expected.1, "edited: {kills:?}");
    assert_eq!(left.2, expected.2, "done: {kills:?}");
    assert_eq!(left.3, expected.3, "recorded: {kills:?}");
}

#[test]
fn a_store_is_one_processs_at_a_time_and_private() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("desk.sqlite");
    let mut first = Store::open(&path).unwrap();
    let policy = policy_with(&[]);
    let sent = Room::new().sent(AGENT);
    let what = What::Message { sent, answers: None, body: fragment("cook"), attachment: None };
    first.hear(&Heard { at: at(0), what }, &policy).unwrap();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", entry.path().display());
    }
    assert!(matches!(Store::open(&path), Err(StoreError::InUse { .. })));
    drop(first);
    assert_eq!(Store::open(&path).unwrap().desk().cases().count(), 1);
}

#[test]
fn a_store_that_is_not_ours_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("desk.sqlite");
    std::fs::write(&path, "this is no database, and long enough to be looked at as one".repeat(20)).unwrap();
    assert!(matches!(Store::open(&path), Err(StoreError::Damaged { .. })));
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("this is no database"));
}

#[test]
fn an_answer_to_nothing_is_not_heard() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&dir.path().join("desk.sqlite")).unwrap();
    let policy = policy_with(&[]);
    let sent = Room::new().sent(AGENT);
    let what = What::Message { sent, answers: None, body: fragment("cook"), attachment: None };
    store.hear(&Heard { at: at(0), what }, &policy).unwrap();
    let asked = store.next(Lane::Planner).unwrap().unwrap();
    assert_eq!(store.next(Lane::Planner).unwrap().as_ref(), Some(&asked), "handed out until it is done");
    let answer = What::Planned { key: asked.key, answer: Planned::Plan(plan("p")) };
    store.hear(&Heard { at: at(1), what: answer.clone() }, &policy).unwrap();
    assert_eq!(store.next(Lane::Planner).unwrap(), None);
    let before = store.desk().clone();
    store.hear(&Heard { at: at(2), what: answer }, &policy).unwrap();
    assert_eq!(store.desk(), &before);
}

//! Planner and engine on a system as small as can be: what must hold for every plan and every run.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use fraktalia_engine::journal::FaultAt;
use fraktalia_engine::session::Options;
use fraktalia_engine::{OnFailure, Outcome, Registry, Session, SessionError, StatePaths, Stop};
use fraktalia_model::manifest::Policy;
use fraktalia_model::{Note, Severity};
use fraktalia_plan::{Resource, Verb};
use fraktalia_testkit::contract::{self, Subject, apply, left, quiet, silent};
use fraktalia_testkit::toy::{self, BoxSpec, BoxState, Shelf, Trouble, Wishes, World, wish};
use fraktalia_testkit::twice::Twice;
use proptest::prelude::*;

/// Two shelves, a state directory, and what is wanted on them.
struct Room {
    state: tempfile::TempDir,
    wishes: Wishes,
    worlds: BTreeMap<&'static str, Arc<Mutex<World>>>,
    policy: Policy,
}

const SHELVES: [&str; 2] = ["left", "right"];

impl Room {
    fn wanting(wishes: Wishes) -> Self {
        let worlds = SHELVES.iter().map(|name| (*name, Arc::default())).collect();
        let policy = fraktalia_testkit::manifest::empty("test", Path::new("/")).policy;
        Self { state: tempfile::tempdir().unwrap(), wishes, worlds, policy }
    }

    fn want(&mut self, wishes: Wishes) {
        self.wishes = wishes;
    }

    fn shelf(&self, name: &'static str) -> Shelf {
        let mine = self.wishes.iter().filter(|wish| wish.id.system.as_str() == name).cloned().collect();
        Shelf::new(name, mine, Arc::clone(&self.worlds[name]))
    }

    fn put(&self, shelf: &'static str, name: &str, realm: Option<&str>, label: &str) {
        let state = BoxState {
            number: 1000,
            label: label.into(),
            on: BTreeMap::new(),
            realm: realm.map(Into::into),
            precious: false,
            stamp: String::new(),
        };
        self.shelf(shelf).world().boxes.insert(name.into(), state);
    }

    fn trouble(&self, shelf: &'static str, name: &str, trouble: Trouble) {
        self.shelf(shelf).world().trouble.insert(name.into(), trouble);
    }

    fn names(&self, shelf: &'static str) -> Vec<String> {
        self.shelf(shelf).world().boxes.keys().cloned().collect()
    }

    fn state(&self) -> &Path {
        self.state.path()
    }
}

#[async_trait]
impl Subject for Room {
    fn session(&self, fault: Option<FaultAt>) -> Session {
        let mut manifest = fraktalia_testkit::manifest::empty("test", self.state());
        manifest.policy = self.policy.clone();
        let registry = SHELVES.iter().fold(Registry::new(), |all, name| all.with(Twice(self.shelf(name))));
        Session::new(manifest, registry, StatePaths::new(self.state())).with_fault(silent(fault))
    }

    async fn snapshot(&self) -> serde_json::Value {
        let boxes: BTreeMap<_, _> = self
            .worlds
            .iter()
            .map(|(name, world)| {
                let world = world.lock().unwrap_or_else(PoisonError::into_inner);
                let labels: BTreeMap<_, _> = world
                    .boxes
                    .iter()
                    .map(|(name, state)| (name.clone(), (state.label.clone(), state.realm.clone())))
                    .collect();
                (*name, labels)
            })
            .collect();
        serde_json::to_value(boxes).unwrap()
    }
}

/// A tower: `a` on the left, `b` on it on the right, `c` on both on the left, and `d` alone.
fn tower() -> Wishes {
    let a = wish("left", "a", "A", &[]);
    let b = wish("right", "b", "B", std::slice::from_ref(&a.id));
    let c = wish("left", "c", "C", &[a.id.clone(), b.id.clone()]);
    vec![a, b, c, wish("right", "d", "D", &[])]
}

async fn fresh() -> Room {
    Room::wanting(tower())
}

#[tokio::test]
async fn an_apply_is_followed_by_an_empty_plan_and_can_be_taken_back() {
    contract::apply_then_roll_back(&fresh().await).await;
}

#[tokio::test]
async fn killed_at_any_entry_and_resumed_it_ends_as_without_dying() {
    contract::die_then_resume(fresh).await;
}

#[tokio::test]
async fn killed_at_any_entry_and_rolled_back_nothing_is_left() {
    contract::die_then_roll_back(fresh).await;
}

#[tokio::test]
async fn a_refusal_rolls_everything_back() {
    let room = fresh().await;
    room.trouble("left", "c", Trouble::Refuse);
    let ended = apply(&room.session(None)).await.unwrap();
    assert!(matches!(ended.outcome, Some(Outcome::RolledBack { .. })), "{ended:?}");
    assert!(ended.why.unwrap().contains("the shelf says no"));
    assert_eq!((room.names("left"), room.names("right")), (vec![], vec![]));
    assert_eq!(apply(&room.session(None)).await.unwrap().outcome, Some(Outcome::Applied));
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_and_not_done_again() {
    let room = fresh().await;
    room.trouble("left", "a", Trouble::DoneButLost);
    assert_eq!(apply(&room.session(None)).await.unwrap().outcome, Some(Outcome::Applied));
    assert_eq!(room.names("left"), ["a", "c"]);
}

#[tokio::test]
async fn a_request_that_got_lost_counts_as_refused() {
    let room = fresh().await;
    room.trouble("right", "b", Trouble::Lost);
    let ended = apply(&room.session(None)).await.unwrap();
    assert!(matches!(ended.outcome, Some(Outcome::RolledBack { .. })), "{ended:?}");
    assert_eq!((room.names("left"), room.names("right")), (vec![], vec![]));
}

#[tokio::test]
async fn a_step_that_cannot_be_taken_back_keeps_no_other_from_it_and_stays_ours() {
    let room = fresh().await;
    room.trouble("left", "a", Trouble::Glued);
    room.trouble("left", "c", Trouble::Refuse);
    let ended = apply(&room.session(None)).await.unwrap();
    assert!(matches!(ended.outcome, Some(Outcome::Incomplete { .. })), "{ended:?}");
    assert_eq!((room.names("left"), room.names("right")), (vec!["a".to_owned()], vec![]));
    let planned = room.session(None).plan(&Options::default(), true).await.unwrap();
    assert!(planned.records.contains_key(&toy::id("left", "a")), "what is left behind is still ours");
}

#[tokio::test]
async fn what_protects_a_thing_that_cannot_be_taken_back_stays_with_it() {
    let room = fresh().await;
    room.shelf("left").world().protects = true;
    room.trouble("right", "b", Trouble::Glued);
    room.trouble("left", "c", Trouble::Refuse);
    let ended = apply(&room.session(None)).await.unwrap();
    assert!(matches!(ended.outcome, Some(Outcome::Incomplete { .. })), "{ended:?}");
    assert_eq!((room.names("left"), room.names("right")), (vec!["a".to_owned()], vec!["b".to_owned()]));
}

#[tokio::test]
async fn what_cannot_be_protected_again_is_not_put_back() {
    let mut room = fresh().await;
    apply(&room.session(None)).await.unwrap();
    room.shelf("left").world().protects = true;
    room.want(vec![]);
    let ended = apply(&room.session(None)).await.unwrap();
    assert_eq!(ended.outcome, Some(Outcome::Applied));
    room.trouble("left", "a", Trouble::Glued);
    let session = room.session(None);
    let (run, lock) = (session.run(&ended.run).unwrap(), session.lock().unwrap());
    let ended = session.roll_back_run(&lock, &run, &contract::quiet()).await.unwrap();
    assert!(matches!(ended.outcome, Some(Outcome::Incomplete { .. })), "{ended:?}");
    let there = (room.names("left"), room.names("right"));
    assert_eq!(there, (vec![], vec!["d".to_owned()]), "`b` would stand on nothing that protects it");
}

#[tokio::test]
async fn stop_leaves_a_failed_run_open_for_resume() {
    let room = fresh().await;
    room.trouble("left", "c", Trouble::Refuse);
    let session = room.session(None);
    let mut options = quiet();
    options.on_failure = OnFailure::Stop;
    let lock = session.lock().unwrap();
    let planned = session.plan(&Options::default(), true).await.unwrap();
    let ended = session.apply(&lock, planned.plan, &options).await.unwrap();
    assert_eq!(ended.outcome, None);
    assert!(session.unfinished().unwrap().is_some());
    let again = apply_locked(&session, &lock).await;
    assert!(matches!(again, Err(SessionError::Unfinished(_))), "{again:?}");
    let ended = session.roll_back_unfinished(&lock, &quiet()).await.unwrap();
    assert!(matches!(ended.outcome, Some(Outcome::RolledBack { .. })), "{ended:?}");
    assert_eq!(room.names("left"), Vec::<String>::new());
}

async fn apply_locked(
    session: &Session,
    lock: &fraktalia_engine::Lock,
) -> Result<fraktalia_engine::Ended, SessionError> {
    let planned = session.plan(&Options::default(), true).await?;
    session.apply(lock, planned.plan, &quiet()).await
}

#[tokio::test]
async fn two_applies_at_once_do_not_happen() {
    let room = fresh().await;
    let first = room.session(None);
    let _lock = first.lock().unwrap();
    let second = apply(&room.session(None)).await;
    assert!(matches!(second, Err(SessionError::Lock(fraktalia_engine::lock::LockError::Held { .. }))));
    assert_eq!(room.names("left"), Vec::<String>::new());
}

#[tokio::test]
async fn asked_to_stop_it_rolls_back() {
    let room = fresh().await;
    let session = room.session(None);
    let (sender, stop) = tokio::sync::watch::channel(Stop::No);
    let mut options = quiet();
    options.stop = stop;
    options.sink = Arc::new(move |event: &fraktalia_engine::Event| {
        if matches!(event, fraktalia_engine::Event::Done { .. }) {
            sender.send_modify(|stop| *stop = Stop::RollBack);
        }
    });
    let lock = session.lock().unwrap();
    let planned = session.plan(&Options::default(), true).await.unwrap();
    let ended = session.apply(&lock, planned.plan, &options).await.unwrap();
    assert!(matches!(ended.outcome, Some(Outcome::RolledBack { .. })), "{ended:?}");
    assert_eq!((room.names("left"), room.names("right")), (vec![], vec![]));
}

#[tokio::test]
async fn an_apply_with_nothing_to_do_has_no_effect() {
    let room = fresh().await;
    apply(&room.session(None)).await.unwrap();
    let writes = room.shelf("left").world().writes;
    let runs = room.session(None).history().unwrap().len();
    assert_eq!(apply(&room.session(None)).await.unwrap().outcome, Some(Outcome::Applied));
    assert_eq!(room.shelf("left").world().writes, writes);
    assert_eq!(room.session(None).history().unwrap().len(), runs, "and leaves no run behind");
}

#[tokio::test]
async fn what_left_the_manifest_goes_after_what_stood_on_it() {
    let mut room = fresh().await;
    apply(&room.session(None)).await.unwrap();
    room.want(vec![wish("right", "d", "D", &[])]);
    let planned = room.session(None).plan(&Options::default(), true).await.unwrap();
    let order: Vec<&str> = planned.plan.steps.iter().map(|step| step.title.as_str()).collect();
    assert_eq!(order, ["Delete c", "Delete b", "Delete a"]);
    apply(&room.session(None)).await.unwrap();
    assert_eq!((room.names("left"), room.names("right")), (vec![], vec!["d".to_owned()]));
}

#[tokio::test]
async fn what_is_not_ours_and_different_is_in_the_way() {
    let room = fresh().await;
    room.put("left", "a", None, "somebody's");
    let ended = apply(&room.session(None)).await;
    assert!(matches!(ended, Err(SessionError::Blocked(_))), "{ended:?}");
    room.put("left", "a", Some("another"), "A");
    let ended = apply(&room.session(None)).await;
    assert!(matches!(ended, Err(SessionError::Blocked(_))), "equal, but another realm's: {ended:?}");
    assert_eq!(room.names("right"), Vec::<String>::new(), "and nothing else of the plan ran");
}

#[tokio::test]
async fn what_is_there_as_wanted_is_adopted_and_removed_later() {
    let mut room = Room::wanting(vec![wish("left", "a", "A", &[])]);
    room.put("left", "a", None, "A");
    let planned = room.session(None).plan(&Options::default(), true).await.unwrap();
    assert_eq!(planned.plan.count(Verb::Adopt), 1);
    apply(&room.session(None)).await.unwrap();
    assert_eq!(left(&room.session(None)).await, Vec::<String>::new());
    room.want(Vec::new());
    apply(&room.session(None)).await.unwrap();
    assert_eq!(room.names("left"), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_not_ours_is_never_removed() {
    let room = Room::wanting(Vec::new());
    room.put("left", "x", None, "somebody's");
    room.put("left", "y", Some("another"), "another's");
    apply(&room.session(None)).await.unwrap();
    assert_eq!(room.names("left"), ["x", "y"]);
}

#[tokio::test]
async fn a_lost_state_directory_loses_no_ownership_of_what_is_marked() {
    let mut room = fresh().await;
    apply(&room.session(None)).await.unwrap();
    room.state = tempfile::tempdir().unwrap();
    assert_eq!(left(&room.session(None)).await, Vec::<String>::new());
    room.want(Vec::new());
    apply(&room.session(None)).await.unwrap();
    assert_eq!(room.names("left"), Vec::<String>::new());
}

#[tokio::test]
async fn a_damaged_ledger_is_restored_and_never_read_as_empty() {
    let room = fresh().await;
    apply(&room.session(None)).await.unwrap();
    let ledger = room.state().join("ledger.json");
    let whole = std::fs::read_to_string(&ledger).unwrap();
    std::fs::write(&ledger, &whole[..whole.len() / 2]).unwrap();
    let restored = room.session(None).plan(&Options::default(), true).await.unwrap().records;
    std::fs::write(&ledger, &whole).unwrap();
    assert_eq!(restored, room.session(None).plan(&Options::default(), true).await.unwrap().records);
    std::fs::write(&ledger, "").unwrap();
    std::fs::remove_dir_all(room.state().join("journal")).unwrap();
    let refused = room.session(None).plan(&Options::default(), true).await;
    assert!(matches!(refused, Err(SessionError::Ledger(_))), "{refused:?}");
}

#[tokio::test]
async fn a_saved_plan_is_stale_once_what_it_touches_has_changed() {
    let room = fresh().await;
    let session = room.session(None);
    let saved = session.plan(&Options::default(), true).await.unwrap().plan;
    let now = session.plan(&Options::default(), true).await.unwrap();
    session.check_basis(&saved, &now).unwrap();
    room.put("right", "somewhere-else", None, "x");
    let now = session.plan(&Options::default(), true).await.unwrap();
    session.check_basis(&saved, &now).unwrap();
    room.put("left", "a", Some("test"), "by hand");
    let now = session.plan(&Options::default(), true).await.unwrap();
    let stale = session.check_basis(&saved, &now).unwrap_err().to_string();
    assert!(stale.contains("left/box/a"), "{stale}");
}

#[tokio::test]
async fn a_run_that_somebody_changed_since_is_not_taken_back() {
    let room = fresh().await;
    let session = room.session(None);
    let ended = apply(&session).await.unwrap();
    room.put("right", "d", Some("test"), "by hand");
    let lock = session.lock().unwrap();
    let refused = session.roll_back_run(&lock, &session.run(&ended.run).unwrap(), &quiet()).await;
    assert!(
        matches!(&refused, Err(SessionError::ChangedSince { changed, .. }) if changed == &["right/box/d"])
    );
}

#[tokio::test]
async fn steps_that_cannot_be_taken_back_run_last() {
    let mut precious = wish("left", "a", "A", &[]);
    precious.spec.precious = true;
    let mut room = Room::wanting(vec![precious]);
    apply(&room.session(None)).await.unwrap();
    room.want(vec![wish("left", "z", "Z", &[]), wish("right", "y", "Y", &[])]);
    room.trouble("right", "y", Trouble::Refuse);
    let ended = apply(&room.session(None)).await.unwrap();
    assert!(matches!(ended.outcome, Some(Outcome::RolledBack { .. })), "{ended:?}");
    assert_eq!(room.names("left"), ["a"], "the precious box was not touched before all else was done");
}

#[tokio::test]
async fn a_torn_last_line_never_happened_and_a_changed_line_stops_everything() {
    let room = fresh().await;
    let ended = apply(&room.session(None)).await.unwrap();
    let path = StatePaths::new(room.state()).journal(&ended.run);
    let whole = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 7]).unwrap();
    let open = room.session(None).unfinished().unwrap();
    assert!(open.is_some(), "without its last line the run is not closed");
    for (word, other) in [("\"undo\"", "\"Undo\""), ("Create a", "Create z")] {
        std::fs::write(&path, whole.replacen(word, other, 1)).unwrap();
        assert!(matches!(room.session(None).unfinished(), Err(SessionError::Journal(_))), "{word}");
    }
}

#[tokio::test]
async fn what_is_said_to_be_done_and_is_not_is_found_by_the_second_look() {
    let room = fresh().await;
    room.trouble("right", "d", Trouble::Lied);
    assert_eq!(apply(&room.session(None)).await.unwrap().outcome, Some(Outcome::NotConverged));
}

#[tokio::test]
async fn a_resume_after_somebody_changed_the_world_settles_and_leaves_the_rest_to_a_new_plan() {
    let room = fresh().await;
    // Entries: the plan, then begun and done of the first steps.
    let died = apply(&room.session(Some(FaultAt::After(3)))).await;
    assert!(matches!(died, Err(SessionError::Journal(_))), "{died:?}");
    room.put("left", "c", None, "by hand");
    let session = room.session(None);
    let lock = session.lock().unwrap();
    let ended = session.resume(&lock, &quiet()).await.unwrap();
    assert_eq!(ended.outcome, Some(Outcome::Superseded));
    let again = apply_locked(&session, &lock).await;
    assert!(matches!(again, Err(SessionError::Blocked(_))), "what was put there by hand stays: {again:?}");
    room.shelf("left").world().boxes.remove("c");
    assert_eq!(apply_locked(&session, &lock).await.unwrap().outcome, Some(Outcome::Applied));
}

#[tokio::test]
async fn a_resume_of_a_run_that_was_being_taken_back_goes_on_taking_it_back() {
    for entry in 1.. {
        let room = fresh().await;
        room.trouble("left", "c", Trouble::Refuse);
        match apply(&room.session(Some(FaultAt::After(entry)))).await {
            Err(SessionError::Journal(_)) => {}
            Ok(_) => break,
            Err(other) => panic!("{other}"),
        }
        room.shelf("left").world().trouble.clear();
        let session = room.session(None);
        let Some(run) = session.unfinished().unwrap() else { continue };
        let undoing = run.statuses.iter().any(|status| ["being undone", "undone"].contains(&status.name()));
        let lock = session.lock().unwrap();
        let ended = session.resume(&lock, &quiet()).await.unwrap();
        assert_eq!(matches!(ended.outcome, Some(Outcome::RolledBack { .. })), undoing, "{entry}: {ended:?}");
        assert_eq!(room.names("left").is_empty(), undoing);
    }
}

async fn blockers(room: &Room, options: &Options) -> Vec<Note> {
    let planned = room.session(None).plan(options, true).await.unwrap();
    planned.plan.blockers().cloned().collect()
}

#[tokio::test]
async fn a_plan_that_removes_more_than_the_policy_allows_is_blocked() {
    let mut room = fresh().await;
    apply(&room.session(None)).await.unwrap();
    room.want(Vec::new());
    room.policy.max_removals = Some(3);
    let notes = blockers(&room, &Options::default()).await;
    assert_eq!(notes.iter().map(|note| note.code.as_str()).collect::<Vec<_>>(), ["policy.max-removals"]);
    let allowed = Options { allow_removals: true, ..Options::default() };
    assert_eq!(blockers(&room, &allowed).await, []);
    room.policy.max_removals = Some(4);
    assert_eq!(blockers(&room, &Options::default()).await, []);
}

#[tokio::test]
async fn what_the_policy_protects_stays_when_it_leaves_the_manifest() {
    let mut room = fresh().await;
    apply(&room.session(None)).await.unwrap();
    room.want(Vec::new());
    room.policy.protect = vec![toy::id("right", "d")];
    apply(&room.session(None)).await.unwrap();
    assert_eq!((room.names("left"), room.names("right")), (vec![], vec!["d".to_owned()]));
    assert_eq!(left(&room.session(None)).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_target_brings_what_it_needs_and_nothing_else() {
    let room = fresh().await;
    let options = Options { targets: ["b".to_owned()].into(), ..Options::default() };
    let planned = room.session(None).plan(&options, true).await.unwrap();
    let ids: Vec<String> = planned.plan.changes.iter().map(|change| change.id.to_string()).collect();
    assert_eq!(ids, ["left/box/a", "right/box/b"]);
    let unknown = Options { targets: ["nobody".to_owned()].into(), ..Options::default() };
    assert_eq!(blockers(&room, &unknown).await[0].code, "plan.unknown-target");
}

/// Plans without `name`, applies that, and says how it ended; what was planned, and the notes with a warning.
async fn apply_without(room: &Room, name: &str) -> (Option<Outcome>, Vec<String>, Vec<String>) {
    let session = room.session(None);
    let options = Options { excludes: [name.to_owned()].into(), ..Options::default() };
    let lock = session.lock().unwrap();
    let plan = session.plan(&options, true).await.unwrap().plan;
    let ids = plan.changes.iter().map(|change| change.id.to_string()).collect();
    let warnings = plan.notes.iter().filter(|note| note.severity == Severity::Warning);
    let warnings = warnings.map(|note| note.text.clone()).collect();
    let ended = session.apply(&lock, plan, &quiet()).await.unwrap();
    (ended.outcome, ids, warnings)
}

#[tokio::test]
async fn what_is_excluded_takes_what_cannot_be_done_without_it_along_and_says_so() {
    let a = wish("left", "a", "A", &[]);
    let b = wish("right", "b", "B", std::slice::from_ref(&a.id));
    let c = wish("left", "c", "C", std::slice::from_ref(&b.id));
    let room = Room::wanting(vec![a, b, c, wish("right", "d", "D", &[])]);
    let (outcome, ids, warnings) = apply_without(&room, "a").await;
    assert_eq!((outcome, ids), (Some(Outcome::Applied), vec!["right/box/d".to_owned()]));
    assert_eq!(
        warnings,
        [
            "left/box/a is excluded, and so is what cannot be done without it: right/box/b",
            "right/box/b is excluded, and so is what cannot be done without it: left/box/c",
        ]
    );
    assert_eq!(left(&room.session(None)).await.len(), 3);
    let unknown = Options { excludes: ["nobody".to_owned()].into(), ..Options::default() };
    assert_eq!(blockers(&room, &unknown).await[0].code, "plan.unknown-target");
}

#[tokio::test]
async fn what_is_there_and_only_differs_can_be_excluded_alone() {
    let a = |label: &str| wish("left", "a", label, &[]);
    let b = wish("right", "b", "B", std::slice::from_ref(&a("").id));
    let mut room = Room::wanting(vec![a("A")]);
    apply(&room.session(None)).await.unwrap();
    room.want(vec![a("another"), b]);
    let (outcome, ids, warnings) = apply_without(&room, "left/box/a").await;
    assert_eq!((outcome, ids), (Some(Outcome::Applied), vec!["right/box/b".to_owned()]));
    assert_eq!(warnings, Vec::<String>::new());
}

#[tokio::test]
async fn what_an_excluded_thing_stands_on_is_not_removed_and_what_is_excluded_stays_ours() {
    let a = wish("left", "a", "A", &[]);
    let b = wish("right", "b", "B", std::slice::from_ref(&a.id));
    let (c, d) = (wish("left", "c", "C", &[]), wish("left", "d", "D", &[]));
    let mut room = Room::wanting(vec![a, b, c.clone(), d.clone()]);
    apply(&room.session(None)).await.unwrap();
    room.want(vec![c, d]);
    room.policy.max_removals = Some(0);
    // Removed by hand: of what is left out, nothing is forgotten either.
    room.shelf("left").world().boxes.remove("d");
    let (outcome, ids, warnings) = apply_without(&room, "b").await;
    assert_eq!((outcome, ids), (Some(Outcome::Applied), vec!["left/box/d".to_owned()]));
    assert_eq!(warnings, ["right/box/b is excluded, and so is what cannot be done without it: left/box/a"]);
    room.policy.max_removals = None;
    room.shelf("left").world().boxes.remove("d");
    let (_, ids, _) = apply_without(&room, "d").await;
    assert_eq!(ids, ["left/box/a", "right/box/b"]);
    let records = room.session(None).plan(&Options::default(), true).await.unwrap().records;
    assert!(records.contains_key(&toy::id("left", "d")), "{records:?}");
}

#[tokio::test]
async fn what_stands_on_something_that_is_replaced_moves_to_what_replaces_it() {
    let base = |label: &str| wish("left", "a", label, &[]);
    let upper = wish("right", "b", "B", std::slice::from_ref(&base("").id));
    let mut room = Room::wanting(vec![base("heavy stone"), upper.clone()]);
    apply(&room.session(None)).await.unwrap();
    room.want(vec![base("light wood"), upper]);
    let planned = room.session(None).plan(&Options::default(), true).await.unwrap();
    let verbs: Vec<Verb> = planned.plan.changes.iter().map(|change| change.verb).collect();
    assert_eq!(verbs, [Verb::Replace, Verb::Update]);
    assert_eq!(apply(&room.session(None)).await.unwrap().outcome, Some(Outcome::Applied));
    assert_eq!(left(&room.session(None)).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_removal_that_is_taken_back_is_ours_again() {
    let mut room = fresh().await;
    apply(&room.session(None)).await.unwrap();
    let ours = room.session(None).plan(&Options::default(), true).await.unwrap().records;
    let wishes = room.wishes.clone();
    room.want(Vec::new());
    let session = room.session(None);
    let ended = apply(&session).await.unwrap();
    let lock = session.lock().unwrap();
    session.roll_back_run(&lock, &session.run(&ended.run).unwrap(), &quiet()).await.unwrap();
    room.want(wishes);
    assert_eq!(room.session(None).plan(&Options::default(), true).await.unwrap().records, ours);
}

#[tokio::test]
async fn boxes_that_stand_on_each_other_are_named() {
    let (a, b) = (toy::id("left", "a"), toy::id("left", "b"));
    let room = Room::wanting(vec![
        wish("left", "a", "A", std::slice::from_ref(&b)),
        wish("left", "b", "B", std::slice::from_ref(&a)),
    ]);
    let notes = blockers(&room, &Options::default()).await;
    assert_eq!(notes[0].code, "plan.circle");
    assert!(notes[0].text.contains("Create a -> Create b") || notes[0].text.contains("Create b -> Create a"));
}

/// Boxes by index: shelf, label, and the indices of earlier boxes it stands on.
fn wishes() -> impl Strategy<Value = Wishes> {
    let one = (any::<bool>(), 0..3_u8, prop::collection::vec(any::<prop::sample::Index>(), 0..3));
    prop::collection::vec(one, 0..7).prop_map(|boxes| {
        let mut wishes: Vec<Resource<BoxSpec>> = Vec::new();
        for (index, (right, label, on)) in boxes.into_iter().enumerate() {
            let on: Vec<_> = on
                .iter()
                .filter(|_| !wishes.is_empty())
                .map(|other| wishes[other.index(wishes.len())].id.clone())
                .collect();
            let shelf = SHELVES[usize::from(right)];
            wishes.push(wish(shelf, &format!("b{index}"), &format!("label {label}"), &on));
        }
        wishes
    })
}

/// What lives before: nothing, something of nobody, of ours, of others, under the names that are wanted.
fn neighbours() -> impl Strategy<Value = Vec<(bool, u8, u8, u8)>> {
    prop::collection::vec((any::<bool>(), 0..9_u8, 0..3_u8, 0..3_u8), 0..4)
}

fn room(wishes: Wishes, neighbours: Vec<(bool, u8, u8, u8)>) -> Room {
    let room = Room::wanting(wishes);
    for (right, index, label, realm) in neighbours {
        let realm = [None, Some("test"), Some("another")][usize::from(realm)];
        room.put(SHELVES[usize::from(right)], &format!("b{index}"), realm, &format!("label {label}"));
    }
    room
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn apply_then_plan_is_empty_then_rollback_gives_the_first_world_back(
        wishes in wishes(), neighbours in neighbours(),
    ) {
        run(async {
            let room = room(wishes, neighbours);
            let before = room.snapshot().await;
            let session = room.session(None);
            match apply(&session).await {
                Err(SessionError::Blocked(_)) => assert_eq!(room.snapshot().await, before),
                Err(other) => panic!("{other}"),
                Ok(ended) => {
                    assert_eq!(ended.outcome, Some(Outcome::Applied));
                    assert_eq!(left(&session).await, Vec::<String>::new());
                    if let Ok(run) = session.run(&ended.run) {
                        let lock = session.lock().unwrap();
                        session.roll_back_run(&lock, &run, &quiet()).await.unwrap();
                    }
                    assert_eq!(room.snapshot().await, before);
                }
            }
        });
    }

    #[test]
    fn an_incomplete_look_never_makes_nor_removes(wishes in wishes(), neighbours in neighbours()) {
        run(async {
            let room = room(wishes, neighbours);
            for name in SHELVES {
                room.shelf(name).world().blind = true;
            }
            let planned = room.session(None).plan(&Options::default(), true).await.unwrap();
            assert!(planned.plan.steps.is_empty(), "{:?}", planned.plan.steps);
            let wanted = !room.wishes.is_empty();
            assert_eq!(planned.plan.notes.iter().any(|note| note.severity == Severity::Error), wanted);
        });
    }

    #[test]
    fn dying_anywhere_and_resuming_ends_as_without_dying(wishes in wishes(), entry in 1..20_u64, after: bool) {
        run(async {
            let room = Room::wanting(wishes.clone());
            let at = if after { FaultAt::After(entry) } else { FaultAt::Before(entry) };
            let _ = apply(&room.session(Some(at))).await;
            let session = room.session(None);
            if session.unfinished().unwrap().is_some() {
                let lock = session.lock().unwrap();
                session.resume(&lock, &quiet()).await.unwrap();
            }
            apply(&session).await.unwrap();
            let calm = Room::wanting(wishes);
            apply(&calm.session(None)).await.unwrap();
            assert_eq!(room.snapshot().await, calm.snapshot().await);
        });
    }

    #[test]
    fn the_same_input_gives_the_same_plan(wishes in wishes(), neighbours in neighbours()) {
        run(async {
            let room = room(wishes, neighbours);
            let first = room.session(None).plan(&Options::default(), true).await.unwrap().plan;
            let second = room.session(None).plan(&Options::default(), true).await.unwrap().plan;
            assert_eq!(serde_json::to_string(&first).unwrap(), serde_json::to_string(&second).unwrap());
        });
    }
}

#[tokio::test]
async fn a_step_waits_for_the_disk_at_most_twice() {
    let wishes = (0..40).map(|index| wish("left", &format!("box{index}"), "label", &[])).collect();
    let room = Room::wanting(wishes);
    apply(&room.session(None)).await.unwrap();
    let journals = fraktalia_engine::journal::list(&StatePaths::new(room.state().to_path_buf())).unwrap();
    let text = std::fs::read_to_string(&journals[0]).unwrap();
    // Each line waits for the disk at most once. Besides two for each step there are the plan and the end.
    assert_eq!(text.lines().count(), 2 * 40 + 2);
}

//! The desk's hands: the built program, a real homeserver, and a repository with a remote.

use std::sync::{Arc, Mutex};

use fraktalia_desk::commands::Question;
use fraktalia_desk::{Applicant, Approval, Credits, EventId, Key, Order, Outcome, Plan, Planned};
use fraktalia_hands::{Drift, Hands};
use fraktalia_model::UserId;
use fraktalia_testkit::git::Repository;
use fraktalia_testkit::proxy::Break;
use fraktalia_testkit::real::docker::BUSYBOX;
use fraktalia_testkit::real::{Cache, Docker};
use fraktalia_tests::{SERVER, Stage, With};
use serde_json::{Value, json};
use tokio::sync::watch;

const WISHES: &str = "\
include: ['fractals.d/*.yaml']
users: { ana: {}, ben: {} }
rooms:
  ops: { name: Operations, topic: For operators, members: [ana] }
admin_room:
  room: ops
  operators: [ana]
  proposers: [ben]
  write_to: fractals.d
  commit: true
  push: true
";

/// A stage whose manifest lies in a repository and is applied.
struct House {
    stage: Stage,
    repository: Repository,
    hands: Hands,
}

impl House {
    async fn set() -> Option<Self> {
        let stage = Stage::set(With::FileOnly).await?;
        let repository = Repository::new(&stage.path("repository"));
        repository.write("fraktalia.yaml", &stage.manifest_for_anywhere(WISHES));
        repository.push("Begin");
        repository.git(&["branch", "--quiet", "--set-upstream-to=origin/main"]);
        let hands = Hands::new(stage.program(), &repository.path("fraktalia.yaml"), &stage.path("state"));
        let house = Self { hands: hands.expect("hands"), stage, repository };
        let _ = house.program(&["apply", "--yes"]).await.expect(0);
        Some(house)
    }

    async fn program(&self, args: &[&str]) -> fraktalia_tests::Ran {
        let manifest = self.repository.path("fraktalia.yaml").display().to_string();
        self.stage.run(&[&["-f", &manifest], args].concat()).await
    }

    /// Plans a fractal; the plan has to be one.
    async fn plan(&self, order: &Order) -> Plan {
        match self.hands.plan(&key("plan.1"), order).await {
            Planned::Plan(plan) => plan,
            other => panic!("no plan of {order:?}: {other:?}"),
        }
    }

    /// Adds a fractal as an approved proposal does.
    async fn add(&self, name: &str) {
        let order = fractal(name);
        let plan = self.plan(&order).await;
        let run = format!("add-{name}.1.run");
        applied(&self.run(&self.hands, &run, &order, &plan.fingerprint).await);
    }

    /// Hands that die after that step.
    async fn die_at(&self, step: &'static str, run: &str, order: &Order, fingerprint: &str) {
        let dying = self.hands.clone().with_hook(move |at| assert_ne!(at, step, "it dies here"));
        let (_go, stop) = watch::channel(false);
        let (key, order, fingerprint) = (key(run), order.clone(), fingerprint.to_owned());
        let died =
            tokio::spawn(
                async move { dying.run(&key, &order, &fingerprint, &credits(), |_| {}, stop).await },
            );
        assert!(died.await.is_err_and(|error| error.is_panic()), "it lives on after {step}");
    }

    async fn run(&self, hands: &Hands, run: &str, order: &Order, fingerprint: &str) -> Outcome {
        let (_go, stop) = watch::channel(false);
        hands.run(&key(run), order, fingerprint, &credits(), |_| {}, stop).await
    }

    /// What is not committed, and what is not pushed.
    fn tree(&self) -> String {
        let status = self.repository.git(&["status", "--porcelain", "--branch", "--untracked-files=all"]);
        status.trim_start_matches("## main...origin/main").trim().to_owned()
    }

    /// How many commits carry that line.
    fn commits(&self, trailer: &str, run: &str) -> usize {
        let grep = format!("--grep={trailer}: {run}$");
        self.repository.git(&["log", "--format=%H", &grep]).lines().count()
    }

    async fn runs(&self, note: &str) -> Vec<Value> {
        let ran = self.program(&["history", "--format", "json", "--note", note]).await.expect(0);
        let runs: Value = serde_json::from_str(&ran.stdout).expect("JSON");
        runs["runs"].as_array().cloned().expect("a list")
    }

    async fn rename(&self, alias: &str, name: &str) {
        let room = self.stage.room(alias).await.expect("the room");
        let path = format!("/_matrix/client/v3/rooms/{room}/state/m.room.name");
        let path = path.replace('!', "%21").replace(':', "%3A");
        self.stage.synapse.admin().put(&path, &json!({ "name": name })).await.expect("it is renamed");
    }
}

fn key(text: &str) -> Key {
    serde_json::from_value(json!(text)).expect("a key")
}

fn credits() -> Credits {
    let event = |text: &str| EventId::new(text).expect("an event");
    Credits {
        proposed_by: Some(Applicant::User(UserId(format!("@ben:{SERVER}")))),
        proposal: Some(event("$proposal")),
        approved: Approval::Operator {
            by: UserId(format!("@ana:{SERVER}")),
            reaction: event("$reaction"),
            message: event("$message"),
        },
    }
}

fn fractal(name: &str) -> Order {
    let fragment = format!("fractals:\n  {name}:\n    purpose: Cooks.\n    members: [ana, ben]\n");
    Order::Add { name: name.into(), fragment }
}

fn removal(name: &str) -> Order {
    Order::Remove { name: name.into() }
}

fn applied(outcome: &Outcome) -> (String, Option<String>) {
    match outcome {
        Outcome::Applied { run, commit } => (run.clone(), commit.clone()),
        other => panic!("it was not applied: {other:?}"),
    }
}

#[tokio::test]
async fn a_fractal_is_planned_without_a_trace_and_then_written_committed_pushed_and_applied_once() {
    let Some(house) = House::set().await else { return };
    let order = fractal("cook");
    let before = (house.tree(), house.repository.head(), house.stage.world().await);
    let plan = house.plan(&order).await;
    assert_eq!(
        before,
        (house.tree(), house.repository.head(), house.stage.world().await),
        "plan changed something"
    );
    assert!(plan.changes.contains("cook") && !plan.empty, "{}", plan.changes);
    assert!(!plan.changes.contains('\u{1b}'));
    assert!(plan.summary.contains("1 room") && plan.summary.contains("1 agent"), "{}", plan.summary);
    assert_eq!(house.plan(&order).await.fingerprint, plan.fingerprint, "the same plan in the same world");

    // Something of the operator's is staged meanwhile, and none of our business.
    house.repository.write("notes.txt", "mine");
    house.repository.git(&["add", "notes.txt"]);
    let outcome = house.run(&house.hands, "c1.1.run", &order, &plan.fingerprint).await;
    let (run, commit) = applied(&outcome);
    let commit = commit.expect("a commit");
    assert_eq!(house.tree(), "A  notes.txt");
    assert_eq!(house.repository.git(&["show", "--name-only", "--format=", &commit]), "fractals.d/cook.yaml");
    assert_eq!(house.repository.git(&["rev-parse", "origin/main"]), commit);
    let message = house.repository.git(&["show", "--no-patch", "--format=%B", &commit]);
    for line in ["Add the fractal cook", "Fraktalia-Act: c1.1.run", "Matrix-Event: $reaction"] {
        assert!(message.lines().any(|other| other == line), "{message}");
    }
    let text = std::fs::read_to_string(house.repository.path("fractals.d/cook.yaml")).expect("the file");
    assert!(text.starts_with(
        "# Proposed by @ben:chat.stage ($proposal).\n# Approved by @ana:chat.stage ($reaction).\n"
    ));
    assert!(house.stage.room("cook").await.is_some());

    let again = house.run(&house.hands, "c1.1.run", &order, &plan.fingerprint).await;
    assert_eq!(again, outcome, "the same key again");
    assert_eq!((house.commits("Fraktalia-Act", "c1.1.run"), house.runs("c1.1.run").await.len()), (1, 1));

    // The way back: the run and its commit, so that the next apply does not do it all again.
    let back = house.plan(&Order::Rollback).await;
    assert!(back.summary.contains(&run), "{}", back.summary);
    let outcome = house.run(&house.hands, "c2.1.run", &Order::Rollback, &back.fingerprint).await;
    assert_eq!(applied(&outcome).0, run);
    assert_eq!(house.stage.world().await, before.2);
    assert_eq!(house.tree(), "A  notes.txt");
    assert!(!house.repository.path("fractals.d/cook.yaml").exists());
    assert_eq!(house.commits("Fraktalia-Taken-Back", "c1.1.run"), 1);
    assert_eq!(house.repository.git(&["rev-parse", "origin/main"]), house.repository.head());
    let again = house.run(&house.hands, "c2.1.run", &Order::Rollback, &back.fingerprint).await;
    assert_eq!(again, outcome, "the same rollback again");
    let _ = house.program(&["plan", "--exit-code"]).await.expect(0);
}

#[tokio::test]
async fn hands_that_die_after_any_of_their_steps_come_to_the_same_end() {
    let Some(house) = House::set().await else { return };
    for (number, step) in
        ["recorded", "written", "committed", "pushed", "beginning", "begun"].into_iter().enumerate()
    {
        let order = fractal(&format!("cook{number}"));
        let run = format!("d{number}.1.run");
        let plan = house.plan(&order).await;
        house.die_at(step, &run, &order, &plan.fingerprint).await;
        let outcome = house.run(&house.hands, &run, &order, &plan.fingerprint).await;
        assert!(matches!(outcome, Outcome::Applied { .. }), "after {step}: {outcome:?}");
        assert_eq!(house.tree(), "", "after {step}");
        let counts = (house.commits("Fraktalia-Act", &run), house.runs(&run).await.len());
        assert_eq!(counts, (1, 1), "commits and runs after {step}");
        let _ = house.program(&["plan", "--exit-code"]).await.expect(0);
    }
}

#[tokio::test]
async fn what_is_taken_in_comes_to_the_same_end_too() {
    let Some(house) = House::set().await else { return };
    for (number, step) in ["recorded", "written", "committed", "pushed"].into_iter().enumerate() {
        let name = format!("Name {number}");
        house.rename("ops", &name).await;
        let plan = house.plan(&Order::PutBack).await;
        let run = format!("t{number}.1.run");
        house.die_at(step, &run, &Order::TakeIn, &plan.fingerprint).await;
        applied(&house.run(&house.hands, &run, &Order::TakeIn, &plan.fingerprint).await);
        let text = std::fs::read_to_string(house.repository.path("fraktalia.yaml")).expect("the manifest");
        assert!(text.contains(&name), "{text}");
        assert_eq!((house.tree().as_str(), house.commits("Fraktalia-Act", &run)), ("", 1), "after {step}");
        assert_eq!(house.repository.git(&["rev-parse", "origin/main"]), house.repository.head());
    }
    // What an operator has not committed yet does not become a part of ours.
    let text = std::fs::read_to_string(house.repository.path("fraktalia.yaml")).expect("the manifest");
    house.repository.write("fraktalia.yaml", &format!("{text}# mine\n"));
    house.rename("ops", "Chaos").await;
    let plan = house.plan(&Order::PutBack).await;
    let outcome = house.run(&house.hands, "t9.1.run", &Order::TakeIn, &plan.fingerprint).await;
    assert!(
        matches!(&outcome, Outcome::RolledBack { reason, .. } if reason.contains("not committed")),
        "{outcome:?}"
    );
    assert_eq!(house.tree(), "M fraktalia.yaml");
}

#[tokio::test]
async fn without_git_the_file_itself_is_taken_back_and_only_while_it_is_ours() {
    let Some(house) = House::set().await else { return };
    let text = std::fs::read_to_string(house.repository.path("fraktalia.yaml")).expect("the manifest");
    let text = text.replace("  commit: true\n  push: true\n", "");
    house.repository.write("fraktalia.yaml", &text);
    house.repository.push("No commits");
    let order = fractal("cook");
    let path = house.repository.path("fractals.d/cook.yaml");
    for (run, theirs) in [("u1.1.run", false), ("u2.1.run", true)] {
        let plan = house.plan(&order).await;
        house.stage.proxy.break_if(|_, path| path.contains("/createRoom").then_some(Break::ServerError));
        let outcome = house.run(&house.hands, run, &order, &plan.fingerprint).await;
        let Outcome::RolledBack { run: Some(_), reason } = outcome else { panic!("{outcome:?}") };
        assert!(reason.contains("500"), "{reason}");
        house.stage.proxy.mend();
        assert!(path.exists());
        if theirs {
            std::fs::write(&path, "# mine now\n").expect("it is written");
            let why = house.hands.take_back(&key(run)).await.expect_err("it is not ours any more");
            assert!(why.contains("stays"), "{why}");
        } else {
            house.hands.take_back(&key(run)).await.expect("it is taken back");
            house.hands.take_back(&key(run)).await.expect("and again");
            assert!(!path.exists());
        }
    }
}

#[tokio::test]
async fn a_command_that_dies_in_a_run_is_gone_on_with() {
    let Some(house) = House::set().await else { return };
    let order = fractal("cook");
    let plan = house.plan(&order).await;
    let dying = house.hands.clone().with_env("FRAKTALIA_TEST_DIE", "after:2");
    let outcome = house.run(&dying, "e.1.run", &order, &plan.fingerprint).await;
    assert!(matches!(&outcome, Outcome::Stuck { run: Some(_), .. }), "{outcome:?}");
    let outcome = house.run(&house.hands, "e.1.run", &order, &plan.fingerprint).await;
    applied(&outcome);
    assert_eq!((house.commits("Fraktalia-Act", "e.1.run"), house.runs("e.1.run").await.len()), (1, 1));
    let _ = house.program(&["plan", "--exit-code"]).await.expect(0);
    let world = house.stage.world().await;

    // Somebody has said no before we came to life again: it is taken back.
    let order = fractal("baker");
    let plan = house.plan(&order).await;
    let outcome = house.run(&dying, "e.2.run", &order, &plan.fingerprint).await;
    assert!(matches!(&outcome, Outcome::Stuck { run: Some(_), .. }), "{outcome:?}");
    let (_say, stop) = watch::channel(true);
    let outcome = house.hands.run(&key("e.2.run"), &order, &plan.fingerprint, &credits(), |_| {}, stop).await;
    let Outcome::RolledBack { run: Some(_), reason } = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("stopped"), "{reason}");
    house.hands.take_back(&key("e.2.run")).await.expect("it is taken back");
    assert_eq!((house.stage.world().await, house.tree().as_str()), (world, ""));
}

#[tokio::test]
async fn what_cannot_be_done_leaves_nothing_behind() {
    let Some(house) = House::set().await else { return };
    let order = fractal("cook");
    let before = house.stage.world().await;

    // The world is not the one that was planned for.
    let plan = house.plan(&order).await;
    let manifest = house.repository.path("fraktalia.yaml");
    let text = std::fs::read_to_string(&manifest).expect("the manifest");
    house.repository.write("fraktalia.yaml", &text.replace("For operators", "For all operators"));
    house.repository.push("Another topic");
    let outcome = house.run(&house.hands, "f1.1.run", &order, &plan.fingerprint).await;
    assert_eq!(outcome, Outcome::Stale);
    assert_eq!(house.tree(), "");
    house.repository.write("fraktalia.yaml", &text);
    house.repository.push("The old topic");

    // Another run is at work.
    let plan = house.plan(&order).await;
    let paths = fraktalia_engine::StatePaths::new(house.stage.path("state"));
    let lock = fraktalia_engine::Lock::acquire(&paths).expect("the lock");
    let head = house.repository.head();
    let outcome = house.run(&house.hands, "f2.1.run", &order, &plan.fingerprint).await;
    assert!(matches!(outcome, Outcome::Busy(_)), "{outcome:?}");
    assert_eq!((house.tree().as_str(), house.repository.head()), ("", head));
    drop(lock);

    // A system fails in mid-run: the run is taken back by itself, the commit when the desk says so.
    house.stage.proxy.break_if(|_, path| path.contains("/createRoom").then_some(Break::ServerError));
    let outcome = house.run(&house.hands, "f3.1.run", &order, &plan.fingerprint).await;
    assert!(matches!(&outcome, Outcome::RolledBack { run: Some(_), .. }), "{outcome:?}");
    house.stage.proxy.mend();
    for _ in 0..2 {
        house.hands.take_back(&key("f3.1.run")).await.expect("it is taken back");
        assert_eq!(house.commits("Fraktalia-Taken-Back", "f3.1.run"), 1);
    }
    assert_eq!(house.repository.git(&["rev-parse", "origin/main"]), house.repository.head());

    // The remote refuses.
    let hook = house.repository.remote().join("hooks/pre-receive");
    std::fs::write(&hook, "#!/bin/sh\necho closed for today >&2\nexit 1\n").expect("a hook");
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("it runs");
    let plan = house.plan(&order).await;
    let outcome = house.run(&house.hands, "f4.1.run", &order, &plan.fingerprint).await;
    let Outcome::RolledBack { run: None, reason } = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("closed for today"), "{reason}");
    assert!(!house.repository.path("fractals.d/cook.yaml").exists());
    assert_eq!(house.runs("f4.1.run").await.len(), 0, "nothing was applied");
    assert_eq!(house.stage.world().await, before);

    // The operator's own commits are not ours to push.
    std::fs::remove_file(&hook).expect("the hook goes");
    house.repository.git(&["push", "--quiet"]);
    house.repository.write("notes.txt", "mine");
    house.repository.commit("Mine");
    let plan = house.plan(&order).await;
    let outcome = house.run(&house.hands, "f5.1.run", &order, &plan.fingerprint).await;
    assert!(
        matches!(&outcome, Outcome::RolledBack { run: None, reason } if reason.contains("not ours to push")),
        "{outcome:?}"
    );
    assert_eq!(house.tree(), "[ahead 1]");

    // There is nowhere to push to.
    house.repository.git(&["branch", "--quiet", "--unset-upstream"]);
    let plan = house.plan(&order).await;
    let outcome = house.run(&house.hands, "f6.1.run", &order, &plan.fingerprint).await;
    let Outcome::RolledBack { run: None, reason } = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("nowhere to push to"), "{reason}");
    assert_eq!(house.repository.git(&["status", "--porcelain"]), "", "nothing is left");
}

#[tokio::test]
async fn a_no_in_mid_run_takes_it_back() {
    let Some(house) = House::set().await else { return };
    let before = house.stage.world().await;
    let order = fractal("cook");
    let plan = house.plan(&order).await;
    house.stage.proxy.break_if(|_, path| path.contains("/createRoom").then_some(Break::Hold));
    let _ = house.stage.proxy.take_calls();
    let (say, stop) = watch::channel(false);
    let (heard, mut stopping) = watch::channel(false);
    let lines = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&lines);
    let (key, credits) = (key("g.1.run"), credits());
    let run = house.hands.run(
        &key,
        &order,
        &plan.fingerprint,
        &credits,
        move |line| {
            if line.starts_with("stopping") {
                heard.send_replace(true);
            }
            told.lock().expect("lines").push(line);
        },
        stop,
    );
    let no = async {
        house.stage.proxy.called(|_, path| path.contains("/createRoom")).await;
        say.send_replace(true);
        stopping.wait_for(|heard| *heard).await.expect("it is heard before the room is made");
        house.stage.proxy.mend();
    };
    let (outcome, ()) = tokio::join!(run, no);
    assert!(
        matches!(&outcome, Outcome::RolledBack { reason, .. } if reason.contains("stopped")),
        "{outcome:?}"
    );
    let lines = lines.lock().expect("lines").join("\n");
    assert!(lines.contains("1 of "), "{lines} {outcome:?}");
    house.hands.take_back(&key).await.expect("it is taken back");
    assert_eq!(house.stage.world().await, before);
    assert_eq!(house.tree(), "");
}

#[tokio::test]
async fn what_is_wrong_with_a_fragment_is_said_with_its_place_and_questions_are_answered() {
    let Some(house) = House::set().await else { return };
    let wrong = "fractals:\n  cook:\n    purpose: Cooks.\n    members: [nobody, ana, ben]\n";
    let order = Order::Add { name: "cook".into(), fragment: wrong.into() };
    let Planned::Findings(notes) = house.hands.plan(&key("h.1"), &order).await else { panic!("no findings") };
    assert_eq!(
        notes[0].at.as_ref().map(|at| (at.file.display().to_string(), at.line)),
        Some(("proposal".into(), 4))
    );
    let order = Order::Add { name: "../cook".into(), fragment: wrong.into() };
    assert!(matches!(house.hands.plan(&key("h.2"), &order).await, Planned::Unable(_)));
    house.stage.proxy.break_if(|_, _| Some(Break::Lost));
    let Planned::Unable(why) = house.hands.plan(&key("h.3"), &fractal("cook")).await else {
        panic!("a plan")
    };
    assert!(why.contains("matrix"), "{why}");
    let status = house.hands.look(&Question::Status).await;
    assert!(status.contains("could not be observed"), "{status}");
    house.stage.proxy.mend();
    let history = house.hands.look(&Question::History(1)).await;
    assert!(history.contains("applied"), "{history}");
    assert_eq!(house.hands.look(&Question::Drift).await, "Nothing was changed by hand.");
    assert!(house.hands.look(&Question::Plan).await.contains("Nothing"), "the plan is empty");
}

#[tokio::test]
async fn drift_is_noticed_and_put_back_or_taken_in() {
    let Some(house) = House::set().await else { return };
    let hands = house.hands.clone().looking_every(std::time::Duration::from_secs(1));
    let mut drift = hands.drift();
    assert_eq!(drift.recv().await, Some(Drift::Settled));
    house.rename("ops", "Chaos").await;
    let Some(Drift::Drifted(plan)) = drift.recv().await else { panic!("no drift") };
    assert!(plan.changes.contains("Chaos"), "{}", plan.changes);
    let outcome = house.run(&hands, "i1.1.run", &Order::PutBack, &plan.fingerprint).await;
    applied(&outcome);
    assert_eq!(drift.recv().await, Some(Drift::Settled));

    house.rename("ops", "Peace").await;
    let Some(Drift::Drifted(plan)) = drift.recv().await else { panic!("no drift") };
    let outcome = house.run(&hands, "i2.1.run", &Order::TakeIn, &plan.fingerprint).await;
    let (run, commit) = applied(&outcome);
    assert_eq!((run.as_str(), commit.is_some()), (fraktalia_hands::NO_RUN, true));
    let text = std::fs::read_to_string(house.repository.path("fraktalia.yaml")).expect("the manifest");
    assert!(text.contains("Peace"), "{text}");
    assert_eq!(house.tree(), "");
    let again = house.run(&hands, "i2.1.run", &Order::TakeIn, &plan.fingerprint).await;
    assert_eq!(again, outcome);
    let _ = house.program(&["plan", "--exit-code"]).await.expect(0);
}

#[tokio::test]
async fn a_fractal_is_removed_with_its_file_once_and_comes_back_with_it() {
    let Some(house) = House::set().await else { return };
    house.add("cook").await;
    let path = house.repository.path("fractals.d/cook.yaml");
    let text = std::fs::read_to_string(&path).expect("the file");
    let before = (house.tree(), house.repository.head(), house.stage.world().await);
    let plan = house.plan(&removal("cook")).await;
    let now = (house.tree(), house.repository.head(), house.stage.world().await);
    assert_eq!(before, now, "plan changed something");
    assert!(plan.changes.contains("- room") && plan.changes.contains(". workspace"), "{}", plan.changes);
    assert!(plan.summary.contains("lets go 1 workspace; removes 1 agent, 1 room"), "{}", plan.summary);

    let outcome = house.run(&house.hands, "r1.1.run", &removal("cook"), &plan.fingerprint).await;
    let (run, commit) = applied(&outcome);
    let commit = commit.expect("a commit");
    assert!(!path.exists());
    assert_eq!(house.tree(), "");
    let named = house.repository.git(&["show", "--name-status", "--format=%s", &commit]);
    assert_eq!(named, "Remove the fractal cook\n\nD\tfractals.d/cook.yaml");
    assert_eq!(house.repository.git(&["rev-parse", "origin/main"]), commit);
    assert!(house.stage.room("cook").await.is_none(), "its room is retired");
    let again = house.run(&house.hands, "r1.1.run", &removal("cook"), &plan.fingerprint).await;
    assert_eq!(again, outcome, "the same key again");
    assert_eq!((house.commits("Fraktalia-Act", "r1.1.run"), house.runs("r1.1.run").await.len()), (1, 1));
    let _ = house.program(&["plan", "--exit-code"]).await.expect(0);

    let back = house.plan(&Order::Rollback).await;
    assert!(back.summary.contains(&run), "{}", back.summary);
    for step in ["recorded", "beginning", "begun", "taken back", "pushed back"] {
        house.die_at(step, "r2.1.run", &Order::Rollback, &back.fingerprint).await;
    }
    applied(&house.run(&house.hands, "r2.1.run", &Order::Rollback, &back.fingerprint).await);
    assert_eq!(std::fs::read_to_string(&path).ok(), Some(text));
    assert_eq!((house.tree().as_str(), house.commits("Fraktalia-Taken-Back", "r1.1.run")), ("", 1));
    assert!(house.stage.room("cook").await.is_some(), "its room is back");
    let _ = house.program(&["plan", "--exit-code"]).await.expect(0);
}

#[tokio::test]
async fn hands_that_die_while_they_remove_come_to_the_same_end() {
    let Some(house) = House::set().await else { return };
    for (number, step) in
        ["recorded", "written", "committed", "pushed", "beginning", "begun"].into_iter().enumerate()
    {
        let name = format!("cook{number}");
        house.add(&name).await;
        let order = removal(&name);
        let plan = house.plan(&order).await;
        let run = format!("s{number}.1.run");
        house.die_at(step, &run, &order, &plan.fingerprint).await;
        applied(&house.run(&house.hands, &run, &order, &plan.fingerprint).await);
        assert!(!house.repository.path(&format!("fractals.d/{name}.yaml")).exists(), "after {step}");
        assert_eq!(house.tree(), "", "after {step}");
        let counts = (house.commits("Fraktalia-Act", &run), house.runs(&run).await.len());
        assert_eq!(counts, (1, 1), "commits and runs after {step}");
        let _ = house.program(&["plan", "--exit-code"]).await.expect(0);
    }
}

#[tokio::test]
async fn a_removal_that_cannot_be_done_leaves_the_file_where_it_was() {
    let Some(house) = House::set().await else { return };
    house.add("cook").await;
    let order = removal("cook");
    let text = || std::fs::read_to_string(house.repository.path("fractals.d/cook.yaml")).ok();
    let (file, before) = (text(), house.stage.world().await);
    let run = async |run: &'static str, fingerprint: &str| {
        let outcome = house.run(&house.hands, run, &order, fingerprint).await;
        assert_eq!((house.tree().as_str(), text()), ("", file.clone()), "{run}: {outcome:?}");
        outcome
    };

    // The manifest is not the one that was planned for.
    let plan = house.plan(&order).await;
    let manifest = std::fs::read_to_string(house.repository.path("fraktalia.yaml")).expect("the manifest");
    house.repository.write("fraktalia.yaml", &manifest.replace("For operators", "For all operators"));
    house.repository.push("Another topic");
    assert_eq!(run("v1.1.run", &plan.fingerprint).await, Outcome::Stale);
    house.repository.write("fraktalia.yaml", &manifest);
    house.repository.push("The old topic");

    // Another run is at work.
    let plan = house.plan(&order).await;
    let paths = fraktalia_engine::StatePaths::new(house.stage.path("state"));
    let lock = fraktalia_engine::Lock::acquire(&paths).expect("the lock");
    let head = house.repository.head();
    assert!(matches!(run("v2.1.run", &plan.fingerprint).await, Outcome::Busy(_)));
    assert_eq!(house.repository.head(), head);
    drop(lock);

    // A system fails in mid-run; what died while it was taken back is taken back all the same.
    for (number, step) in ["taken back", "pushed back"].into_iter().enumerate() {
        let key_of_run = format!("v3{number}.1.run");
        let plan = house.plan(&order).await;
        house.stage.proxy.break_if(|_, path| path.contains("/kick").then_some(Break::ServerError));
        let outcome = house.run(&house.hands, &key_of_run, &order, &plan.fingerprint).await;
        assert!(matches!(&outcome, Outcome::RolledBack { run: Some(_), .. }), "{outcome:?}");
        house.stage.proxy.mend();
        assert_eq!(text(), None);
        let dying = house.hands.clone().with_hook(move |at| assert_ne!(at, step, "it dies here"));
        let task_key = key(&key_of_run);
        let died = tokio::spawn(async move { dying.take_back(&task_key).await });
        assert!(died.await.is_err_and(|error| error.is_panic()), "it lives on after {step}");
        for _ in 0..2 {
            house.hands.take_back(&key(&key_of_run)).await.expect("it is taken back");
            assert_eq!(house.commits("Fraktalia-Taken-Back", &key_of_run), 1);
        }
        assert_eq!((house.tree().as_str(), text()), ("", file.clone()));
        assert_eq!(house.repository.git(&["rev-parse", "origin/main"]), house.repository.head());
    }
    assert_eq!(house.stage.world().await, before);
    let _ = house.program(&["plan", "--exit-code"]).await.expect(0);

    // Somebody wrote it anew since: theirs stays.
    let plan = house.plan(&order).await;
    house.stage.proxy.break_if(|_, path| path.contains("/kick").then_some(Break::ServerError));
    let _ = house.run(&house.hands, "v4.1.run", &order, &plan.fingerprint).await;
    house.stage.proxy.mend();
    house.repository.write("fractals.d/cook.yaml", "# mine now\n");
    let why = house.hands.take_back(&key("v4.1.run")).await.expect_err("it is not ours any more");
    assert!(why.contains("written anew since") && why.contains("git revert"), "{why}");
    assert_eq!(text().as_deref(), Some("# mine now\n"));
}

#[tokio::test]
async fn what_stands_elsewhere_or_is_protected_is_not_removed_and_it_is_said_why() {
    let Some(house) = House::set().await else { return };
    house.add("cook").await;
    let unable = async |name: &str| match house.hands.plan(&key("w.1"), &removal(name)).await {
        Planned::Unable(why) => why,
        other => panic!("no reason for {name}: {other:?}"),
    };
    assert!(unable("nobody").await.contains("no fractal `nobody`"));
    assert!(unable("../cook").await.contains("name of a file"));

    let manifest = std::fs::read_to_string(house.repository.path("fraktalia.yaml")).expect("the manifest");
    let line = manifest.lines().count() + 2;
    house
        .repository
        .write("fraktalia.yaml", &format!("{manifest}fractals:\n  baker: {{ members: [ana, ben] }}\n"));
    let why = unable("baker").await;
    assert!(
        why.contains(&format!("`baker` stands in fraktalia.yaml line {line}, and is removed there")),
        "{why}"
    );

    house.repository.write("fraktalia.yaml", &format!("{manifest}policy: {{ max_removals: 0 }}\n"));
    let why = unable("cook").await;
    assert!(why.contains("the policy allows 0"), "{why}");
    house
        .repository
        .write("fraktalia.yaml", &format!("{manifest}policy: {{ protect: [openclaw/agent/cook] }}\n"));
    let why = unable("cook").await;
    assert!(why.contains("protect"), "{why}");
    let named = manifest.replace("['fractals.d/*.yaml']", "['fractals.d/*.yaml', fractals.d/cook.yaml]");
    house.repository.write("fraktalia.yaml", &named);
    let why = unable("cook").await;
    assert!(why.contains("without it the manifest is invalid") && why.contains("cook"), "{why}");
    house.repository.write("fraktalia.yaml", &manifest);

    let path = house.repository.path("fractals.d/cook.yaml");
    let text = std::fs::read_to_string(&path).expect("the file");
    house.repository.write("fractals.d/cook.yaml", &format!("{text}  baker: {{ members: [ana, ben] }}\n"));
    let why = unable("cook").await;
    assert!(
        why.contains("fractals.d/cook.yaml line") && why.contains("`fractals.baker` stands there as well"),
        "{why}"
    );
    house.repository.write("fractals.d/cook.yaml", &text.replace("Cooks.", "Bakes."));
    let why = unable("cook").await;
    assert!(why.contains("not committed"), "{why}");
    house.repository.write("fractals.d/cook.yaml", &text);
    std::fs::rename(&path, house.repository.path("elsewhere")).expect("it is moved");
    std::os::unix::fs::symlink("../elsewhere", &path).expect("a link");
    let why = unable("cook").await;
    assert!(why.contains("is removed there"), "{why}");
}

#[tokio::test]
async fn without_git_a_removed_file_comes_back_as_it_was_and_a_no_in_mid_run_is_heard() {
    let Some(house) = House::set().await else { return };
    house.add("cook").await;
    let manifest = std::fs::read_to_string(house.repository.path("fraktalia.yaml")).expect("the manifest");
    house.repository.write("fraktalia.yaml", &manifest.replace("  commit: true\n  push: true\n", ""));
    house.repository.push("No commits");
    let path = house.repository.path("fractals.d/cook.yaml");
    let (order, text) = (removal("cook"), std::fs::read_to_string(&path).expect("the file"));
    let before = house.stage.world().await;

    // A no while the room is closed: all is taken back, the file when the desk says so.
    let plan = house.plan(&order).await;
    house.stage.proxy.break_if(|_, path| path.contains("/kick").then_some(Break::Hold));
    let _ = house.stage.proxy.take_calls();
    let (say, stop) = watch::channel(false);
    let (heard, mut stopping) = watch::channel(false);
    let (key_of_run, credits) = (key("x1.1.run"), credits());
    let tell = move |line: String| {
        heard.send_if_modified(|heard| line.starts_with("stopping") && !std::mem::replace(heard, true));
    };
    let run = house.hands.run(&key_of_run, &order, &plan.fingerprint, &credits, tell, stop);
    let no = async {
        house.stage.proxy.called(|_, path| path.contains("/kick")).await;
        say.send_replace(true);
        stopping.wait_for(|heard| *heard).await.expect("it is heard before anybody is put out");
        house.stage.proxy.mend();
    };
    let (outcome, ()) = tokio::join!(run, no);
    assert!(
        matches!(&outcome, Outcome::RolledBack { reason, .. } if reason.contains("stopped")),
        "{outcome:?}"
    );
    assert!(!path.exists());
    for _ in 0..2 {
        house.hands.take_back(&key_of_run).await.expect("it is taken back");
    }
    assert_eq!(std::fs::read_to_string(&path).ok().as_ref(), Some(&text));
    assert_eq!((house.stage.world().await, house.tree().as_str()), (before, ""));

    // A yes, and the way back.
    let plan = house.plan(&order).await;
    let outcome = house.run(&house.hands, "x2.1.run", &order, &plan.fingerprint).await;
    assert_eq!((applied(&outcome).1, path.exists()), (None, false));
    let back = house.plan(&Order::Rollback).await;
    applied(&house.run(&house.hands, "x3.1.run", &Order::Rollback, &back.fingerprint).await);
    assert_eq!(std::fs::read_to_string(&path).ok(), Some(text));
    let _ = house.program(&["plan", "--exit-code"]).await.expect(0);
}

#[tokio::test]
async fn a_plan_is_short_and_says_each_thing_once_and_what_it_costs() {
    let Some(house) = House::set().await else { return };
    let Some(cache) = Cache::for_test() else { return };
    let docker = Docker::ensure(&cache).await.expect("an engine");
    docker.base_image(&cache, BUSYBOX).await.expect("an image");
    let manifest = std::fs::read_to_string(house.repository.path("fraktalia.yaml")).expect("the manifest");
    let sandbox = format!(
        "sandboxes: {{ small: {{ image: {{ tag: \"{BUSYBOX}\" }}, memory: 256m }} }}\npolicy: {{ forward_ports: 9018-9018 }}\n"
    );
    house.repository.write("fraktalia.yaml", &format!("{manifest}{sandbox}"));
    house.repository.push("A sandbox");
    let fragment = "fractals:\n  cook:\n    purpose: Cooks.\n    members: [ana, ben]\n    model: test/model\n    sandbox: small\n";
    let order = Order::Add { name: "cook".into(), fragment: fragment.into() };
    let plan = house.plan(&order).await;
    for part in ["1 agent", "1 room", "model test/model", "at most 256m of memory", "people notice"] {
        assert!(plan.summary.contains(part), "{part}: {}", plan.summary);
    }
    let all = format!("{}\n{}\n{}", plan.summary, plan.changes, plan.warnings.join("\n"));
    assert!(
        !all.contains(&house.repository.path("").display().to_string()),
        "a place of this machine: {all}"
    );
    assert!(plan.changes.starts_with("cook") && !plan.changes.contains("to create"), "{}", plan.changes);
    assert!(plan.changes.lines().all(|line| line.chars().count() <= 60), "{}", plan.changes);
    for warning in &plan.warnings {
        assert!(!plan.changes.contains(warning), "said twice: {warning}");
    }
}

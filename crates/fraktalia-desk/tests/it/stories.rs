//! What happens when all goes as it should, and when the work itself does not.

use fraktalia_desk::{Approval, Do, End, Order, Outcome, Planned, Stage, What};
use fraktalia_model::Note;

use crate::room::{AGENT, ANA, BEN, NO, Room, YES, done, fragment, plan, run, said, says, user};

#[test]
fn a_proposal_is_planned_shown_approved_and_done() {
    let mut room = Room::new();
    let (proposal, acts) = room.writes(AGENT, &fragment("cook"));
    assert!(
        acts.iter().any(
            |act| matches!(&act.what, Do::Plan { order: Order::Add { name, .. }, .. } if name == "cook")
        )
    );
    let acts = room.plans(&acts, Planned::Plan(plan("print-1")));
    let shown = says(&acts);
    for part in [
        "`cook`",
        AGENT,
        "3 to create",
        "#cook:chat.home",
        "written once",
        "✅ do it",
        "❌ leave it",
        "print-1",
        "UTC",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let message = room.post(&acts);
    let acts = room.reacts(ANA, &message, YES);
    let Some(Do::Run { order: Order::Add { fragment, .. }, fingerprint, credits, .. }) =
        acts.iter().map(|act| &act.what).find(|what| matches!(what, Do::Run { .. }))
    else {
        panic!("it is done: {acts:?}")
    };
    assert!(fragment.starts_with("fractals:\n  cook:"));
    assert_eq!(fingerprint, "print-1");
    assert_eq!(credits.proposal.as_ref(), Some(&proposal));
    assert!(
        matches!(&credits.approved, Approval::Operator { by, message: on, .. } if *by == user(ANA) && *on == message)
    );
    let key = run(&acts).unwrap();
    let progress = room.hear(What::Progress { key, text: "3 of 7".into() });
    assert!(matches!(&progress[0].what, Do::Edit { words, .. } if words.plain().contains("3 of 7")));
    let acts = room.ran(&acts, done());
    assert!(says(&acts).contains("Done: `cook`, approved by @ana:chat.home. Run `r1`, commit `abc123`."));
    let case = room.desk.cases().next().unwrap();
    assert!(matches!(case.stage, Stage::Closed { end: End::Applied, .. }));
}

#[test]
fn a_fragment_with_faults_is_told_what_to_correct() {
    let mut room = Room::new();
    let body = "```yaml\nfractals: { cook: { sandbox: root, openclaw: { a: b } } }\n```";
    let (_, acts) = room.writes(AGENT, body);
    let text = says(&acts);
    assert!(text.contains("line 1, column 30: the sandbox `root` may not be proposed"), "{text}");
    assert!(text.contains("`fractals.cook.openclaw` may never be proposed"), "{text}");
    assert_eq!(room.desk.cases().count(), 0);
}

#[test]
fn what_the_planner_finds_ends_the_proposal() {
    let mut room = Room::new();
    for (name, answer, part) in [
        (
            "a",
            Planned::Findings(vec![Note::error("x", "in the way").hint("move it")]),
            "in the way (move it)",
        ),
        ("b", Planned::Unable("the homeserver is away".into()), "the homeserver is away"),
        ("c", Planned::Plan(fraktalia_desk::Plan { empty: true, ..plan("p") }), "nothing to do"),
    ] {
        let (_, acts) = room.writes(AGENT, &fragment(name));
        let acts = room.plans(&acts, answer);
        assert!(says(&acts).contains(part), "{part}: {acts:?}");
    }
    assert!(room.desk.cases().all(|case| !case.is_alive()));
}

#[test]
fn a_failed_apply_takes_the_commit_back_and_says_why() {
    let mut room = Room::new();
    let (_, message) = room.open(AGENT, "cook");
    let acts = room.reacts(ANA, &message, YES);
    let key = run(&acts).unwrap();
    let failed = Outcome::RolledBack { run: Some("r1".into()), reason: "docker said no".into() };
    let acts = room.ran(&acts, failed);
    let back =
        acts.iter().find(|act| matches!(&act.what, Do::TakeBack { run } if *run == key)).expect("taken back");
    let acts = room.hear(What::TakenBack { key: back.key.clone(), failed: None });
    let text = says(&acts);
    assert!(text.contains("docker said no") && text.contains("commit was taken back"), "{text}");
    let (_, message) = room.open(AGENT, "baker");
    let acts = room.reacts(ANA, &message, YES);
    assert!(run(&acts).is_some(), "the next one is not held up");
    let acts = room.ran(&acts, Outcome::Stuck { run: None, reason: "left: a network".into() });
    let back = acts.iter().find(|act| matches!(act.what, Do::TakeBack { .. })).unwrap().key.clone();
    let acts = room.hear(What::TakenBack { key: back, failed: Some("the branch moved".into()) });
    let text = says(&acts);
    assert!(text.contains("NOT all") && text.contains("the branch moved"), "{text}");
}

#[test]
fn a_changed_world_asks_for_a_new_plan_and_a_new_answer() {
    let mut room = Room::new();
    let (_, first) = room.open(AGENT, "cook");
    let acts = room.reacts(ANA, &first, YES);
    let acts = room.ran(&acts, Outcome::Stale);
    assert!(says(&acts).contains("void: something has changed"), "{acts:?}");
    let second = room.show(&acts, "print-2");
    let acts = room.reacts(ANA, &first, YES);
    assert!(
        run(&acts).is_none() && says(&acts).contains("void"),
        "the old plan is void, and the operator hears of it"
    );
    let acts = room.reacts(ANA, &second, YES);
    assert!(
        acts.iter().any(|act| matches!(&act.what, Do::Run { fingerprint, .. } if fingerprint == "print-2"))
    );
}

#[test]
fn a_world_that_changes_again_and_again_ends_the_proposal() {
    let mut room = Room::new();
    let (_, mut message) = room.open(AGENT, "cook");
    for round in 2..=5 {
        let acts = room.reacts(ANA, &message, YES);
        let acts = room.ran(&acts, Outcome::Stale);
        message = room.show(&acts, &format!("print-{round}"));
    }
    let acts = room.reacts(ANA, &message, YES);
    let acts = room.ran(&acts, Outcome::Stale);
    assert!(says(&acts).contains("last of 5 plans"));
    assert!(room.desk.cases().all(|case| !case.is_alive()));
}

#[test]
fn approved_while_another_is_at_work_it_waits_and_says_so() {
    let mut room = Room::new();
    let (_, cook) = room.open(AGENT, "cook");
    let (_, baker) = room.open(AGENT, "baker");
    let running = room.reacts(ANA, &cook, YES);
    let waits = room.reacts(BEN, &baker, YES);
    assert!(run(&waits).is_none());
    assert_eq!(says(&waits), "Approved. It begins when `cook` is done.");
    assert_eq!(said(&room.tick(60)), [""; 0], "it is said once");
    let acts = room.ran(&running, done());
    assert!(run(&acts).is_some(), "it begins by itself");
}

#[test]
fn approved_while_somebody_elses_run_is_at_work_it_is_tried_again() {
    let mut room = Room::new();
    let (_, message) = room.open(AGENT, "cook");
    let first = room.reacts(ANA, &message, YES);
    room.ran(&first, Outcome::Busy("a run of root since 10:02".into()));
    assert!(run(&room.tick(1)).is_none(), "not at once");
    let second = room.tick(20);
    assert!(run(&second).is_some_and(|key| Some(key) != run(&first)), "a new try has a key of its own");
    room.ran(&second, Outcome::Busy("a run of root".into()));
    let acts = room.tick(86_400);
    assert!(says(&acts).contains("could not begin before it expired"), "{acts:?}");
    assert!(run(&room.tick(60)).is_none());
}

#[test]
fn a_changed_fragment_replaces_plan_and_proposal() {
    let mut room = Room::new();
    let (proposal, first) = room.open(AGENT, "cook");
    let changed = "fractals:\n  cook:\n    purpose: Something else.\n";
    let (_, acts) = room.answers(ANA, Some(&proposal), &format!("rather so\n```yaml\n{changed}```"));
    assert!(says(&acts).contains("@ana:chat.home has sent a changed fragment"));
    let second = room.show(&acts, "print-2");
    assert!(run(&room.reacts(BEN, &first, YES)).is_none());
    let acts = room.reacts(BEN, &second, YES);
    assert!(acts.iter().any(
        |act| matches!(&act.what, Do::Run { order: Order::Add { fragment, .. }, .. } if fragment == changed)
    ));
}

#[test]
fn drift_has_two_answers() {
    for (answer, order) in [("↩️", Order::PutBack), ("📥", Order::TakeIn)] {
        let mut room = Room::new();
        let acts = room.hear(What::Drifted { plan: plan("drift-1") });
        assert!(says(&acts).contains("not as the manifest says"));
        assert!(room.hear(What::Drifted { plan: plan("drift-1") }).is_empty(), "the same drift is said once");
        let message = room.post(&acts);
        assert!(run(&room.reacts(ANA, &message, YES)).is_none(), "a yes says not which");
        let acts = room.reacts(ANA, &message, answer);
        assert!(acts.iter().any(|act| matches!(&act.what, Do::Run { order: this, .. } if *this == order)));
        room.ran(&acts, done());
    }
}

#[test]
fn drift_that_is_gone_or_another_needs_no_answer_any_more() {
    let mut room = Room::new();
    let acts = room.hear(What::Drifted { plan: plan("drift-1") });
    let first = room.post(&acts);
    let acts = room.hear(What::Drifted { plan: plan("drift-2") });
    assert_eq!(said(&acts).len(), 2, "one is void, one is new");
    let second = room.post(&acts);
    assert!(run(&room.reacts(ANA, &first, "↩")).is_none());
    assert!(says(&room.hear(What::Settled)).contains("as the manifest says again"));
    assert!(run(&room.reacts(ANA, &second, "↩")).is_none());
}

#[test]
fn operators_ask_and_are_answered_in_the_thread() {
    let mut room = Room::new();
    let (question, acts) = room.writes(ANA, "!status");
    let look = acts.iter().find(|act| matches!(act.what, Do::Look(_))).unwrap().key.clone();
    let acts = room.hear(What::Looked { key: look.clone(), text: "in sync".into() });
    assert!(matches!(&acts[0].what, Do::Say { thread: Some(thread), .. } if *thread == question));
    assert!(room.hear(What::Looked { key: look, text: "in sync".into() }).is_empty(), "once");
    assert!(says(&room.writes(ANA, "!help").1).contains("`!rollback`"));
}

#[test]
fn a_rollback_is_shown_and_approved_like_anything_else() {
    let mut room = Room::new();
    let (_, acts) = room.writes(ANA, "!rollback");
    let first = room.show(&acts, "back-1");
    let (_, acts) = room.writes(BEN, "!rollback");
    assert!(said(&acts)[0].contains("has asked again"));
    let second = room.show(&acts, "back-2");
    assert!(run(&room.reacts(ANA, &first, YES)).is_none());
    let acts = room.reacts(ANA, &second, YES);
    assert!(acts.iter().any(|act| matches!(act.what, Do::Run { order: Order::Rollback, .. })));
    let acts = room.ran(&acts, Outcome::RolledBack { run: None, reason: "somebody changed it".into() });
    assert!(!acts.iter().any(|act| matches!(act.what, Do::TakeBack { .. })), "it made no commit");
    let (_, acts) = room.writes(ANA, "!rollback");
    let third = room.show(&acts, "back-3");
    assert!(says(&room.reacts(BEN, &third, NO)).contains("declined"));
}

#[test]
fn a_yes_that_comes_before_we_know_our_own_message_counts() {
    let mut room = Room::new();
    let (_, acts) = room.writes(AGENT, &fragment("cook"));
    let acts = room.plans(&acts, Planned::Plan(plan("p")));
    let post = acts.iter().find(|act| crate::room::is_post(&act.key)).unwrap().key.clone();
    let message = crate::room::event("$early");
    assert!(room.reacts(ANA, &message, YES).is_empty());
    let acts = room.hear(What::Posted { key: post, event: message });
    assert!(run(&acts).is_some());
}

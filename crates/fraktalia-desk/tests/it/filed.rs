//! What programs file through the API, and `!remove`.

use fraktalia_desk::{
    Act, Approval, Ask, Case, Desk, Do, End, Lane, Order, Outcome, Planned, Reply, Stage, What,
};
use fraktalia_model::Note;

use crate::room::{
    AGENT, ANA, BEN, NO, Room, STRANGER, YES, done, event, filing, fragment, plan, policy_with, run, said,
    says,
};

fn reply<'a>(desk: &'a Desk, origin: &str) -> Option<&'a Reply> {
    case(desk, origin).filed.as_ref().and_then(|filed| filed.reply.as_ref())
}

fn case<'a>(desk: &'a Desk, origin: &str) -> &'a Case {
    desk.case_of(origin).unwrap_or_else(|| panic!("{origin} is known"))
}

fn ended(desk: &Desk, origin: &str) -> Option<End> {
    match case(desk, origin).stage {
        Stage::Closed { end, .. } => Some(end),
        _ => None,
    }
}

fn speaks(acts: &[Act]) -> bool {
    acts.iter().any(|act| act.what.lane() == Lane::Room)
}

/// The message about a run that a token began.
fn told(room: &mut Room, acts: &[Act]) -> fraktalia_desk::EventId {
    let act = acts.iter().find(|act| act.key.as_str().ends_with(".progress")).expect("the room is told");
    let said = event(&format!("$notice-{}", act.key));
    room.hear(What::Posted { key: act.key.clone(), event: said.clone() });
    said
}

#[test]
fn what_a_token_proposes_is_shown_with_its_text_and_answered_like_any_plan() {
    let mut room = Room::new();
    let acts = room.files("ci", "api ci 1", "cook", false);
    assert!(!speaks(&acts), "the room hears of it once there is a plan");
    let acts = room.plans(&acts, Planned::Plan(plan("print-1")));
    let shown = says(&acts);
    for part in ["`cook`", "the API's token `ci`", "purpose: Helps.", "#cook:chat.home", "✅ do it"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let Some(Do::Say { thread: None, .. }) =
        acts.iter().map(|act| &act.what).find(|what| what.lane() == Lane::Room)
    else {
        panic!("it begins a thread: {acts:?}")
    };
    let message = room.post(&acts);
    assert!(run(&room.reacts(STRANGER, &message, YES)).is_none());
    let acts = room.reacts(ANA, &message, YES);
    assert!(run(&acts).is_some());
    room.ran(&acts, done());
    assert_eq!(ended(&room.desk, "api ci 1"), Some(End::Applied));
}

#[test]
fn what_a_token_applies_begins_by_itself_and_the_room_and_the_commit_say_who() {
    let mut room = Room::new();
    let acts = room.files("root", "api root 1", "cook", true);
    let acts = room.plans(&acts, Planned::Plan(plan("print-1")));
    assert!(says(&acts).contains("Doing `cook`, approved by the API's token `root`"), "{acts:?}");
    let credits = acts.iter().find_map(|act| match &act.what {
        Do::Run { credits, fingerprint, .. } => Some((credits, fingerprint)),
        _ => None,
    });
    let (credits, fingerprint) = credits.expect("it is done");
    let by = Approval::Token { name: "root".into(), fingerprint: "print-1".into() };
    assert_eq!((&credits.approved, fingerprint.as_str(), &credits.proposal), (&by, "print-1", &None));
    let notice = told(&mut room, &acts);
    let end = room.ran(&acts, done());
    assert!(says(&end).contains("approved by the API's token `root`"));
    assert!(
        end.iter().any(|act| matches!(&act.what, Do::Say { thread: Some(thread), .. } if *thread == notice))
    );
}

#[test]
fn a_token_applies_only_what_the_manifest_lets_it() {
    let mut room = Room::new();
    room.files("ci", "api ci 1", "cook", true);
    room.files("nobody", "api nobody 1", "cook", false);
    for origin in ["api ci 1", "api nobody 1"] {
        assert!(matches!(reply(&room.desk, origin), Some(Reply::Forbidden(_))), "{origin}");
    }
    // The scopes are looked at again before it begins.
    let first = room.files("root", "api root 1", "baker", true);
    let running = room.plans(&first, Planned::Plan(plan("p")));
    let second = room.files("other", "api other 1", "smith", true);
    assert!(run(&room.plans(&second, Planned::Plan(plan("q")))).is_none(), "one thing at a time");
    room.policy = policy_with(&[("scopes: [propose, apply]", "scopes: [propose]")]);
    let acts = room.ran(&running, done());
    assert!(run(&acts).is_none());
    assert!(matches!(reply(&room.desk, "api other 1"), Some(Reply::Void(_))));
    // And whether it has expired.
    room.now = 1_900_000_000_000;
    room.files("root", "api root 2", "potter", true);
    assert!(matches!(reply(&room.desk, "api root 2"), Some(Reply::Forbidden(_))));
}

#[test]
fn a_fragment_with_faults_is_answered_without_the_room() {
    let mut room = Room::new();
    let fragment = "fractals: { cook: { sandbox: root, openclaw: { a: b } } }".into();
    let acts = room.hear(filing("ci", "api ci 1", Ask::Add { fragment }, false));
    assert!(!speaks(&acts));
    let Some(Reply::Findings(notes)) = reply(&room.desk, "api ci 1") else { panic!("it is refused") };
    assert_eq!(notes.len(), 2, "{notes:?}");
    let acts = room.files("ci", "api ci 2", "cook", false);
    let acts = room.plans(&acts, Planned::Findings(vec![Note::error("x", "in the way")]));
    assert!(!speaks(&acts));
    assert!(
        matches!(reply(&room.desk, "api ci 2"), Some(Reply::Findings(notes)) if notes[0].text == "in the way")
    );
}

#[test]
fn filed_again_it_is_the_same_case() {
    let mut room = Room::new();
    room.files("ci", "api ci 1", "cook", false);
    let before = room.desk.clone();
    assert!(room.files("ci", "api ci 1", "cook", false).is_empty());
    assert!(room.files("ci", "api ci 1", "baker", false).is_empty());
    assert_eq!(room.desk.case_of("api ci 1"), before.case_of("api ci 1"), "the digest of the first is kept");
    assert_eq!(room.desk.cases().count(), 1);
}

#[test]
fn what_could_not_be_planned_is_tried_anew_when_it_is_filed_again() {
    let mut room = Room::new();
    let acts = room.files("ci", "api ci 1", "cook", false);
    room.plans(&acts, Planned::Unable("the homeserver is away".into()));
    assert!(matches!(reply(&room.desk, "api ci 1"), Some(Reply::Unable(_))));
    let acts = room.files("ci", "api ci 1", "cook", false);
    assert_eq!(room.desk.cases().count(), 1);
    room.show(&acts, "p");
    assert!(case(&room.desk, "api ci 1").is_alive());
}

#[test]
fn a_name_that_somebody_proposes_is_taken() {
    let mut room = Room::new();
    let (_, message) = room.open(AGENT, "cook");
    room.files("ci", "api ci 1", "cook", false);
    room.files("root", "api root 1", "gardener", true);
    assert!(matches!(reply(&room.desk, "api ci 1"), Some(Reply::Clash(_))));
    assert!(matches!(reply(&room.desk, "api root 1"), Some(Reply::Findings(_))));
    assert!(run(&room.reacts(ANA, &message, YES)).is_some(), "what was there first is untouched");
    let acts = room.files("ci", "api ci 2", "baker", false);
    room.show(&acts, "p");
    let (_, acts) = room.writes(AGENT, &fragment("baker"));
    assert!(says(&acts).contains("by the API's token `ci` waits for an answer"), "{acts:?}");
}

#[test]
fn each_token_has_its_quotas() {
    let mut room = Room::new();
    for (n, name) in ["a", "b", "c"].into_iter().enumerate() {
        room.files("ci", &format!("api ci {n}"), name, false);
    }
    assert_eq!(ended(&room.desk, "api ci 1"), None);
    assert!(matches!(reply(&room.desk, "api ci 2"), Some(Reply::TooMany { .. })), "two at once");
    room.files("other", "api other 1", "c", false);
    assert_eq!(ended(&room.desk, "api other 1"), None, "another token has its own");
    // Three in a day, also when they are over.
    room.files_end("ci", "api ci 3", "a", false);
    room.files("ci", "api ci 4", "d", false);
    room.files_end("ci", "api ci 5", "d", false);
    room.files("ci", "api ci 6", "e", false);
    let Some(Reply::TooMany { text, .. }) = reply(&room.desk, "api ci 6") else { panic!("a day has three") };
    assert!(text.contains("24 hours"), "{text}");
}

#[test]
fn a_flood_of_faulty_ones_is_forgotten_and_not_recorded() {
    let mut room = Room::new();
    let mut recorded = 0;
    for n in 0..500 {
        let ask = Ask::Add { fragment: "fractals: { a: { sandbox: root } }".into() };
        let acts = room.hear(filing("ci", &format!("api ci {n}"), ask, false));
        recorded += acts.len();
        assert!(reply(&room.desk, &format!("api ci {n}")).is_some(), "the newest is there");
    }
    assert!(room.desk.cases().count() <= 33, "{}", room.desk.cases().count());
    assert!(recorded <= 15 + 3, "15 faulty ones of a day, then one in an hour: {recorded}");
}

#[test]
fn an_operator_stops_what_a_token_began() {
    let mut room = Room::new();
    let acts = room.files("root", "api root 1", "cook", true);
    let acts = room.plans(&acts, Planned::Plan(plan("p")));
    let key = run(&acts).unwrap();
    let notice = told(&mut room, &acts);
    assert!(room.reacts(STRANGER, &notice, NO).is_empty());
    assert!(!room.desk.is_stopped(&key));
    let stop = room.reacts(BEN, &notice, NO);
    assert!(stop.iter().any(|act| matches!(&act.what, Do::Stop { run } if *run == key)), "{stop:?}");
    assert!(room.desk.is_stopped(&key));
    let acts = room.ran(&acts, Outcome::RolledBack { run: None, reason: "stopped".into() });
    assert!(acts.iter().any(|act| matches!(act.what, Do::TakeBack { .. })));
    assert!(matches!(reply(&room.desk, "api root 1"), Some(Reply::Failed(_))));
}

#[test]
fn an_operator_stops_what_a_token_began_and_what_waits_for_another_run() {
    let mut room = Room::new();
    let acts = room.files("root", "api root 1", "cook", true);
    let acts = room.plans(&acts, Planned::Plan(plan("p")));
    room.ran(&acts, Outcome::Busy("a run of root".into()));
    // The room tells of our message late, and the operator answers before it is tried again.
    let key = acts
        .iter()
        .find(|act| act.key.as_str().ends_with(".progress"))
        .expect("the room is told")
        .key
        .clone();
    let notice = event("$notice");
    room.hear_now(What::Posted { key, event: notice.clone() });
    let sent = room.sent(BEN);
    let acts = room.hear_now(What::Reaction { sent, on: notice, key: NO.into() });
    assert!(says(&acts).contains("declined"), "{acts:?}");
    assert!(run(&room.tick(60)).is_none());
    assert!(matches!(reply(&room.desk, "api root 1"), Some(Reply::Void(_))));
}

#[test]
fn a_changed_world_has_a_token_apply_the_new_plan() {
    let mut room = Room::new();
    let acts = room.files("root", "api root 1", "cook", true);
    let acts = room.plans(&acts, Planned::Plan(plan("p")));
    let acts = room.ran(&acts, Outcome::Stale);
    let acts = room.plans(&acts, Planned::Plan(plan("q")));
    assert!(acts.iter().any(|act| matches!(&act.what, Do::Run { fingerprint, .. } if fingerprint == "q")));
}

#[test]
fn only_what_an_approved_proposal_wrote_is_removed() {
    let mut room = Room::new();
    room.files_end("root", "api root 1", "gardener", true);
    room.files_end("root", "api root 2", "absent", true);
    assert!(matches!(reply(&room.desk, "api root 1"), Some(Reply::Fixed(_))));
    assert!(matches!(reply(&room.desk, "api root 2"), Some(Reply::NoSuch(_))));
    let acts = room.files_end("root", "api root 3", "herder", true);
    let acts = room.plans(&acts, Planned::Plan(plan("p")));
    assert!(
        acts.iter().any(
            |act| matches!(&act.what, Do::Run { order: Order::Remove { name }, .. } if name == "herder")
        )
    );
    let acts = room.ran(&acts, Outcome::RolledBack { run: None, reason: "no".into() });
    assert!(acts.iter().any(|act| matches!(act.what, Do::TakeBack { .. })), "its commit goes");
}

#[test]
fn an_operator_asks_what_a_removal_would_do_and_answers_it() {
    let mut room = Room::new();
    let (_, acts) = room.writes(AGENT, "!remove herder");
    assert!(says(&acts).contains("Only operators"));
    for (name, part) in [("gardener", "by hand"), ("herdr", "did you mean `herder`?")] {
        let (_, acts) = room.writes(ANA, &format!("!remove {name}"));
        assert!(says(&acts).contains(part), "{acts:?}");
    }
    let (_, acts) = room.writes(ANA, "!remove herder");
    let first = room.show(&acts, "p");
    let (_, acts) = room.writes(BEN, "!remove herder");
    assert!(said(&acts)[0].contains("has asked to remove it"));
    let second = room.show(&acts, "q");
    assert!(run(&room.reacts(ANA, &first, YES)).is_none());
    let acts = room.reacts(ANA, &second, YES);
    assert!(acts.iter().any(|act| matches!(&act.what, Do::Run { order: Order::Remove { .. }, .. })));
}

#[test]
fn a_token_takes_its_own_proposal_back_and_nobody_elses() {
    let mut room = Room::new();
    let acts = room.files("ci", "api ci 1", "cook", false);
    room.show(&acts, "p");
    room.files_end("other", "api other 1", "cook", false);
    assert!(matches!(reply(&room.desk, "api other 1"), Some(Reply::NoSuch(_))));
    assert!(case(&room.desk, "api ci 1").is_alive());
    let acts = room.files_end("ci", "api ci 2", "cook", false);
    assert!(says(&acts).contains("the API's token `ci` has taken it back"));
    assert_eq!(reply(&room.desk, "api ci 2"), Some(&Reply::Withdrawn));
    assert!(!case(&room.desk, "api ci 1").is_alive());
}

#[test]
fn what_cannot_be_shown_whole_is_not_asked_about() {
    let mut room = Room::new();
    for (n, persona) in ["x".repeat(1_500), "y\n      ".repeat(390), "z ".repeat(1_990)].iter().enumerate() {
        let fragment =
            format!("fractals:\n  cook:\n    members: [ana, ben]\n    persona: |\n      {persona}\n");
        let origin = format!("api ci {n}");
        let acts = room.hear(filing("ci", &origin, Ask::Add { fragment }, false));
        let long = fraktalia_desk::Plan { changes: "c\n".repeat(140).repeat(20), ..plan("p") };
        let acts = room.plans(&acts, Planned::Plan(if n == 1 { long } else { plan("p") }));
        assert!(!speaks(&acts), "{acts:?}");
        let Some(Reply::Findings(notes)) = reply(&room.desk, &origin) else { panic!("{n} is refused") };
        assert_eq!(notes[0].code, "proposal.too-long", "{n}");
    }
}

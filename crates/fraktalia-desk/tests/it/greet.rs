//! What is said about ourselves, and the choices on a plan.

use fraktalia_desk::audit::Happened;
use fraktalia_desk::{Act, Do, Key, Planned, Stage, What};

use crate::room::{AGENT, ANA, NO, OURS, Room, STRANGER, YES, event, fragment, plan, run, said, says, user};

/// The choices that are put on a message, with the act that posted it.
fn choices(acts: &[Act]) -> Vec<(&Key, &str)> {
    acts.iter()
        .filter_map(|act| match &act.what {
            Do::React { to, with } => Some((to, with.as_str())),
            _ => None,
        })
        .collect()
}

#[test]
fn a_plan_has_its_choices_on_it_and_our_own_are_never_an_answer() {
    let mut room = Room::new();
    let (_, acts) = room.writes(AGENT, &fragment("cook"));
    let acts = room.plans(&acts, Planned::Plan(plan("print-1")));
    let key = acts.iter().find(|act| crate::room::is_post(&act.key)).expect("it is posted").key.clone();
    let message = event("$plan");
    let acts = room.hear(What::Posted { key: key.clone(), event: message.clone() });
    assert_eq!(choices(&acts), [(&key, YES), (&key, NO)]);
    assert!(acts.iter().all(|act| act.what.lane() == fraktalia_desk::Lane::Room));
    for with in [YES, NO] {
        assert_eq!(room.reacts(OURS, &message, with), [], "what we put there decides nothing");
    }
    assert!(room.desk.cases().all(|case| case.stage == Stage::Open));
    assert!(run(&room.reacts(ANA, &message, YES)).is_some(), "an operator's does");

    let acts = room.hear(What::Drifted { plan: plan("drift-1") });
    let key = acts.iter().find(|act| crate::room::is_post(&act.key)).expect("it is posted").key.clone();
    let acts = room.hear(What::Posted { key, event: event("$drift") });
    assert_eq!(choices(&acts).iter().map(|(_, with)| *with).collect::<Vec<_>>(), ["↩", "📥", NO]);
}

#[test]
fn a_desk_introduces_itself_once_and_says_when_its_device_is_another() {
    let mut room = Room::new();
    let (first, again) = (room.hear(What::Began), room.hear(What::Began));
    let text = says(&first);
    assert!(text.contains(OURS) && text.contains("!help"), "{text}");
    assert_eq!(first[0].key, again[0].key, "told twice, it is said once");
    let (one, two) = (room.hear(What::NewDevice), room.hear(What::NewDevice));
    assert!(says(&one).contains("has a new device") && says(&one).contains("Open plans still count"));
    assert!(
        one.iter().any(|act| matches!(&act.what, Do::Record(event) if event.what == Happened::NewDevice))
    );
    assert_ne!(one[0].key, two[0].key, "it may happen again");
}

#[test]
fn what_could_not_be_read_is_told_to_those_whose_word_would_count_and_not_each_time() {
    let mut room = Room::new();
    let unread = |by: &str, number: u32| What::Unread {
        event: event(&format!("$unread{number}")),
        by: user(by),
        why: "its key did not come".into(),
    };
    let acts = room.hear(unread(AGENT, 1));
    assert_eq!(says(&acts), "This could not be read: its key did not come. Post it again.");
    assert!(
        acts.iter()
            .any(|act| matches!(&act.what, Do::Say { thread: Some(at), .. } if *at == event("$unread1")))
    );
    assert!(acts.iter().any(|act| matches!(act.what, Do::Record(_))), "the audit has it");
    for number in 2..50 {
        assert_eq!(room.hear(unread(AGENT, number)), [], "a flood costs one message");
    }
    assert_eq!(said(&room.hear(unread(ANA, 50))).len(), 1, "operators hear of theirs");
    assert_eq!(room.hear(unread(STRANGER, 51)), []);
    assert_eq!(room.hear(unread(OURS, 52)), []);
    room.tick(3600);
    assert_eq!(said(&room.hear(unread(AGENT, 53))).len(), 1, "and again after an hour");
}

//! What somebody could try, and what comes of it.

use fraktalia_desk::{Approval, Do, Outcome, Planned, What};

use crate::room::{
    AGENT, ANA, BEN, NO, OTHER, OURS, Room, STRANGER, YES, done, event, fragment, plan, policy_with, run,
    said, says, user,
};

#[test]
fn only_an_operators_reaction_counts() {
    let mut room = Room::new();
    let (_, message) = room.open(AGENT, "cook");
    for who in [AGENT, OTHER, STRANGER, OURS, "@ana:evil.org"] {
        for key in [YES, NO] {
            let acts = room.reacts(who, &message, key);
            assert!(run(&acts).is_none(), "{who}");
        }
    }
    let about_it = said(&room.acts).into_iter().filter(|text| text.contains("Only an operator's")).count();
    assert_eq!(about_it, 1, "said once, however many try");
    assert!(run(&room.reacts(ANA, &message, YES)).is_some(), "and none of it did harm");
}

#[test]
fn an_operator_whom_nobody_vouches_for_does_not_count() {
    for (joined, vouched) in [(false, true), (true, false), (false, false)] {
        let mut room = Room::new();
        let (_, message) = room.open(AGENT, "cook");
        let sent = fraktalia_desk::Sent { joined, vouched, ..room.sent(ANA) };
        let acts = room.hear(What::Reaction { sent, on: message.clone(), key: YES.into() });
        assert!(run(&acts).is_none());
        assert!(says(&acts).contains("nobody vouches"));
        let sent = fraktalia_desk::Sent { joined, vouched, ..room.sent(ANA) };
        let acts =
            room.hear(What::Message { sent, answers: None, body: "!rollback".into(), attachment: None });
        assert!(!acts.iter().any(|act| matches!(act.what, Do::Plan { .. })), "{acts:?}");
    }
}

#[test]
fn a_proposer_whom_nobody_vouches_for_does_not_count() {
    let mut room = Room::new();
    let sent = fraktalia_desk::Sent { vouched: false, ..room.sent(AGENT) };
    let body = fragment("cook");
    let acts = room.hear(What::Message { sent, answers: None, body, attachment: None });
    assert!(says(&acts).contains("Nobody vouches"));
    assert_eq!(room.desk.cases().count(), 0);
}

#[test]
fn a_reaction_to_another_message_approves_nothing() {
    let mut room = Room::new();
    let (proposal, _) = room.open(AGENT, "cook");
    // A message that looks like the plan, posted by the agent; the proposal itself.
    let (forged, _) = room.writes(AGENT, "Plan for `cook`: 3 to create. React with ✅");
    for on in [&forged, &proposal, &event("$elsewhere")] {
        assert!(run(&room.reacts(ANA, on, YES)).is_none());
    }
}

#[test]
fn other_reactions_are_no_answer() {
    let mut room = Room::new();
    let (_, message) = room.open(AGENT, "cook");
    for key in ["👍", "yes", "", "✅✅", "✅ but later", &"✅".repeat(10_000)] {
        assert!(room.reacts(ANA, &message, key).is_empty(), "{key:.20}");
    }
}

#[test]
fn an_edit_or_a_redaction_voids_and_says_so() {
    type Misdeed =
        fn(&mut Room, &fraktalia_desk::EventId, &fraktalia_desk::EventId) -> Vec<fraktalia_desk::Act>;
    let misdeeds: [(&str, Misdeed); 6] = [
        ("has edited the proposal", |room, proposal, _| room.edits(AGENT, proposal)),
        ("has deleted the proposal", |room, proposal, _| room.redacts(AGENT, proposal)),
        ("has deleted the proposal", |room, proposal, _| room.redacts(STRANGER, proposal)),
        ("has edited the plan", |room, _, message| room.edits(STRANGER, message)),
        ("our own account has edited the plan", |room, _, message| room.edits(OURS, message)),
        ("has deleted the plan", |room, _, message| room.redacts(BEN, message)),
    ];
    for (why, misdeed) in misdeeds {
        let mut room = Room::new();
        let (proposal, message) = room.open(AGENT, "cook");
        let acts = misdeed(&mut room, &proposal, &message);
        let text = says(&acts);
        assert!(text.starts_with("Void: ") && text.contains(why), "{why}: {text}");
        let acts = room.reacts(ANA, &message, YES);
        assert!(run(&acts).is_none(), "{why}");
        assert!(says(&acts).contains("void"), "the operator hears of it");
        assert!(room.reacts(ANA, &message, YES).is_empty(), "once");
    }
}

#[test]
fn nobody_can_edit_what_another_proposed() {
    let mut room = Room::new();
    let (proposal, message) = room.open(AGENT, "cook");
    assert!(room.edits(OTHER, &proposal).is_empty());
    assert!(run(&room.reacts(ANA, &message, YES)).is_some());
}

#[test]
fn an_edit_after_the_approval_changes_nothing_that_is_done() {
    let mut room = Room::new();
    let (proposal, message) = room.open(AGENT, "cook");
    let running = room.reacts(ANA, &message, YES);
    let acts = room.edits(AGENT, &proposal);
    assert!(says(&acts).contains("what was approved is being done"));
    assert!(room.redacts(AGENT, &proposal).is_empty(), "said once");
    assert!(says(&room.ran(&running, done())).contains("Done"));
}

#[test]
fn the_same_event_again_does_nothing() {
    let mut room = Room::new();
    let sent = room.sent(AGENT);
    let proposal = What::Message { sent, answers: None, body: fragment("cook"), attachment: None };
    let acts = room.hear(proposal.clone());
    assert!(room.hear(proposal.clone()).is_empty());
    let message = room.show(&acts, "p");
    let sent = room.sent(ANA);
    let yes = What::Reaction { sent, on: message, key: YES.into() };
    let running = room.hear(yes.clone());
    room.ran(&running, done());
    assert!(room.hear(yes.clone()).is_empty());
    assert!(room.hear(proposal.clone()).is_empty());
    // Also when the case is long forgotten.
    room.tick(30 * 86_400);
    assert_eq!(room.desk.cases().count(), 0);
    assert!(room.hear(proposal).is_empty() && room.hear(yes).is_empty());
}

#[test]
fn an_old_message_is_no_proposal_even_to_a_desk_that_forgot_all() {
    let mut room = Room::new();
    let sent = room.sent(AGENT);
    room.now += 2 * 86_400_000;
    let old = What::Message { sent, answers: None, body: fragment("cook"), attachment: None };
    assert!(room.hear(old).is_empty());
}

#[test]
fn an_answer_of_the_planner_or_applier_counts_once() {
    let mut room = Room::new();
    let (_, acts) = room.writes(AGENT, &fragment("cook"));
    let key = acts.iter().find(|act| matches!(act.what, Do::Plan { .. })).unwrap().key.clone();
    let message = room.show(&acts, "p1");
    let again = What::Planned { key, answer: Planned::Plan(plan("p2")) };
    assert!(room.hear(again).is_empty());
    let running = room.reacts(ANA, &message, YES);
    assert!(!room.ran(&running, done()).is_empty());
    assert!(room.ran(&running, done()).is_empty());
    assert!(room.ran(&running, Outcome::Stale).is_empty());
}

#[test]
fn a_no_before_it_begins_wins_over_a_yes() {
    let mut room = Room::new();
    let (_, cook) = room.open(AGENT, "cook");
    let (_, baker) = room.open(AGENT, "baker");
    let running = room.reacts(ANA, &cook, YES);
    room.reacts(ANA, &baker, YES);
    let acts = room.reacts(BEN, &baker, NO);
    assert!(says(&acts).contains("after the yes of @ana:chat.home"));
    assert!(run(&room.ran(&running, done())).is_none(), "it never begins");
}

#[test]
fn a_no_while_it_is_done_stops_it() {
    let mut room = Room::new();
    let (_, message) = room.open(AGENT, "cook");
    let running = room.reacts(ANA, &message, YES);
    let key = run(&running).unwrap();
    assert!(!room.desk.is_stopped(&key));
    let acts = room.reacts(BEN, &message, NO);
    assert!(acts.iter().any(|act| matches!(&act.what, Do::Stop { run } if *run == key)));
    assert!(room.desk.is_stopped(&key));
    assert!(room.reacts(BEN, &message, NO).is_empty(), "once");
    let acts = room.ran(&running, done());
    assert!(says(&acts).contains("@ben:chat.home said no, and it was too late"), "{acts:?}");
}

#[test]
fn a_no_before_another_run_let_it_begin_is_not_forgotten() {
    let mut room = Room::new();
    let (_, message) = room.open(AGENT, "cook");
    let running = room.reacts(ANA, &message, YES);
    room.reacts(BEN, &message, NO);
    let acts = room.ran(&running, Outcome::Busy("a run of root".into()));
    assert!(says(&acts).contains("@ben:chat.home said no before it could begin"), "{acts:?}");
    assert!(run(&room.tick(60)).is_none());
}

#[test]
fn a_no_after_it_was_done_is_said() {
    let mut room = Room::new();
    let (_, message) = room.open(AGENT, "cook");
    let running = room.reacts(ANA, &message, YES);
    room.ran(&running, done());
    assert!(says(&room.reacts(BEN, &message, NO)).contains("after it was done"));
    assert!(room.reacts(ANA, &message, YES).is_empty());
}

#[test]
fn a_yes_that_is_taken_back_does_not_count() {
    let mut room = Room::new();
    let (_, cook) = room.open(AGENT, "cook");
    let (_, baker) = room.open(AGENT, "baker");
    let running = room.reacts(ANA, &cook, YES);
    room.reacts(BEN, &baker, YES);
    let mut given = room.desk.cases().filter_map(|case| case.yes.clone()).map(|yes| yes.of);
    let of_ben = given.find_map(|of| match of {
        Approval::Operator { by, reaction, .. } if by == user(BEN) => Some(reaction),
        _ => None,
    });
    let reaction = of_ben.unwrap();
    drop(given);
    let acts = room.redacts(BEN, &reaction);
    assert!(says(&acts).contains("taken it back"));
    assert!(run(&room.ran(&running, done())).is_none());
    assert!(run(&room.reacts(BEN, &baker, YES)).is_some(), "the plan still waits for an answer");
}

#[test]
fn what_nobody_answers_expires_and_no_later_answer_counts() {
    let mut room = Room::new();
    let (_, message) = room.open(AGENT, "cook");
    room.now += 86_400_000;
    // No tick in between: the answer itself finds out.
    let acts = room.reacts(ANA, &message, YES);
    assert!(run(&acts).is_none());
    assert!(said(&acts)[0].contains("nobody answered within 24 h"), "{acts:?}");
    // A clock that is set back does not bring it to life again.
    room.now -= 80_000_000;
    assert!(run(&room.reacts(BEN, &message, YES)).is_none());
}

#[test]
fn a_second_proposal_of_a_name_voids_ones_own_and_no_others() {
    let mut room = Room::new();
    let (_, first) = room.open(AGENT, "cook");
    let (_, acts) = room.writes(OTHER, &fragment("cook"));
    assert!(says(&acts).contains("by @agent:chat.home waits for an answer"));
    let (_, acts) = room.writes(AGENT, &fragment("cook"));
    assert!(says(&acts).contains("has posted another of that name"));
    let second = room.show(&acts, "p2");
    assert!(run(&room.reacts(ANA, &first, YES)).is_none());
    let running = room.reacts(ANA, &second, YES);
    assert!(run(&running).is_some());
    let (_, acts) = room.writes(AGENT, &fragment("cook"));
    assert!(says(&acts).contains("being made just now"));
}

#[test]
fn a_changed_fragment_of_a_stranger_or_of_a_taken_name_replaces_nothing() {
    let mut room = Room::new();
    let (proposal, message) = room.open(AGENT, "cook");
    room.open(OTHER, "baker");
    let (_, acts) = room.answers(OTHER, Some(&proposal), &fragment("cook"));
    assert!(says(&acts).contains("Only its proposer and operators"));
    let (_, acts) = room.answers(AGENT, Some(&proposal), &fragment("baker"));
    assert!(says(&acts).contains("Nothing was replaced"));
    let (_, acts) = room.answers(AGENT, Some(&proposal), &fragment("gardener"));
    assert!(says(&acts).contains("still stands"));
    assert!(run(&room.reacts(ANA, &message, YES)).is_some());
}

#[test]
fn a_proposal_ends_with_the_one_who_made_it() {
    let mut room = Room::new();
    let (_, message) = room.open(AGENT, "cook");
    assert!(room.leaves(STRANGER).is_empty());
    assert!(says(&room.leaves(AGENT)).contains("has left the room"));
    assert!(run(&room.reacts(ANA, &message, YES)).is_none());
}

#[test]
fn the_yes_of_an_operator_who_left_or_is_none_any_more_does_not_count() {
    for removed in [false, true] {
        let mut room = Room::new();
        let (_, cook) = room.open(AGENT, "cook");
        let (_, baker) = room.open(AGENT, "baker");
        let running = room.reacts(ANA, &cook, YES);
        room.reacts(BEN, &baker, YES);
        if removed {
            room.policy = policy_with(&[("operators: [ana, ben]", "operators: [ana]")]);
        } else {
            assert!(says(&room.leaves(BEN)).contains("does not count"));
        }
        let acts = room.ran(&running, done());
        assert!(run(&acts).is_none(), "{removed}");
        assert!(run(&room.reacts(ANA, &baker, YES)).is_some(), "another can still approve it");
    }
}

#[test]
fn a_plan_that_cannot_be_read_whole_is_not_shown() {
    let long = fraktalia_desk::Plan { changes: "+ x\n".repeat(151), ..plan("p") };
    let wide = fraktalia_desk::Plan { changes: "x".repeat(501), ..plan("p") };
    let warned = fraktalia_desk::Plan { warnings: vec!["!".into(); 11], ..plan("p") };
    for (name, plan) in [("a", long), ("b", wide), ("c", warned)] {
        let mut room = Room::new();
        let (_, acts) = room.writes(AGENT, &fragment(name));
        let acts = room.plans(&acts, Planned::Plan(plan));
        assert!(says(&acts).contains("too long to be read"), "{name}");
    }
}

#[test]
fn html_and_calls_in_a_plan_are_text() {
    let mut room = Room::new();
    let (_, acts) = room.writes(AGENT, &fragment("cook"));
    let changes = "+ room </code></pre><h1>✅ approved by ana</h1> @room".to_owned();
    let acts = room.plans(&acts, Planned::Plan(fraktalia_desk::Plan { changes, ..plan("p") }));
    let Some(Do::Say { words, .. }) =
        acts.iter().map(|act| &act.what).find(|what| matches!(what, Do::Say { .. }))
    else {
        panic!("{acts:?}")
    };
    assert!(!words.html().contains("<h1>") && !words.html().contains("@room"));
    assert!(words.html().contains("&lt;h1&gt;"));
    assert!(!words.plain().contains("@room"));
}

#[test]
fn only_operators_ask() {
    let mut room = Room::new();
    for body in ["!status", "!plan", "!rollback", "!history 50", "!help"] {
        let (_, acts) = room.writes(AGENT, body);
        assert!(acts.iter().all(|act| matches!(act.what, Do::Say { .. } | Do::Record(_))), "{body}");
    }
    assert_eq!(said(&room.acts).len(), 1, "told once");
}

#[test]
fn a_plan_that_was_void_before_it_stood_in_the_room_stays_so() {
    let mut room = Room::new();
    let (proposal, acts) = room.writes(AGENT, &fragment("cook"));
    let acts = room.plans(&acts, Planned::Plan(plan("p")));
    room.redacts(AGENT, &proposal);
    let message = room.post(&acts);
    assert!(run(&room.reacts(ANA, &message, YES)).is_none());
}

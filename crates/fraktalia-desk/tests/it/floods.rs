//! Too much, too often, by too many.

use fraktalia_desk::What;

use crate::room::{AGENT, ANA, NO, OTHER, Room, STRANGER, fragment, said, says};

#[test]
fn who_is_no_proposer_is_told_so_once() {
    let mut room = Room::new();
    let (_, acts) = room.writes(STRANGER, &fragment("cook"));
    assert!(says(&acts).contains("not a proposer"));
    for _ in 0..50 {
        let (_, acts) = room.writes(STRANGER, &fragment("cook"));
        assert!(said(&acts).is_empty());
    }
    assert_eq!(room.desk.cases().count(), 0);
}

#[test]
fn talk_is_not_answered() {
    let mut room = Room::new();
    for body in ["hello", "```sh\nls\n```", "✅", "I approve cook", ""] {
        assert!(room.writes(ANA, body).1.is_empty(), "{body}");
    }
}

#[test]
fn a_proposer_has_so_many_a_day_and_so_many_at_once() {
    let mut room = Room::new();
    let (_, first) = room.open(AGENT, "a");
    room.open(AGENT, "b");
    let (_, acts) = room.writes(AGENT, &fragment("c"));
    assert!(says(&acts).contains("2 proposals of yours wait"));
    assert!(room.writes(AGENT, &fragment("c")).1.is_empty(), "said once in an hour");
    room.reacts(ANA, &first, NO);
    room.open(AGENT, "c");
    let (_, acts) = room.writes(AGENT, &fragment("d"));
    assert!(says(&acts).contains("3 proposals in 24 hours"));
    // Another proposer is not touched by it, and the next day is a new one.
    room.open(OTHER, "e");
    room.tick(86_400);
    room.open(AGENT, "f");
}

#[test]
fn a_flood_costs_one_message() {
    let mut room = Room::new();
    let before = room.acts.len();
    for n in 0..2_000 {
        let sent = room.sent(AGENT);
        let body = if n % 2 == 0 { fragment(&format!("x{n}")) } else { "```yaml\n]\n```".into() };
        room.hear_now(What::Message { sent, answers: None, body, attachment: None });
        room.now += 50;
    }
    let answers = said(&room.acts[before..]);
    let about_it = answers.iter().filter(|text| text.contains("nothing that you write is read")).count();
    assert_eq!(about_it, 1, "{answers:?}");
    assert!(answers.len() <= 7, "six are read, and one says that no more are: {answers:?}");
    // Who does not write is not silenced.
    assert!(!room.writes(OTHER, &fragment("cook")).1.is_empty());
}

#[test]
fn a_slow_flood_of_faults_is_not_answered_for_ever() {
    let mut room = Room::new();
    for _ in 0..500 {
        room.writes(AGENT, "```yaml\n]\n```");
    }
    // Less than three hours: fifteen answers, and once an hour that there are no more.
    assert_eq!(said(&room.acts).len(), 18);
}

#[test]
fn a_crowd_of_strangers_is_not_answered_without_end() {
    let mut room = Room::new();
    for n in 0..2_000 {
        let sent = room.sent(&format!("@s{n}:chat.home"));
        let body = fragment("cook");
        room.hear_now(What::Message { sent, answers: None, body, attachment: None });
    }
    assert!(said(&room.acts).len() <= 500);
}

#[test]
fn a_megabyte_is_refused_and_not_looked_into() {
    let mut room = Room::new();
    let (_, acts) = room.writes(AGENT, &format!("```yaml\n{}\n```", "x: y\n".repeat(1 << 18)));
    assert!(says(&acts).contains("too large"));
    let (_, acts) = room.writes(AGENT, &format!("{}{}", fragment("a"), fragment("b")));
    assert!(said(&acts).is_empty(), "the same kind of mistake is told once in an hour");
}

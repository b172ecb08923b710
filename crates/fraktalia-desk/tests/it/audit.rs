//! The audit: what was changed is seen, and where.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fraktalia_desk::audit::{Event, Finding, Happened, export, history, verify};
use fraktalia_desk::{Anchor, Audit, AuditError, Do, Key, Moment};
use tempfile::TempDir;

use crate::room::{AGENT, Room, fragment};

/// An audit of `n` entries.
fn audit(n: usize) -> (TempDir, PathBuf, Anchor) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let mut audit = Audit::open(&path, None).unwrap();
    for key in keys(n) {
        audit.append(&key, &happened("x")).unwrap();
    }
    let anchor = audit.tail().clone();
    (dir, path, anchor)
}

/// Keys as the desk makes them.
fn keys(n: usize) -> Vec<Key> {
    let mut room = Room::new();
    (0..n)
        .map(|i| {
            let sent = room.sent(&format!("@s{i}:chat.home"));
            let what =
                fraktalia_desk::What::Message { sent, answers: None, body: fragment("x"), attachment: None };
            room.hear(what).into_iter().find(|act| matches!(act.what, Do::Record(_))).unwrap().key
        })
        .collect()
}

fn happened(why: &str) -> Event {
    Event { at: Moment(1), case: None, round: None, what: Happened::Void { why: why.into() } }
}

fn found(path: &Path, anchor: &Anchor) -> Vec<Finding> {
    verify(path, Some(anchor), &[]).unwrap().findings
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap().lines().map(String::from).collect()
}

fn write(path: &Path, lines: &[String]) {
    fs::write(path, lines.join("\n") + if lines.is_empty() { "" } else { "\n" }).unwrap();
}

/// Changes lines of an audit of eight entries, and says what is found.
fn after(change: impl FnOnce(&mut Vec<String>)) -> Vec<Finding> {
    let (_dir, path, anchor) = audit(8);
    let mut all = lines(&path);
    change(&mut all);
    write(&path, &all);
    found(&path, &anchor)
}

/// A line that says something else, with the right hash of its own.
fn forged(line: &str, from: &str, to: &str) -> String {
    let entry = line[line.find("\"entry\":").unwrap() + 8..line.len() - 1].replace(from, to);
    assert!(!line.contains(&entry));
    format!("{{\"hash\":\"{}\",\"entry\":{entry}}}", fraktalia_model::files::sha256_hex(entry.as_bytes()))
}

#[test]
fn an_audit_as_it_was_written_is_whole_and_private() {
    let (_dir, path, anchor) = audit(8);
    assert_eq!(found(&path, &anchor), []);
    assert_eq!(anchor.seq, 8);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let entries = history(&path).unwrap();
    assert_eq!(entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), (1..=8).collect::<Vec<_>>());
}

#[test]
fn a_changed_line_is_found() {
    assert_eq!(
        after(|all| all[3] = all[3].replace("\"why\":\"x\"", "\"why\":\"y\"")),
        [Finding::Changed { line: 4 }]
    );
    assert_eq!(after(|all| all[3] = "{}".into())[0], Finding::Changed { line: 4 });
    assert_eq!(
        after(|all| all[0] = all[0].replace("\"why\":\"x\"", "\"why\":\"y\"")),
        [Finding::Changed { line: 1 }]
    );
}

#[test]
fn a_changed_line_with_a_right_hash_of_its_own_is_found() {
    let change = |line: &str| forged(line, "\"why\":\"x\"", "\"why\":\"y\"");
    assert_eq!(after(|all| all[3] = change(&all[3])), [Finding::Changed { line: 4 }]);
    assert_eq!(after(|all| all[7] = change(&all[7])), [Finding::Rewritten { seq: 8 }]);
}

#[test]
fn a_removed_line_is_found() {
    assert_eq!(after(|all| drop(all.remove(3))), [Finding::Removed { first: 4, last: 4 }]);
    assert_eq!(after(|all| drop(all.drain(..3))), [Finding::Removed { first: 1, last: 3 }]);
    assert_eq!(after(|all| drop(all.drain(2..5))), [Finding::Removed { first: 3, last: 5 }]);
}

#[test]
fn an_inserted_line_is_found() {
    // A copy, and one that follows the line before it as if it belonged there.
    assert_eq!(after(|all| all.insert(5, all[2].clone())), [Finding::Inserted { line: 6 }]);
    let insert = |all: &mut Vec<String>| all.insert(3, forged(&all[3], "\"why\":\"x\"", "\"why\":\"y\""));
    assert_eq!(after(insert), [Finding::Inserted { line: 4 }]);
    let append = |all: &mut Vec<String>| {
        let hash = &all[7][9..73];
        let before = all[7][all[7].find("\"before\":\"").unwrap() + 10..][..64].to_owned();
        let next = all[7].replace(&before, hash);
        all.push(forged(&next, "\"seq\":8", "\"seq\":9"));
    };
    assert_eq!(after(append), [Finding::Inserted { line: 9 }]);
}

#[test]
fn a_moved_line_is_found() {
    assert_eq!(after(|all| all.swap(3, 4)), [Finding::Moved { line: 4 }]);
}

#[test]
fn an_end_that_was_cut_off_is_found_by_the_anchor() {
    assert_eq!(after(|all| all.truncate(6)), [Finding::Truncated { last: 6, written: 8 }]);
    assert_eq!(after(Vec::clear), [Finding::Truncated { last: 0, written: 8 }]);
    let (_dir, path, anchor) = audit(8);
    fs::remove_file(&path).unwrap();
    assert_eq!(found(&path, &anchor), [Finding::Truncated { last: 0, written: 8 }]);
    assert!(matches!(
        Audit::open(&path, Some(&anchor)),
        Err(AuditError::Truncated { last: 0, anchor: 8, .. })
    ));
}

#[test]
fn an_audit_that_was_written_anew_from_some_line_on_is_found_by_the_anchor() {
    let (_dir, path, anchor) = audit(8);
    fs::remove_file(&path).unwrap();
    let mut anew = Audit::open(&path, None).unwrap();
    for key in keys(8) {
        anew.append(&key, &happened("all is well")).unwrap();
    }
    assert_eq!(verify(&path, None, &[]).unwrap().findings, [], "the chain alone cannot tell");
    assert_eq!(found(&path, &anchor), [Finding::Rewritten { seq: 8 }]);
}

#[test]
fn a_line_that_was_not_finished_never_counted() {
    let (_dir, path, anchor) = audit(8);
    let mut text = fs::read(&path).unwrap();
    text.extend_from_slice(b"{\"hash\":\"ab");
    fs::write(&path, text).unwrap();
    assert_eq!(found(&path, &anchor), [Finding::Torn { line: 9 }]);
    let mut audit = Audit::open(&path, Some(&anchor)).unwrap();
    let key = keys(9).pop().unwrap();
    let anchor = audit.append(&key, &happened("z")).unwrap();
    assert_eq!((anchor.seq, found(&path, &anchor)), (9, vec![]));
}

#[test]
fn an_entry_that_nobody_confirmed_is_no_forgery_and_is_written_once() {
    let (_dir, path, anchor) = audit(8);
    let key = keys(9).pop().unwrap();
    for _ in 0..2 {
        // As after a crash between the line and its confirmation.
        let mut audit = Audit::open(&path, Some(&anchor)).unwrap();
        assert_eq!(audit.append(&key, &happened("z")).unwrap().seq, 9);
    }
    assert_eq!(verify(&path, Some(&anchor), std::slice::from_ref(&key)).unwrap().findings, []);
    assert_eq!(found(&path, &anchor), [Finding::Inserted { line: 9 }]);
}

#[test]
fn an_end_that_is_no_entry_is_not_added_to() {
    let (_dir, path, _) = audit(2);
    let mut all = lines(&path);
    all[1] = all[1].replace("\"why\":\"x\"", "\"why\":\"y\"");
    write(&path, &all);
    assert!(matches!(Audit::open(&path, None), Err(AuditError::Damaged { line: 2, .. })));
}

#[test]
fn an_export_can_be_verified_by_who_gets_it() {
    let (dir, path, anchor) = audit(8);
    let mut out = Vec::new();
    assert!(export(&path, Some(&anchor), &[], &mut out).unwrap().is_whole());
    let copy = dir.path().join("copy");
    fs::write(&copy, &out).unwrap();
    assert_eq!(found(&copy, &anchor), []);
}

#[test]
fn what_an_agent_writes_cannot_make_a_line_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let mut audit = Audit::open(&path, None).unwrap();
    let event = Event {
        at: Moment(1),
        case: None,
        round: None,
        what: Happened::Refused {
            by: crate::room::user(&format!("{AGENT}\"}}\n{{\"hash\":\"")),
            event: crate::room::event("$1"),
            why: "x\n".into(),
        },
    };
    let anchor = audit.append(&keys(1)[0], &event).unwrap();
    assert_eq!((lines(&path).len(), found(&path, &anchor)), (1, vec![]));
}

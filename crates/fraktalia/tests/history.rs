//! `history` with what the desk of the admin room wrote down, and manifests as if a file stood in them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use fraktalia_desk::audit::{Event, Happened, anchor};
use fraktalia_desk::{Audit, EventId, Key, Moment};
use fraktalia_engine::StatePaths;
use fraktalia_engine::journal::{Entry, FORMAT, Header, Journal, Outcome};
use fraktalia_model::UserId;
use fraktalia_plan::Plan;
use fraktalia_plan::plan::Basis;

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::write(place.path("fraktalia.yaml"), "version: 1\nrealm: home\ninclude: ['more/*.yaml']\n")
            .unwrap();
        StatePaths::new(place.path("state")).create().unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fraktalia"));
        command.args(arguments).args(["--state", "state"]).current_dir(self.folder.path());
        command.env_clear().env("HOME", self.folder.path()).stdin(Stdio::null());
        command.output().unwrap()
    }

    /// A run that was applied.
    async fn journal(&self, run: &str) {
        let basis = Basis { format: FORMAT, manifest: String::new(), touched: BTreeMap::new() };
        let plan = Plan {
            realm: "home".into(),
            basis,
            changes: Vec::new(),
            steps: Vec::new(),
            edges: Vec::new(),
            notes: Vec::new(),
            records: BTreeMap::new(),
            forgotten: std::collections::BTreeSet::new(),
            strangers: BTreeMap::new(),
        };
        let header = Header {
            run: run.into(),
            format: FORMAT,
            at: "2026-03-14T15:00:00Z".into(),
            version: "0.1.0".into(),
            plan,
            before: BTreeMap::new(),
            origin: None,
            note: Some("c1.1.run".into()),
        };
        let path = StatePaths::new(self.path("state")).journal(run);
        let journal = Journal::create(&path, Entry::Open(Arc::new(header)), None).await.unwrap();
        let at = "2026-03-14T15:00:12Z".into();
        journal.append(Entry::Close { at, outcome: Outcome::Applied, after: BTreeMap::new() }).await.unwrap();
    }

    /// What the desk writes of a proposal that was approved and applied, as the program of the admin room does it.
    fn decided(&self, run: &str) {
        let path = self.path("state/audit.jsonl");
        let mut audit = Audit::open(&path, None).unwrap();
        let ana = UserId("@ana:chat.home".into());
        let event = |text: &str| EventId::new(text).unwrap();
        let steps = [
            Happened::Proposed {
                by: ana.clone(),
                event: event("$p"),
                name: "cook".into(),
                sha256: "ab".into(),
            },
            Happened::Declined { by: ana, event: event("$d") },
            Happened::Applied { run: run.into(), commit: None },
        ];
        for (number, what) in (0_u64..).zip(steps) {
            let key: Key = serde_json::from_value(format!("c1.{number}").into()).unwrap();
            // 2026-03-14T14:59:50Z and later.
            let at = Moment(1_773_500_390_000 + number * 30_000);
            let tail = audit.append(&key, &Event { at, case: None, round: None, what }).unwrap();
            anchor::write(&self.path("state/audit.anchor"), &tail).unwrap();
        }
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

const RUN: &str = "20260314-150000000-abcdef";

#[tokio::test]
async fn decisions_stand_among_the_runs_and_a_whole_audit_is_verified_with_0() {
    let place = Place::new();
    assert_eq!(place.run(&["history", "--verify"]).status.code(), Some(0), "no admin room is in order too");
    place.journal(RUN).await;
    place.decided(RUN);
    let shown = text(&place.run(&["history"]));
    let order = ["proposed by @ana:chat.home", "c1.1.run", "declined by @ana:chat.home", "applied: run"];
    let places: Vec<_> = order.iter().map(|words| shown.find(words)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?}\n{shown}");
    let noted = text(&place.run(&["history", "--note", "c1.1.run", "--format", "json"]));
    assert!(noted.contains(RUN) && !noted.contains("@ana"), "{noted}");
    assert!(!text(&place.run(&["history", "--note", "c1.1", "--format", "json"])).contains(RUN));
    std::fs::write(place.path("fraktalia.yaml"), "wrong: {").unwrap();
    assert!(text(&place.run(&["history"])).contains(RUN), "whatever has become of the manifest");
    let verified = place.run(&["history", "--verify"]);
    assert_eq!(verified.status.code(), Some(0), "{}", text(&verified));
}

#[tokio::test]
async fn an_audit_that_was_touched_ends_with_17_and_says_where() {
    let changed = |place: &Place, words: &str| {
        let output = place.run(&["history", "--verify"]);
        assert_eq!(output.status.code(), Some(17), "{words}: {}", text(&output));
        assert!(text(&output).contains(words), "{words}: {}", text(&output));
    };
    let place = Place::new();
    place.journal(RUN).await;
    place.decided("20260314-160000000-ffffff");
    changed(&place, "it has no journal");
    let place = Place::new();
    place.journal(RUN).await;
    place.decided(RUN);
    let audit = place.path("state/audit.jsonl");
    let whole = std::fs::read_to_string(&audit).unwrap();
    std::fs::write(&audit, whole.replace("$d", "$x")).unwrap();
    changed(&place, "line 2 was changed");
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    std::fs::write(&audit, lines[..2].concat()).unwrap();
    changed(&place, "the end was cut off");
    std::fs::remove_file(&audit).unwrap();
    changed(&place, "the end was cut off");
    std::fs::write(&audit, &whole).unwrap();
    std::fs::remove_file(place.path("state/audit.anchor")).unwrap();
    changed(&place, "audit.anchor is missing");
    std::fs::write(place.path("state/audit.anchor"), "{}").unwrap();
    changed(&place, "audit.anchor");
}

#[tokio::test]
async fn an_export_is_lines_of_json_and_carries_the_audit_byte_by_byte() {
    let place = Place::new();
    place.journal(RUN).await;
    place.decided(RUN);
    let output = place.run(&["history", "--export", "all.jsonl"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let written = std::fs::read_to_string(place.path("all.jsonl")).unwrap();
    assert_eq!(written.as_bytes(), place.run(&["history", "--format", "jsonl"]).stdout);
    let lines: Vec<serde_json::Value> =
        written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let audit: Vec<&str> = lines.iter().filter_map(|line| line["line"].as_str()).collect();
    let kept = std::fs::read_to_string(place.path("state/audit.jsonl")).unwrap();
    assert_eq!(audit, kept.lines().collect::<Vec<_>>());
    let kinds: Vec<&str> = lines.iter().filter_map(|line| line["kind"].as_str()).collect();
    assert_eq!(kinds, ["audit", "audit", "audit", "anchor", "run", "verdict"]);
    assert_eq!(lines[5]["whole"], true);
    let again = place.run(&["history", "--export", "all.jsonl"]);
    assert_eq!(again.status.code(), Some(1), "a file that is there is not written over");
}

#[test]
fn a_plan_as_if_a_file_stood_there_leaves_no_file_and_is_shown_again() {
    let place = Place::new();
    std::fs::write(place.path("wrong.yaml"), "networks: { a: { internet: maybe } }\n").unwrap();
    std::fs::write(place.path("right.yaml"), "networks: { a: }\n").unwrap();
    let output = place.run(&["check", "--with", "more/a.yaml=wrong.yaml"]);
    assert_eq!(output.status.code(), Some(10));
    assert!(text(&output).contains("more/a.yaml:1:"), "{}", text(&output));
    let output = place.run(&["check", "--with", "other/a.yaml=right.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("the manifest includes no such file"), "{}", text(&output));
    let output = place.run(&["check", "--with", "more/a.yaml=nowhere.yaml"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert_eq!(place.run(&["check", "--with", "more/a.yaml=right.yaml"]).status.code(), Some(0));
    assert!(!place.path("more").exists());
    let made = place.run(&["plan", "--out", "week.plan"]);
    assert_eq!(made.status.code(), Some(0), "{}", text(&made));
    let shown = place.run(&["plan", "--from", "week.plan", "--format", "json"]);
    let fresh = place.run(&["plan", "--format", "json"]);
    assert_eq!(shown.stdout, fresh.stdout);
}

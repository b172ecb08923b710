//! Our own files: how long it takes to read and write the record, and to put entries of a journal on disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use divan::Bencher;
use fraktalia_engine::journal::{Entry, Header, Journal, Mark};
use fraktalia_engine::ledger::Ledger;
use fraktalia_engine::{Registry, StatePaths};
use fraktalia_model::manifest::OnRemove;
use fraktalia_model::{Outputs, RoomId, SystemId, id};
use fraktalia_plan::{Basis, Impact, Plan, Record, Records, Sealed, Step};
use futures_util::future::join_all;
use tokio::runtime::Runtime;

fn main() {
    divan::main();
}

/// Without optimisation only whether it runs is of interest.
fn sizes() -> &'static [usize] {
    if cfg!(debug_assertions) { &[50] } else { &[1_000, 10_000, 100_000] }
}

const STEPS: u32 = if cfg!(debug_assertions) { 8 } else { 256 };

fn ledger(records: usize) -> Ledger {
    let record = |index: usize| {
        let key = format!("f{index:06}");
        let record = Record {
            spec: fraktalia_plan::SpecText::from(
                &serde_json::json!({"room": {"alias": key, "name": "A room", "topic": "Beds and seeds", "join_rule": "invite"}}),
            ),
            requires: [id::user("ana")].into(),
            on_remove: OnRemove::Retire,
            subject: key.clone(),
        };
        (id::room(&key), record)
    };
    Ledger { records: (0..records).map(record).collect(), run: None }
}

fn state(dir: &Path) -> StatePaths {
    let paths = StatePaths::new(dir.to_path_buf());
    paths.create().expect("a state directory");
    paths
}

#[divan::bench(args = sizes(), sample_count = 10, sample_size = 1)]
fn load_ledger(bencher: Bencher<'_, '_>, records: usize) {
    let dir = tempfile::tempdir().expect("a folder");
    let paths = state(dir.path());
    ledger(records).save(&paths, "home").expect("it is saved");
    bencher.bench_local(|| Ledger::load(&paths, "home", &Registry::new()).expect("it is loaded"));
}

#[divan::bench(args = sizes(), sample_count = 10, sample_size = 1)]
fn save_ledger(bencher: Bencher<'_, '_>, records: usize) {
    let dir = tempfile::tempdir().expect("a folder");
    let paths = state(dir.path());
    let ledger = ledger(records);
    bencher.bench_local(|| ledger.save(&paths, "home").expect("it is saved"));
}

fn header() -> Entry {
    let system = SystemId::matrix();
    let step = |id| Step {
        id,
        system: system.clone(),
        title: format!("create #f{id}:chat.home"),
        realises: vec![id::room(&format!("f{id}"))],
        op: sealed(),
        impact: Impact::Quiet,
    };
    let plan = Plan {
        realm: "home".into(),
        basis: Basis { format: 1, manifest: "m".into(), touched: BTreeMap::new() },
        changes: Vec::new(),
        steps: (1..=STEPS).map(step).collect(),
        edges: Vec::new(),
        notes: Vec::new(),
        records: Records::new(),
        forgotten: [].into(),
        strangers: BTreeMap::new(),
    };
    let (at, version) = ("2026-03-14T15:00:00Z".into(), "0.1.0".into());
    Entry::Open(Arc::new(Header {
        run: "run".into(),
        format: 1,
        at,
        version,
        plan,
        before: Records::new(),
        origin: None,
        note: None,
    }))
}

fn sealed() -> Sealed {
    Sealed { system: SystemId::matrix(), format: 1, body: serde_json::json!({"delete": "#f:chat.home"}) }
}

fn entries(step: u32) -> [Entry; 2] {
    let outputs = Outputs::of(&id::room(&format!("f{step}")), &RoomId(format!("!{step}")));
    [Mark::Begun { undo: sealed() }, Mark::Done { outputs }].map(|mark| Entry::Mark { step, mark })
}

/// All steps of a journal, of which `at_once` run at a time. Its time for each step is that of one journal divided by
/// the number of steps.
#[divan::bench(args = [1, 8, 32], sample_count = 5, sample_size = 1)]
fn journal_of_many_steps_that_run_at_once(bencher: Bencher<'_, '_>, at_once: usize) {
    let runtime = Runtime::new().expect("a runtime");
    let dir = tempfile::tempdir().expect("a folder");
    let mut number = 0;
    let steps: Vec<u32> = (1..=STEPS).collect();
    bencher.counter(divan::counter::ItemsCount::new(STEPS)).bench_local(|| {
        number += 1;
        let path = dir.path().join(format!("{number}.jsonl"));
        runtime.block_on(async {
            let journal = Journal::create(&path, header(), None).await.expect("it is made");
            for wave in steps.chunks(at_once) {
                join_all(wave.iter().map(async |&step| {
                    for entry in entries(step) {
                        journal.append(entry).await.expect("it is written");
                    }
                }))
                .await;
            }
        });
    });
}

//! What must hold of every manifest in every world, with all systems simulated at once.
//!
//! Cases are drawn from seeds: always the same ones, `FRAKTALIA_CASES` of them for each test. One that fails is made
//! smaller, and printed with its seed; `FRAKTALIA_SEED` runs a single one.
#![expect(clippy::print_stderr, reason = "a case that fails is printed")]

mod blind;
mod helper;
mod properties;
mod snapshot;
mod stage;

use std::panic::AssertUnwindSafe;
use std::path::Path;

use fraktalia_testkit::generate::Case;

/// What is wrong, beginning with the name of the property and a colon.
type Found = Result<(), String>;

/// How many cases one test runs.
const CASES: u64 = 20;
/// How many smaller cases are tried of one that fails; `FRAKTALIA_SHRINKS` says otherwise.
const SHRINKS: u64 = 60;

/// Runs a case in a runtime of its own; a panic is a finding as well.
fn run(case: &Case) -> Found {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(properties::hold(case))));
    outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("no panic: {}", text.unwrap_or_default()))
    })
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn property(found: &str) -> &str {
    found.split(':').next().unwrap_or_default()
}

/// The smallest case that can be made of this one and shows the same.
fn shrunk(case: Case, found: String, dir: &Path) -> (Case, String) {
    let (mut case, mut found) = (case, found);
    let mut left = number("FRAKTALIA_SHRINKS").unwrap_or(SHRINKS);
    'smaller: loop {
        for smaller in case.smaller() {
            if [&smaller.first, &smaller.second].iter().any(|wishes| stage::check(dir, wishes).is_err()) {
                continue;
            }
            if left == 0 {
                break 'smaller;
            }
            left -= 1;
            if let Err(other) = run(&smaller)
                && property(&other) == property(&found)
            {
                (case, found) = (smaller, other);
                continue 'smaller;
            }
        }
        break;
    }
    (case, found)
}

/// All cases of one test: seeds from `from` on.
fn all_hold(from: u64) {
    let dir = tempfile::tempdir().expect("a folder");
    let seeds = match number("FRAKTALIA_SEED") {
        Some(seed) => seed..seed + 1,
        None => from..from + number("FRAKTALIA_CASES").unwrap_or(CASES),
    };
    for seed in seeds {
        let case = Case::draw(seed, &|wishes| stage::check(dir.path(), wishes).is_ok());
        if let Err(found) = run(&case) {
            eprintln!("seed {seed}: {found}\nmaking it smaller ...");
            let (case, found) = shrunk(case, found, dir.path());
            panic!("{found}\n\n{case}\nFRAKTALIA_SEED={seed} runs the whole of it again");
        }
    }
}

/// Two tests of the same kind, so that two cores have something to do.
#[test]
fn what_is_planned_is_sound_converges_and_can_be_taken_back() {
    all_hold(1);
}

#[test]
fn what_is_planned_is_sound_converges_and_can_be_taken_back_in_other_worlds() {
    all_hold(1_000_001);
}

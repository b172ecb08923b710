//! The guide says of each line of its threat model where it is seen.

use std::path::Path;

const GUIDE: &str = include_str!("../../../../docs/guide/admin-room.md");

/// All Rust text below a directory.
fn sources(dir: &Path, all: &mut String) {
    for entry in std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            sources(&entry, all);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            all.push_str(&std::fs::read_to_string(&entry).expect("a text"));
        }
    }
}

#[test]
fn the_tests_that_the_threat_model_names_are_there() {
    let model = GUIDE.split("## What an agent that was taken over").nth(1).expect("a threat model");
    // Names of tests are long; words of the manifest are not.
    let named: Vec<&str> =
        model.split('`').skip(1).step_by(2).filter(|name| name.matches('_').count() > 3).collect();
    assert!(named.len() > 15, "{named:?}");
    let mut all = String::new();
    for dir in ["fraktalia-admin/tests", "fraktalia-room", "fraktalia-desk", "fraktalia-model/tests"] {
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(dir), &mut all);
    }
    for name in named {
        let is_there = all.contains(&format!("fn {name}(")) || all.contains(&format!("    {name}: found("));
        assert!(is_there, "{name} is in the guide, and no test");
    }
}

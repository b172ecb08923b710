//! Whatever the bytes, reading them ends, with findings or a manifest, and it ends soon.

use std::fmt::Write as _;
use std::path::Path;

use fraktalia_model::{MemoryFiles, Severity, manifest};
use proptest::prelude::*;

use crate::example::{EXAMPLE, beside};

/// Reads a manifest; a panic or a contradiction fails the test.
fn read(bytes: Vec<u8>) -> Result<(), TestCaseError> {
    let files = beside("").with("fraktalia.yaml", bytes);
    let loaded = manifest::load(Path::new("fraktalia.yaml"), &files);
    let failed = loaded.notes.iter().any(|note| note.severity == Severity::Error);
    prop_assert_eq!(loaded.manifest.is_none(), failed, "{:?}", loaded.notes);
    for note in &loaded.notes {
        let Some(at) = &note.at else { continue };
        prop_assert!(at.line >= 1 && at.column >= 1, "{:?}", note);
        let lines = loaded.sources.text(&at.file).map_or(0, |text| text.lines().count());
        prop_assert!(at.line as usize <= lines.max(1) + 1, "{:?} in {} lines", note, lines);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_bytes_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let mut bytes = EXAMPLE.as_bytes().to_vec();
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        if cuts {
            bytes.truncate(cut.index(bytes.len()));
        }
        read(bytes)?;
    }

    #[test]
    fn changed_structure_never_panics(
        moves in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..8),
        marks in prop::collection::vec((any::<prop::sample::Index>(), "[\\[\\]{}:,&*!|>'\"?#~ \t\n-]{1,3}"), 0..8),
    ) {
        let mut lines: Vec<&str> = EXAMPLE.lines().collect();
        for (from, to) in moves {
            let line = lines.remove(from.index(lines.len()));
            lines.insert(to.index(lines.len()), line);
        }
        let mut text: Vec<char> = lines.join("\n").chars().collect();
        for (at, mark) in marks {
            let at = at.index(text.len());
            text.splice(at..at, mark.chars());
        }
        read(text.into_iter().collect::<String>().into_bytes())?;
    }
}

#[test]
fn a_thousand_fractals_are_read_at_once() {
    let mut text = String::from(
        "version: 1\nrealm: big\nmatrix: { homeserver: 'http://h', server_name: h, admin_token: { env: T }, bot: agent }\n\
         openclaw: { config: /o.json }\npolicy: { forward_ports: 9000-20000 }\nsandboxes: { s: }\n",
    );
    text.push_str("users:\n");
    for n in 0..1000 {
        let _ = writeln!(text, "  user{n}: {{ display_name: User {n} }}");
    }
    text.push_str("fractals:\n");
    for n in 0..1000 {
        let (other, port) = ((n + 1) % 1000, 9000 + n);
        let _ =
            writeln!(text, "  fractal{n}:\n    purpose: Number {n}.\n    members: [user{n}, user{other}]");
        let _ = writeln!(text, "    sandbox: s\n    account: own\n    forwards: [{port}]");
        let _ = writeln!(text, "    workspace: {{ files: {{ A.md: {{ content: x }} }} }}");
    }
    let files = MemoryFiles::new().with("fraktalia.yaml", text);
    let loaded = manifest::load(Path::new("fraktalia.yaml"), &files);
    assert_eq!(loaded.notes, []);
    let manifest = loaded.manifest.unwrap();
    assert_eq!((manifest.rooms.len(), manifest.forwards.len(), manifest.users.len()), (1000, 1000, 2000));
}

//! The documents of `plan` and `check`, as far as they are needed here.

use std::collections::BTreeMap;

use fraktalia_model::{Note, Notes, Severity, Span};
use serde::Deserialize;

/// `plan --format json`
#[derive(Debug, Deserialize)]
pub struct PlanAnswer {
    /// Of all that would be done, and of the world that it rests on.
    pub fingerprint: String,
    /// Whether nothing would change.
    pub empty: bool,
    /// One for each resource that does not stay as it is.
    #[serde(default)]
    pub changes: Vec<Change>,
    /// One for each effect.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// Findings.
    #[serde(default)]
    pub notes: Vec<Finding>,
}

/// A resource that does not stay as it is.
#[derive(Debug, Deserialize)]
pub struct Change {
    /// `system/kind/name`
    pub id: String,
    /// `create` and so on.
    pub verb: String,
}

/// An effect.
#[derive(Debug, Deserialize)]
pub struct Step {
    /// What it does.
    pub title: String,
    /// `quiet`, `disruptive`, `irreversible`
    pub impact: String,
    /// What people notice of it.
    #[serde(default)]
    pub notice: Option<String>,
}

/// `check --format json`
#[derive(Debug, Deserialize)]
pub struct CheckAnswer {
    /// Findings.
    pub notes: Vec<Finding>,
}

/// A finding.
#[derive(Debug, Deserialize)]
pub struct Finding {
    /// `info`, `warning`, `error`
    pub severity: Severity,
    /// Its stable name.
    pub code: String,
    /// What is the case.
    pub text: String,
    /// What to do next.
    #[serde(default)]
    pub hint: Option<String>,
    /// Where.
    #[serde(default)]
    pub places: Vec<Place>,
}

/// A place in a file of the manifest.
#[derive(Debug, Deserialize)]
pub struct Place {
    /// The file, as it was named.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1.
    pub column: u32,
}

impl PlanAnswer {
    /// In a line: what is made, changed, removed, and how many of what.
    pub fn summary(&self) -> String {
        if self.empty {
            return "nothing to do".into();
        }
        let words = [
            ("create", "to create"),
            ("update", "to change"),
            ("replace", "to replace"),
            ("adopt", "to adopt"),
            ("forget", "to let go"),
            ("delete", "to remove"),
        ];
        let counted = words.iter().filter_map(|(verb, words)| {
            let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
            for change in self.changes.iter().filter(|change| change.verb == *verb) {
                *kinds.entry(change.id.split('/').nth(1).unwrap_or("thing")).or_default() += 1;
            }
            let all: usize = kinds.values().sum();
            let kinds: Vec<String> = kinds.iter().map(|(kind, count)| counted(*count, kind)).collect();
            (all > 0).then(|| format!("{all} {words} ({})", kinds.join(", ")))
        });
        let counted: Vec<String> = counted.collect();
        if counted.is_empty() { "our own record".into() } else { counted.join("; ") }
    }

    /// What an operator should know before saying yes.
    pub fn warnings(&self) -> Vec<String> {
        let notes = self.notes.iter().filter(|note| note.severity >= Severity::Warning);
        let notes = notes.map(|note| match &note.hint {
            Some(hint) => format!("{} ({hint})", note.text),
            None => note.text.clone(),
        });
        let removed = self.changes.iter().filter(|change| change.verb == "delete").count();
        let removed = (removed > 0).then(|| format!("{} will be removed", counted(removed, "thing")));
        let loud = self.steps.iter().filter(|step| step.impact != "quiet").map(|step| {
            let what = step.notice.as_deref().unwrap_or("people notice it");
            match step.impact.as_str() {
                "irreversible" => format!("cannot be taken back: {} ({what})", step.title),
                _ => format!("{}: {what}", step.title),
            }
        });
        notes.chain(removed).chain(loud).collect()
    }
}

fn counted(count: usize, kind: &str) -> String {
    format!("{count} {kind}{}", if count == 1 { "" } else { "s" })
}

impl CheckAnswer {
    /// The findings in the way; those in the file that ends with `path` are in the fragment.
    pub fn findings(self, path: &str) -> Notes {
        let errors = self.notes.into_iter().filter(|note| note.severity == Severity::Error);
        errors.map(|finding| finding.note(path)).collect()
    }
}

impl Finding {
    fn note(self, path: &str) -> Note {
        let mut places = self.places.into_iter().map(|place| {
            let ours = std::path::Path::new(&place.file).ends_with(path);
            let file = if ours { fraktalia_desk::fragment::NAME.into() } else { place.file.into() };
            Span { file, line: place.line, column: place.column, length: 0 }
        });
        let mut note = Note::error(&self.code, self.text);
        note.hint = self.hint;
        note.at = places.next();
        note.other = places.next();
        note
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(changes: &[(&str, &str)]) -> PlanAnswer {
        let changes: Vec<_> =
            changes.iter().map(|(id, verb)| serde_json::json!({ "id": id, "verb": verb })).collect();
        let value = serde_json::json!({ "fingerprint": "ab", "empty": false, "changes": changes });
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_summary_counts_by_what_is_done_and_by_kind() {
        let answer = answer(&[
            ("matrix/room/cook", "create"),
            ("openclaw/agent/cook", "create"),
            ("matrix/room/lab", "create"),
            ("workspace/file/x", "delete"),
        ]);
        assert_eq!(answer.summary(), "3 to create (1 agent, 2 rooms); 1 to remove (1 file)");
        assert_eq!(answer.warnings(), ["1 thing will be removed"]);
    }

    #[test]
    fn a_finding_in_the_fragment_is_called_so() {
        let value = serde_json::json!({ "notes": [
            { "severity": "error", "code": "x", "text": "no", "places": [{ "file": "/m/f.d/cook.yaml", "line": 3, "column": 5 }] },
            { "severity": "warning", "code": "y", "text": "perhaps" },
        ] });
        let answer: CheckAnswer = serde_json::from_value(value).unwrap();
        let notes = answer.findings("f.d/cook.yaml");
        assert_eq!(notes.len(), 1);
        assert_eq!(notes[0].at.as_ref().unwrap().to_string(), "proposal:3:5");
    }
}

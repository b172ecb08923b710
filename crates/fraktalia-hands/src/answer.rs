//! The documents of `plan` and `check`, as far as they are needed here.

use std::collections::{BTreeMap, BTreeSet};

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
    /// What people call it.
    #[serde(default)]
    pub title: String,
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
    /// The resource that it is about.
    #[serde(default)]
    pub about: Option<String>,
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
    /// In a line: what is made, changed and removed, by kind; and what that costs.
    pub fn summary(&self) -> String {
        if self.empty {
            return "nothing to do".into();
        }
        let words = [
            ("create", "creates"),
            ("update", "changes"),
            ("replace", "replaces"),
            ("adopt", "adopts"),
            ("forget", "lets go"),
            ("delete", "removes"),
        ];
        let done = words.iter().filter_map(|(verb, words)| Some(format!("{words} {}", self.kinds(verb)?)));
        let done: Vec<String> = done.chain(self.costs()).collect();
        if done.is_empty() { "our own record".into() } else { done.join("; ") }
    }

    /// How many of what have that verb. Parts that come and go with another thing are only counted where that is not there.
    fn kinds(&self, verb: &str) -> Option<String> {
        let count = |parts: bool| {
            let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
            let all = self.changes.iter().filter(|change| change.verb == verb);
            for change in all.filter(|change| parts || !PARTS.contains(&change.kind())) {
                *kinds.entry(label(change.kind())).or_default() += 1;
            }
            kinds
        };
        let kinds = Some(count(false)).filter(|kinds| !kinds.is_empty()).unwrap_or_else(|| count(true));
        let kinds: Vec<String> = kinds.iter().map(|(kind, number)| counted(*number, kind)).collect();
        (!kinds.is_empty()).then(|| kinds.join(", "))
    }

    /// What it takes, as far as the plan knows.
    fn costs(&self) -> Vec<String> {
        let new = self.changes.iter().filter(|change| matches!(change.verb.as_str(), "create" | "replace"));
        let images = self.steps.iter().filter_map(|step| step.title.strip_prefix("build image ")).collect();
        let ports = new.filter(|change| change.kind() == "forward");
        let ports = ports.filter_map(|change| Some(change.title.split_once(" -> ")?.0)).collect();
        let named = |words: &str, what: BTreeSet<&str>| {
            (!what.is_empty()).then(|| format!("{words} {}", listed(what)))
        };
        let noticed = self.steps.iter().filter(|step| step.impact != "quiet").count();
        let steps = match (self.steps.len(), noticed) {
            (0, _) => None,
            (all, 0) => Some(counted(all, "step")),
            (all, noticed) => Some(format!("{}, {noticed} of which people notice", counted(all, "step"))),
        };
        let costs = [named("builds the image", images), named("opens the port", ports), steps];
        costs.into_iter().flatten().collect()
    }

    /// What an operator should know before saying yes, each once.
    pub fn warnings(&self) -> Vec<String> {
        let notes =
            self.notes.iter().filter(|note| note.severity >= Severity::Warning || note.is_protected());
        let notes = notes.map(|note| match &note.hint {
            Some(hint) => format!("{} ({hint})", note.text),
            None => note.text.clone(),
        });
        let mut warnings: Vec<String> = Vec::new();
        for warning in notes.chain(self.notices()) {
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        warnings
    }

    /// What of a fractal would stay behind, because the policy protects it.
    pub fn protected(&self, name: &str) -> Vec<&str> {
        let notes = self.notes.iter().filter(|note| note.is_protected());
        let of_it = |id: &&str| id.split('/').nth(2) == Some(name);
        notes.filter_map(|note| note.about.as_deref()).filter(of_it).collect()
    }

    /// What people notice. What happens to several users is one thing.
    fn notices(&self) -> Vec<String> {
        let mut notices: Vec<(&str, Vec<&str>, &str)> = Vec::new();
        for step in self.steps.iter().filter(|step| step.impact != "quiet") {
            let before = if step.impact == "irreversible" { "cannot be taken back: " } else { "" };
            let text = step.notice.as_deref().unwrap_or(&step.title);
            let (who, what) = match text.split_once(" is ") {
                Some((who, what)) if who.starts_with('@') && !who.contains(' ') => (Some(who), what),
                _ => (None, text),
            };
            let same = notices.iter_mut().find(|(other, all, rest)| {
                *other == before && *rest == what && all.is_empty() == who.is_none()
            });
            match same {
                Some((_, all, _)) => all.extend(who),
                None => notices.push((before, who.into_iter().collect(), what)),
            }
        }
        let say = |(before, who, what): (&str, Vec<&str>, &str)| match who.as_slice() {
            [] => format!("{before}{what}"),
            [who] => format!("{before}{who} is {what}"),
            all => format!("{before}{} are {what}", all.join(", ")),
        };
        notices.into_iter().map(say).collect()
    }
}

impl Change {
    fn kind(&self) -> &str {
        self.id.split('/').nth(1).unwrap_or("thing")
    }
}

/// Kinds that are parts of others.
const PARTS: [&str; 6] = ["binding", "file", "group", "member", "name", "override"];

/// What people call a kind.
fn label(kind: &str) -> &str {
    match kind {
        "tree" => "workspace",
        "group" => "rule for replies",
        other => other,
    }
}

fn listed(all: BTreeSet<&str>) -> String {
    all.into_iter().collect::<Vec<_>>().join(", ")
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
    fn is_protected(&self) -> bool {
        self.code == "policy.protected"
    }

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
        assert_eq!(answer.summary(), "creates 1 agent, 2 rooms; removes 1 file");
        assert_eq!(answer.warnings(), [""; 0]);
    }

    #[test]
    fn what_it_costs_is_said_once_and_in_few_words() {
        let step = |title: &str, impact: &str, notice: &str| serde_json::json!({ "title": title, "impact": impact, "notice": notice });
        let value = serde_json::json!({ "fingerprint": "ab", "empty": false,
            "changes": [
                { "id": "openclaw/agent/cook", "verb": "create", "title": "cook" },
                { "id": "openclaw/binding/cook", "verb": "create" },
                { "id": "plane@local/forward/9010", "verb": "create", "title": "127.0.0.1:9010 -> cook:3000" },
            ],
            "steps": [
                step("build image kitchen:1", "quiet", ""),
                step("write", "disruptive", "the Matrix channel restarts"),
                step("write again", "disruptive", "the Matrix channel restarts"),
                step("put ana out", "disruptive", "@ana:x is put out of #lab:x"),
                step("put ben out", "disruptive", "@ben:x is put out of #lab:x"),
                step("empty", "irreversible", "the box is emptied"),
            ],
            "notes": [
                { "severity": "warning", "code": "a", "text": "beware" },
                { "severity": "warning", "code": "b", "text": "beware" },
                { "severity": "info", "code": "c", "text": "by the way" },
                { "severity": "info", "code": "policy.protected", "text": "it stays", "about": "openclaw/agent/lab" },
            ],
        });
        let answer: PlanAnswer = serde_json::from_value(value).unwrap();
        assert_eq!(
            answer.summary(),
            "creates 1 agent, 1 forward; builds the image kitchen:1; \
             opens the port 127.0.0.1:9010; 6 steps, 5 of which people notice"
        );
        assert_eq!(
            answer.warnings(),
            [
                "beware",
                "it stays",
                "the Matrix channel restarts",
                "@ana:x, @ben:x are put out of #lab:x",
                "cannot be taken back: the box is emptied",
            ]
        );
        assert_eq!(answer.protected("lab"), ["openclaw/agent/lab"]);
        assert_eq!(answer.protected("cook"), [""; 0]);
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

//! What the desk of the admin room wrote down: shown, verified, exported.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use fraktalia_desk::audit::{self, Anchor, Entry, Finding, Happened, anchor};
use fraktalia_engine::{Run, StatePaths};
use serde::de::IgnoredAny;
use serde_json::json;

use crate::app::App;
use crate::error::{Failure, chain};
use crate::exit::Exit;
use crate::out;
use crate::render::runs;
use crate::render::{Line, Tone, note};

pub use crate::render::runs::when;

/// What the audit calls a run that changed nothing live, and so has no journal.
const NO_RUN: &str = "none";

/// The audit and its anchor in the state directory.
pub struct Files {
    audit: PathBuf,
    anchor: PathBuf,
}

impl Files {
    /// Those of a realm.
    pub fn of(paths: &StatePaths) -> Self {
        Self { audit: paths.root().join("audit.jsonl"), anchor: paths.root().join("audit.anchor") }
    }

    /// The entries that can be read.
    pub fn entries(&self) -> Result<Vec<Entry>, Failure> {
        audit::history(&self.audit).map_err(|error| failed(&error))
    }

    /// All that is wrong, a sentence each.
    fn findings(&self, runs: &[Run]) -> Result<Vec<String>, Failure> {
        let mut found = Vec::new();
        let anchor = match anchor::read(&self.anchor) {
            Ok(anchor) => anchor,
            Err(error) => {
                found.push(chain(&error));
                None
            }
        };
        let entries = self.entries()?;
        let pending = anchor.as_ref().and_then(|anchor| just_written(&entries, anchor));
        let pending: Vec<_> = pending.into_iter().map(|entry| entry.key.clone()).collect();
        let verdict =
            audit::verify(&self.audit, anchor.as_ref(), &pending).map_err(|error| failed(&error))?;
        found.extend(verdict.findings.iter().map(Finding::to_string));
        if anchor.is_none() && found.is_empty() && verdict.lines > 0 {
            let path = self.anchor.display();
            found.push(format!("{path} is missing: nobody can say whether the end was cut off"));
        }
        found.extend(without_journal(&entries, runs));
        Ok(found)
    }

    /// Says whether the audit is as it was written.
    pub fn verify(&self, runs: &[Run], app: &App) -> Result<Exit, Failure> {
        let found = self.findings(runs)?;
        let mut page = String::new();
        let path = self.audit.display().to_string();
        if found.is_empty() {
            let entries = runs::plural(self.entries()?.len(), "entry", "entries");
            let text = format!("{path}  {entries}, as they were written; each applied run has its journal");
            Line::new().text(Tone::Add, "ok  ").hang().plain(&text).write(&app.out, &mut page);
            out::data(&page)?;
            return Ok(Exit::OK);
        }
        for finding in &found {
            Line::new().text(Tone::Bad, "changed: ").hang().plain(finding).write(&app.out, &mut page);
        }
        note::hint(&format!("it is about {path}; {}", Exit::CHANGED.next), &app.out, &mut page);
        out::data(&page)?;
        Ok(Exit::CHANGED)
    }

    /// The audit and the runs, one document a line. Lines of the audit stand there byte by byte, so that who gets them can
    /// verify them too.
    pub fn lines(&self, runs: &[Run]) -> Result<String, Failure> {
        let mut raw = Vec::new();
        audit::export(&self.audit, None, &[], &mut raw).map_err(|error| failed(&error))?;
        let mut page = String::new();
        let mut add = |document: serde_json::Value| {
            page.push_str(&document.to_string());
            page.push('\n');
        };
        for line in raw.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let text = String::from_utf8_lossy(line);
            match serde_json::from_str::<IgnoredAny>(&text) {
                // A value would be written in another order.
                Ok(_) => add(json!({ "kind": "audit", "line": text })),
                Err(_) => add(json!({ "kind": "audit", "damaged": text })),
            }
        }
        if let Ok(Some(anchor)) = anchor::read(&self.anchor) {
            add(json!({ "kind": "anchor", "anchor": anchor }));
        }
        for run in runs {
            add(json!({ "kind": "run", "run": runs::document(run, false) }));
        }
        let findings = self.findings(runs)?;
        add(json!({ "kind": "verdict", "whole": findings.is_empty(), "findings": findings }));
        Ok(page)
    }

    /// The same into a file that is not there yet, and says what is wrong.
    pub fn export_to(&self, path: &Path, runs: &[Run], app: &App) -> Result<Exit, Failure> {
        let text = self.lines(runs)?;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let written =
            file.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
        written.map_err(|source| Failure::File { doing: "write", path: path.into(), source })?;
        self.verify(runs, app)
    }
}

/// The last entry, when it is the one after the anchor: the anchor is written after it, and a program that is at work may
/// be between the two.
fn just_written<'e>(entries: &'e [Entry], anchor: &Anchor) -> Option<&'e Entry> {
    entries.last().filter(|last| last.seq == anchor.seq.saturating_add(1))
}

fn without_journal(entries: &[Entry], runs: &[Run]) -> Vec<String> {
    let known: BTreeSet<&str> = runs.iter().map(|run| run.header.run.as_str()).collect();
    let lost = entries.iter().filter_map(|entry| match &entry.event.what {
        Happened::Applied { run, .. } if run != NO_RUN && !known.contains(run.as_str()) => {
            Some(format!("entry {} says that the run {run} was applied, and it has no journal", entry.seq))
        }
        _ => None,
    });
    lost.collect()
}

fn failed(error: &audit::AuditError) -> Failure {
    Failure::Environment { what: chain(error), hint: "see who may read the state directory".into() }
}

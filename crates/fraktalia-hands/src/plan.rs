//! Planning: what would happen, kept so that exactly that is applied.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use fraktalia_desk::{Key, Order, Plan, Planned};
use fraktalia_model::files::sha256_hex;
use serde::Deserialize;

use crate::answer::{CheckAnswer, PlanAnswer};
use crate::child::args;
use crate::journal::Past;
use crate::manifest::Writing;
use crate::record::{Record, failed, replace};
use crate::{Hands, file_name};

/// More plans than this are not kept; the oldest go.
const KEPT: usize = 300;
/// Columns of what is shown: more do not fit on a phone that is held upright, nor beside a list of rooms.
const WIDTH: &str = "60";
/// More things than this are not named one by one on a command line.
const NAMED: usize = 400;

/// How something stands, as `status --format json` has it.
#[derive(Deserialize)]
struct Status {
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    id: String,
    standing: String,
}

impl Hands {
    /// Says what would happen. Nothing of the operator's is changed, the tree of the manifest included.
    pub async fn plan(&self, key: &Key, order: &Order) -> Planned {
        let planned = match order {
            Order::Add { name, fragment } => self.plan_add(key, name, fragment).await,
            Order::Remove { name } => self.plan_remove(file_name_of(key), name).await,
            Order::Rollback => self.plan_rollback().await.map(Planned::Plan),
            Order::PutBack | Order::TakeIn => self.plan_drift(file_name_of(key)).await,
        };
        planned.unwrap_or_else(|why| Planned::Unable(format!("cannot {}: {why}", crate::named(order))))
    }

    async fn plan_add(&self, key: &Key, name: &str, fragment: &str) -> Result<Planned, String> {
        let name = crate::manifest::checked(name)?;
        let writing = self.writing()?;
        let place = writing.dir.join(format!("{name}.yaml"));
        if place.symlink_metadata().is_ok() {
            return Err(format!("{} is there already; choose another name", place.display()));
        }
        let path = writing.below.join(format!("{name}.yaml"));
        let file = self.dir.join("plans").join(format!("{}.yaml", file_name(key)?));
        replace(&file, fragment.as_bytes()).map_err(|error| failed("write", &file, &error))?;
        let mut with = OsString::from(format!("--with={}=", path.display()));
        with.push(&file);
        let planned = self.planned(file_name(key)?, &[with.clone()]).await;
        let planned = match planned {
            Err(Failed::Manifest(reason)) => self.findings(&path, with, reason).await,
            Err(Failed::Other(reason)) => Err(reason),
            Ok(mut plan) => {
                let costs = self.costs(name, &writing, fragment);
                plan.summary = [vec![std::mem::take(&mut plan.summary)], costs].concat().join("; ");
                Ok(Planned::Plan(plan))
            }
        };
        let _ = std::fs::remove_file(&file);
        planned
    }

    /// What a fractal takes while it is there, with all defaults.
    fn costs(&self, name: &str, writing: &Writing, fragment: &str) -> Vec<String> {
        let texts = BTreeMap::from([(writing.dir.join(format!("{name}.yaml")), fragment.to_owned())]);
        let Some(manifest) = fraktalia_engine::load::load_as_if(&self.manifest, &texts).manifest else {
            return Vec::new();
        };
        let Some(fractal) = manifest.fractals.get(name) else { return Vec::new() };
        let model = fractal.model.as_ref().map(|model| format!("model {}", model.primary));
        let sandbox = fractal.sandbox.as_ref().and_then(|key| Some((key, manifest.sandboxes.get(key)?)));
        let sandbox = sandbox.map(|(key, sandbox)| {
            let memory = sandbox.memory.as_ref().map(|memory| format!("{memory} of memory"));
            let cpus = sandbox.cpus.as_ref().map(|cpus| format!("{cpus} CPUs"));
            let limits: Vec<String> = memory.into_iter().chain(cpus).collect();
            let most =
                if limits.is_empty() { "no limits".into() } else { format!("at most {}", limits.join(", ")) };
            format!("containers of `{key}` with {most}")
        });
        model.into_iter().chain(sandbox).collect()
    }

    /// What is wrong with the manifest with that file in it.
    async fn findings(&self, path: &Path, with: OsString, reason: String) -> Result<Planned, String> {
        let mut asked = args(["check", "--format", "json"]);
        asked.push(with);
        let said = self.ask(&asked).await?;
        let answer: CheckAnswer = serde_json::from_slice(&said.data).map_err(|_| said.reason())?;
        let notes = answer.findings(&path.display().to_string());
        if notes.is_empty() { Err(reason) } else { Ok(Planned::Findings(notes)) }
    }

    /// What would put back what drifted, and nothing else.
    pub(crate) async fn plan_drift(&self, key: &str) -> Result<Planned, String> {
        let drifted = self.drifted().await?;
        let targets: Vec<OsString> = match drifted.len() {
            0 => return Ok(Planned::Plan(nothing())),
            1..=NAMED => drifted.iter().map(|id| format!("--target={id}").into()).collect(),
            _ => Vec::new(),
        };
        match self.planned(key, &targets).await {
            Ok(plan) => Ok(Planned::Plan(plan)),
            Err(Failed::Manifest(reason) | Failed::Other(reason)) => Err(reason),
        }
    }

    /// The ids of what is not any more as we left it.
    pub(crate) async fn drifted(&self) -> Result<Vec<String>, String> {
        let said = self.ask(&args(["status", "--format", "json"])).await?;
        if said.code != Some(0) {
            return Err(said.reason());
        }
        let status: Status = serde_json::from_slice(&said.data)
            .map_err(|error| format!("the answer of `fraktalia status` is not understood: {error}"))?;
        let by_hand = |resource: &Resource| matches!(resource.standing.as_str(), "drifted" | "missing");
        Ok(status.resources.into_iter().filter(by_hand).map(|resource| resource.id).collect())
    }

    /// Plans and keeps the plan under its fingerprint.
    async fn planned(&self, key: &str, more: &[OsString]) -> Result<Plan, Failed> {
        Ok(self.planned_with_answer(key, more).await?.0)
    }

    /// The same, and all that is known of it.
    pub(crate) async fn planned_with_answer(
        &self,
        key: &str,
        more: &[OsString],
    ) -> Result<(Plan, PlanAnswer), Failed> {
        let new = self.dir.join("plans").join(format!("{key}.new"));
        let mut asked = args(["plan", "--refresh", "--format", "json"]);
        asked.extend(more.iter().cloned());
        asked.extend([OsString::from("--out"), new.clone().into()]);
        let said = self.ask(&asked).await?;
        match said.code {
            Some(0) => {}
            Some(10) => return Err(Failed::Manifest(said.reason())),
            // The plan is on stdout, and says what is in the way.
            Some(11 | 15) if !said.data.is_empty() => return Err(Failed::Other(in_the_way(&said.data))),
            _ => return Err(Failed::Other(said.reason())),
        }
        let answer: PlanAnswer = serde_json::from_slice(&said.data)
            .map_err(|error| format!("the answer of `fraktalia plan` is not understood: {error}"))?;
        let place = self.kept(&answer.fingerprint)?;
        std::fs::rename(&new, &place).map_err(|error| failed("keep", &place, &error))?;
        self.prune();
        let mut asked = args(["plan", "--changes-only", "--width", WIDTH, "--from"]);
        asked.push(place.into());
        // What it is about is a file, and not what is aimed at.
        let is_file = |arg: &&OsString| arg.to_string_lossy().starts_with("--with");
        asked.extend(more.iter().filter(is_file).cloned());
        let shown = self.ask(&asked).await?;
        if shown.code != Some(0) {
            return Err(Failed::Other(shown.reason()));
        }
        let plan = Plan {
            summary: self.without_places(&answer.summary()),
            changes: self.without_places(shown.text().trim_matches('\n')),
            warnings: answer.warnings().iter().map(|warning| self.without_places(warning)).collect(),
            empty: answer.empty,
            fingerprint: answer.fingerprint.clone(),
        };
        Ok((plan, answer))
    }

    /// Where the plan with this fingerprint is kept.
    pub(crate) fn kept(&self, fingerprint: &str) -> Result<PathBuf, String> {
        let hex = !fingerprint.is_empty()
            && fingerprint.len() <= 128
            && fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !hex {
            return Err("its fingerprint is none that a plan has".into());
        }
        Ok(self.dir.join("plans").join(format!("{fingerprint}.plan")))
    }

    /// Old plans go: one that nobody approved in that time is stale.
    fn prune(&self) {
        let entries = std::fs::read_dir(self.dir.join("plans")).into_iter().flatten().flatten();
        let mut plans: Vec<_> = entries
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        plans.sort();
        for (_, path) in plans.iter().take(plans.len().saturating_sub(KEPT)) {
            let _ = std::fs::remove_file(path);
        }
    }

    /// What taking back the last run that can be would do.
    pub(crate) async fn plan_rollback(&self) -> Result<Plan, String> {
        let past = self.last_to_take_back().await?;
        let mut asked = args(["show", "--changes-only", "--width", WIDTH]);
        asked.extend([OsString::from("--"), past.run.clone().into()]);
        let shown = self.ask(&asked).await?;
        if shown.code != Some(0) {
            return Err(shown.reason());
        }
        let theirs = past.note.as_deref().and_then(crate::journal::key);
        let wrote = theirs.and_then(|key| self.record(&key).ok().flatten()).filter(Record::is_in_the_tree);
        let ours = wrote.map(|record| {
            format!("its {} is taken back as well", if record.commit { "commit" } else { "file" })
        });
        Ok(Plan {
            fingerprint: fingerprint_of(&past),
            summary: format!("takes back the run {} of {}", past.run, past.began),
            changes: format!("What this run has done is undone:\n\n{}", shown.text()),
            warnings: ours.into_iter().collect(),
            empty: false,
        })
    }

    /// The last run that can be taken back.
    pub(crate) async fn last_to_take_back(&self) -> Result<Past, String> {
        let runs = self.latest(50).await?;
        if let Some(open) = runs.last().filter(|run| run.outcome == "open") {
            return Err(format!(
                "the run {} is not finished; `fraktalia resume` or `fraktalia rollback` at a terminal goes on",
                open.run
            ));
        }
        let last = runs.into_iter().rev().find(|run| run.outcome != "rolled_back");
        match last {
            Some(past) if past.can_be_taken_back => Ok(past),
            Some(past) => Err(format!("the last run, {}, cannot be taken back ({})", past.run, past.outcome)),
            None => Err("there is no run to take back".into()),
        }
    }
}

/// Why there is no plan.
pub(crate) enum Failed {
    /// The manifest is not right.
    Manifest(String),
    /// Anything else.
    Other(String),
}

impl From<String> for Failed {
    fn from(reason: String) -> Self {
        Self::Other(reason)
    }
}

/// Changes when another run is the last one, or that one has ended otherwise.
pub fn fingerprint_of(past: &Past) -> String {
    sha256_hex(format!("rollback {} {}", past.run, past.outcome).as_bytes())
}

fn file_name_of(key: &Key) -> &str {
    file_name(key).unwrap_or("drift")
}

fn nothing() -> Plan {
    Plan {
        fingerprint: sha256_hex(b"nothing"),
        summary: "nothing to do".into(),
        changes: String::new(),
        warnings: Vec::new(),
        empty: true,
    }
}

fn in_the_way(document: &[u8]) -> String {
    let Ok(answer) = serde_json::from_slice::<PlanAnswer>(document) else {
        return "something is in the way; `fraktalia plan` says what".into();
    };
    let errors = answer.notes.iter().filter(|note| note.severity == fraktalia_model::Severity::Error);
    let texts = errors.take(5).map(|note| match &note.hint {
        Some(hint) => format!("{} ({hint})", note.text),
        None => note.text.clone(),
    });
    texts.collect::<Vec<_>>().join("; ")
}

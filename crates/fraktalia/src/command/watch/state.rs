//! How things stand, as it was told last, for those who ask: `/status`, `/metrics`, systemd.

use std::collections::{BTreeMap, BTreeSet};

use fraktalia_engine::watch::{Happening, Look, Policy};
use fraktalia_engine::{Origin, Outcome, clock};
use fraktalia_model::SystemId;
use fraktalia_plan::{Change, Verb};
use serde::Serialize;

use crate::render::plan::number;
use crate::render::status::Standing;

/// One system.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SystemState {
    /// Whether the last look could read it.
    pub up: bool,
    /// Whether its events are heard.
    pub heard: bool,
    /// Resources that somebody changed or removed by hand.
    pub drifted: usize,
    /// Resources that are to be changed for another reason.
    pub pending: usize,
}

/// A look or a run.
#[derive(Clone, Debug, Serialize)]
pub struct Last {
    /// When it ended, RFC 3339.
    pub at: String,
    /// The same, in seconds since 1970.
    pub unix: u64,
    /// How long it took.
    pub seconds: f64,
    /// How it ended.
    pub outcome: &'static str,
}

/// How often, and how long in all.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Total {
    /// How often.
    pub count: u64,
    /// How long in all.
    pub seconds: f64,
}

/// The branch that is followed.
#[derive(Clone, Debug, Serialize)]
pub struct BranchState {
    /// Where it is.
    pub url: String,
    /// Its name.
    pub branch: String,
    /// The newest commit that may be used.
    pub newest: Option<Origin>,
    /// Whether the remote answered last; `None` before it was asked.
    pub reachable: Option<bool>,
    /// A newer commit that is not used, and why.
    pub refused: Option<String>,
}

/// How things stand.
#[derive(Clone, Debug, Serialize)]
pub struct State {
    /// `report`, `safe`, `full`
    pub policy: Policy,
    /// Whether the manifest on disk can be used; `None` before it was read.
    pub manifest_good: Option<bool>,
    /// The commit that the manifest in force was read from.
    pub commit: Option<Origin>,
    /// The branch that is followed, if one is.
    pub git: Option<BranchState>,
    /// Whether everything is as the manifest says; `None` while that is not known.
    pub in_sync: Option<bool>,
    /// Whether something is in the way.
    pub blocked: bool,
    /// System by system.
    pub systems: BTreeMap<SystemId, SystemState>,
    /// The resources that are not as they should be, and how they stand.
    pub changes: BTreeMap<String, Standing>,
    /// What waits for a person.
    pub waiting: Vec<fraktalia_engine::watch::Waiting>,
    /// The run that waits for a person.
    pub unfinished: Option<String>,
    /// Why it is not tried any more.
    pub given_up: Option<String>,
    /// Why the last look failed.
    pub trouble: Option<String>,
    /// The last look.
    pub last_look: Option<Last>,
    /// The last run.
    pub last_run: Option<Last>,
    /// Looks by how they ended.
    pub looks: BTreeMap<&'static str, Total>,
    /// Runs by how they ended.
    pub runs: BTreeMap<&'static str, Total>,
    /// Looks by who woke us.
    pub wakes: BTreeMap<String, u64>,
    /// Whether something is applied right now.
    pub applying: bool,
}

impl State {
    /// Nothing is known yet.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            manifest_good: None,
            commit: None,
            git: None,
            in_sync: None,
            blocked: false,
            systems: BTreeMap::new(),
            changes: BTreeMap::new(),
            waiting: Vec::new(),
            unfinished: None,
            given_up: None,
            trouble: None,
            last_look: None,
            last_run: None,
            looks: BTreeMap::new(),
            runs: BTreeMap::new(),
            wakes: BTreeMap::new(),
            applying: false,
        }
    }

    /// Whether it does what it is there for: there is a good manifest, and the last look could see everything.
    pub fn is_ready(&self) -> bool {
        self.in_sync.is_some() && self.trouble.is_none()
    }

    /// Takes notice.
    pub fn hear(&mut self, happening: &Happening<'_>) {
        match happening {
            Happening::Heard(system) => self.system(system).heard = true,
            Happening::Deaf { system, .. } => self.system(system).heard = false,
            Happening::Commit { .. } | Happening::Remote { .. } | Happening::Refused { .. } => {
                self.branch(happening);
            }
            Happening::BadManifest { .. } => self.manifest_good = Some(false),
            Happening::GoodManifest => self.manifest_good = Some(true),
            Happening::Looked(look) => self.looked(look),
            Happening::Failed { why, systems, causes, .. } => {
                self.trouble = Some((*why).to_owned());
                self.in_sync = None;
                for system in systems {
                    self.system(system).up = false;
                }
                self.woken(causes);
                self.looks.entry("failed").or_default().count += 1;
            }
            Happening::Unfinished { run, waits } => {
                self.unfinished = waits.map(|_| (*run).to_owned());
            }
            Happening::Applying { .. } => self.applying = true,
            Happening::Ended { ended, took, .. } => {
                self.applying = false;
                let outcome = outcome(ended.outcome.as_ref());
                let total = self.runs.entry(outcome).or_default();
                total.count += 1;
                total.seconds += took.as_secs_f64();
                self.last_run = Some(last(took.as_secs_f64(), outcome));
                self.unfinished = ended.outcome.is_none().then(|| ended.run.clone());
            }
            Happening::GaveUp { why, .. } => self.given_up = Some((*why).to_owned()),
            Happening::Began { .. }
            | Happening::Notifying { .. }
            | Happening::Locked { .. }
            | Happening::Run(_)
            | Happening::Ending => {}
        }
    }

    fn branch(&mut self, happening: &Happening<'_>) {
        let Some(git) = &mut self.git else { return };
        match happening {
            Happening::Commit { origin, .. } => {
                git.newest = Some((*origin).clone());
                (git.reachable, git.refused) = (Some(true), None);
            }
            Happening::Remote { lost, .. } => git.reachable = Some(lost.is_none()),
            Happening::Refused { commit, why, .. } => {
                git.reachable = Some(true);
                git.refused = Some(format!("{commit}: {why}"));
            }
            _ => {}
        }
    }

    fn system(&mut self, system: &SystemId) -> &mut SystemState {
        self.systems.entry(system.clone()).or_default()
    }

    fn woken(&mut self, causes: &BTreeSet<fraktalia_engine::watch::Cause>) {
        let who: BTreeSet<&str> = causes.iter().map(|cause| cause.who.as_str()).collect();
        for who in who {
            *self.wakes.entry(who.to_owned()).or_default() += 1;
        }
    }

    fn looked(&mut self, look: &Look<'_>) {
        let plan = &look.planned.plan;
        self.commit = look.session.origin();
        let changes: Vec<&Change> = plan.changes.iter().filter(|change| change.verb != Verb::Keep).collect();
        let old = std::mem::take(&mut self.systems);
        for (system, how) in &look.planned.looks {
            // A host that nothing is asked of is none.
            if how.how == "not asked" {
                continue;
            }
            let heard = old.get(system).is_some_and(|state| state.heard);
            self.systems.insert(system.clone(), SystemState { up: true, heard, ..SystemState::default() });
        }
        self.changes.clear();
        for change in &changes {
            let standing = Standing::of(change, look.planned.records.contains_key(&change.id));
            let system = self.system(&change.id.system);
            match standing {
                Standing::Drifted | Standing::Missing => system.drifted += 1,
                _ => system.pending += 1,
            }
            self.changes.insert(change.id.to_string(), standing);
        }
        self.blocked = plan.is_blocked();
        let in_sync = changes.is_empty() && !self.blocked;
        (self.manifest_good, self.trouble) = (self.manifest_good.or(Some(true)), None);
        self.in_sync = Some(in_sync);
        self.waiting = look.waiting.to_vec();
        if look.news {
            self.given_up = None;
        }
        self.woken(look.causes);
        let outcome = match (in_sync, self.blocked) {
            (true, _) => "in_sync",
            (false, true) => "blocked",
            (false, false) => "changes",
        };
        let total = self.looks.entry(outcome).or_default();
        total.count += 1;
        total.seconds += look.took.as_secs_f64();
        self.last_look = Some(last(look.took.as_secs_f64(), outcome));
    }

    /// In one sentence, as `systemctl status` shows it.
    pub fn sentence(&self) -> String {
        if self.applying {
            return "applying a plan".into();
        }
        let bad = if self.manifest_good == Some(false) { "; the newest manifest has errors" } else { "" };
        let run =
            self.unfinished.as_ref().map_or_else(String::new, |run| format!("; run {run} is not finished"));
        let given_up = if self.given_up.is_some() { "; given up" } else { "" };
        let sync = match (&self.trouble, self.in_sync) {
            (Some(why), _) => format!("cannot look: {why}"),
            (None, None) => "nothing is known yet".into(),
            (None, Some(true)) => "in sync".into(),
            (None, Some(false)) if self.blocked => "blocked: the log says by what".into(),
            (None, Some(false)) => format!("not in sync: {}", number(self.changes.len(), "change")),
        };
        let at = self.commit.as_ref().map_or_else(String::new, |commit| format!(" at {commit}"));
        let lost = match &self.git {
            Some(git) if git.reachable == Some(false) => "; the remote does not answer",
            Some(git) if git.refused.is_some() => "; a newer commit is refused",
            _ => "",
        };
        let sentence = format!("{sync}{at}{bad}{lost}{run}{given_up}");
        // It comes from outside in part, and is one line of a protocol.
        sentence.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect()
    }
}

fn last(seconds: f64, outcome: &'static str) -> Last {
    Last { at: clock::now(), unix: clock::unix(), seconds, outcome }
}

fn outcome(outcome: Option<&Outcome>) -> &'static str {
    match outcome {
        Some(Outcome::Applied) => "applied",
        Some(Outcome::NotConverged) => "not_converged",
        Some(Outcome::RolledBack { .. }) => "rolled_back",
        Some(Outcome::Incomplete { .. }) => "incomplete",
        Some(Outcome::Superseded) => "superseded",
        None => "open",
    }
}

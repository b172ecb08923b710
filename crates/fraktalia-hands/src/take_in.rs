//! The manifest takes in what drifted, by `fraktalia adopt`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use fraktalia_desk::{Outcome, Planned};
use fraktalia_engine::watch::files::Target;

use crate::child::args;
use crate::manifest::Writing;
use crate::record::Record;
use crate::repository::{Done, Repository};
use crate::run::Doing;
use crate::{Hands, NO_RUN, write};

/// Largest file of a manifest.
const FILE: u64 = 8 << 20;

impl Doing<'_> {
    pub(crate) async fn take_in(&self, progress: &mut (dyn FnMut(String) + Send)) -> Result<Outcome, String> {
        let hands = self.hands;
        let writing = hands.writing()?;
        if let Some(record) = hands.record(self.key)? {
            if writing.commit
                && let Some(Done::Committed(commit)) =
                    Repository::of(&writing.dir, &writing.server).await?.done(self.key).await?
            {
                // Only the push may be missing.
                let commit = hands.commit(self.key, &[], "", &writing).await?.unwrap_or(commit);
                return Ok(Outcome::Applied { run: NO_RUN.into(), commit: Some(commit) });
            }
            // It died before: from the start.
            for (path, text) in &record.before {
                put(path, text).map_err(|error| crate::record::failed("restore", path, &error))?;
            }
        }
        if !self.is_still_the_drift().await? {
            return Ok(Outcome::Stale);
        }
        let before = hands.texts()?;
        self.refuse_dirty(&before, &writing).await?;
        let record = Record {
            before: before.clone(),
            commit: writing.commit,
            push: writing.push,
            ..Record::default()
        };
        hands.keep(self.key, &record)?;
        hands.step("recorded");
        let refused = self.adopt(progress).await?;
        hands.step("written");
        let now = hands.texts()?;
        let changed: BTreeSet<PathBuf> = now
            .iter()
            .filter(|(path, text)| before.get(*path) != Some(text))
            .map(|(path, _)| path.clone())
            .collect();
        if changed.is_empty() {
            return Err(format!("nothing of it can be taken in: {}", refused.join("; ")));
        }
        let record = Record {
            before: before.into_iter().filter(|(path, _)| changed.contains(path)).collect(),
            ..record
        };
        hands.keep(self.key, &record)?;
        let changed: Vec<PathBuf> = changed.into_iter().collect();
        let message = write::message("Take in what drifted", self.key, self.credits);
        let commit = match hands.commit(self.key, &changed, &message, &writing).await {
            Ok(commit) => commit,
            Err(reason) => {
                let outcome = Outcome::RolledBack { run: None, reason };
                return Ok(self.without_traces(outcome).await);
            }
        };
        self.left(refused, commit).await
    }

    /// What an operator has not committed yet would become a part of our commit.
    async fn refuse_dirty(&self, files: &BTreeMap<PathBuf, String>, writing: &Writing) -> Result<(), String> {
        if !writing.commit {
            return Ok(());
        }
        let repository = Repository::of(&writing.dir, &writing.server).await?;
        for path in files.keys() {
            if repository.is_dirty(path).await? {
                let path = path.display();
                return Err(format!("{path} has changes that were not committed; commit them first"));
            }
        }
        Ok(())
    }

    /// Each on its own, so that one that cannot be taken in does not keep the others out. Says which, and why.
    async fn adopt(&self, progress: &mut (dyn FnMut(String) + Send)) -> Result<Vec<String>, String> {
        let mut refused = Vec::new();
        for id in self.hands.drifted().await? {
            progress(format!("taking in {id}"));
            let mut asked = args(["adopt", "--write"]);
            asked.extend([OsString::from("--"), id.clone().into()]);
            let said = self.hands.ask(&asked).await?;
            if said.code != Some(0) {
                refused.push(format!("{id}: {}", said.reason()));
            }
        }
        Ok(refused)
    }

    /// Looks again: what was taken in is no drift any more.
    async fn left(&self, refused: Vec<String>, commit: Option<String>) -> Result<Outcome, String> {
        let left = match self.hands.plan_drift("take-in").await? {
            Planned::Plan(plan) if plan.empty => {
                return Ok(Outcome::Applied { run: NO_RUN.into(), commit });
            }
            Planned::Plan(plan) => plan.summary,
            Planned::Findings(_) | Planned::Unable(_) => "it cannot be planned".into(),
        };
        // All of it was approved, and a part is something else.
        let reason = match refused.join("; ") {
            why if why.is_empty() => format!("drift is left all the same: {left}"),
            why => format!("not all of it can be taken in: {why}"),
        };
        Ok(self.without_traces(Outcome::RolledBack { run: None, reason }).await)
    }
}

impl Hands {
    /// The files of the manifest, and what they say.
    fn texts(&self) -> Result<BTreeMap<PathBuf, String>, String> {
        let (loaded, read) = fraktalia_engine::load::load_with_targets(&self.manifest);
        let mut texts = BTreeMap::new();
        for target in read {
            if let Target::Path(path) = target
                && loaded.sources.text(&path).is_some()
            {
                let text = text(&path).map_err(|error| crate::record::failed("read", &path, &error))?;
                texts.insert(path, text);
            }
        }
        Ok(texts)
    }
}

fn text(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(FILE).read_to_string(&mut text)?;
    Ok(text)
}

/// Writes a file anew, where it is not so already; its mode and owner stay.
pub fn put(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file =
        std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    let mut now = String::new();
    (&mut file).take(FILE).read_to_string(&mut now)?;
    if now == text {
        return Ok(());
    }
    file.rewind()?;
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)?;
    file.sync_all()
}

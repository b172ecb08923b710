//! Looks at the workspaces.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use fraktalia_engine::StatePaths;
use fraktalia_model::manifest::{KeepFile, OnRemove};
use fraktalia_model::{Note, ResourceId};
use fraktalia_plan::{Observed, Owner, Record, Seen};

use crate::diff;
use crate::error::HostError;
use crate::host::{Dir, Node, Outside};
use crate::made;
use crate::spec::{FileSpec, Spec};
use crate::state::State;

/// What our record says of a resource.
pub struct Recorded {
    /// What was asked for last; `None` when this version cannot read it.
    spec: Option<Spec>,
    on_remove: OnRemove,
}

impl Recorded {
    /// What a record says.
    pub fn of(record: &Record) -> Self {
        Self { spec: record.spec.read(), on_remove: record.on_remove }
    }
}

/// Looks at all that is wanted or on record. Never fails as a whole: what cannot be read makes it incomplete.
pub fn observe(
    wanted: Vec<(ResourceId, Spec)>,
    owned: &BTreeMap<ResourceId, Recorded>,
    paths: &StatePaths,
) -> Observed<State> {
    let mut look = Look { observed: Observed::default(), open: None, owned };
    let named: HashSet<&ResourceId> = wanted.iter().map(|(id, _)| id).collect();
    for (id, record) in owned.iter().filter(|(id, _)| !named.contains(id)) {
        if let Some(spec) = &record.spec {
            look.at(id.clone(), spec, Asked::Left);
            look.spare_what_others_made(id, spec, record, paths);
        }
    }
    for (id, spec) in wanted {
        look.at(id, &spec, Asked::Wanted);
    }
    look.observed
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// The manifest names it.
    Wanted,
    /// It left the manifest.
    Left,
}

struct Look<'a> {
    observed: Observed<State>,
    /// The workspace that was looked at last. Those of all fractals at once would be more open files than a process may
    /// have.
    open: Option<(PathBuf, Option<Dir>)>,
    owned: &'a BTreeMap<ResourceId, Recorded>,
}

impl Look<'_> {
    fn at(&mut self, id: ResourceId, spec: &Spec, asked: Asked) {
        let seen = match spec {
            Spec::Tree(tree) => self.tree(&tree.path),
            Spec::File(file) => self.file(&id, file, asked),
        };
        match seen {
            Ok(None) => {}
            Ok(Some(state)) => {
                let owner = self.owner(&id, spec, &state);
                self.observed.found.insert(id, Seen { state, owner });
            }
            Err(HostError::Odd { path, what }) => {
                let state = State::Odd { path, what };
                self.observed.found.insert(id, Seen { state, owner: Owner::Unmarked });
            }
            Err(error) => self.unreadable(&id, &error),
        }
    }

    fn tree(&mut self, path: &Path) -> Result<Option<State>, HostError> {
        let Some(dir) = self.open(path)? else {
            return Ok(None);
        };
        Ok(Some(State::Tree { path: path.into(), access: dir.access()? }))
    }

    fn file(&mut self, id: &ResourceId, file: &FileSpec, asked: Asked) -> Result<Option<State>, HostError> {
        let seeded = self.was_seeded(id, file);
        let Some(dir) = self.open(&file.tree)? else {
            return Ok(None);
        };
        let path = file.tree.join(file.path.as_str());
        // The content of a file that is written once is the agent's own: nothing is read to compare it.
        let found = match file.keep {
            KeepFile::Sync => dir.look(&file.path)?.map(|node| match node {
                Node::File { sha256, access } => {
                    State::File { path: path.clone(), sha256: Some(sha256), access }
                }
                Node::Directory { .. } => State::Odd { path: path.clone(), what: "a directory".into() },
                Node::Odd { what } => State::Odd { path: path.clone(), what },
            }),
            KeepFile::Seed => dir.look_outside(&file.path)?.map(|outside| match outside {
                Outside::File { access } => State::File { path: path.clone(), sha256: None, access },
                Outside::Directory => State::Odd { path: path.clone(), what: "a directory".into() },
                Outside::Odd { what } => State::Odd { path: path.clone(), what },
            }),
        };
        Ok(match found {
            Some(state) => Some(state),
            // Written once and taken away since: that is the agent's right. Not so if the whole workspace is new.
            None if seeded && asked == Asked::Wanted => Some(State::GivenUp { path }),
            None => None,
        })
    }

    fn was_seeded(&self, id: &ResourceId, file: &FileSpec) -> bool {
        match self.owned.get(id).and_then(|record| record.spec.as_ref()) {
            Some(Spec::File(last)) => file.keep == KeepFile::Seed && last.tree == file.tree,
            _ => false,
        }
    }

    fn open(&mut self, path: &Path) -> Result<Option<&Dir>, HostError> {
        if self.open.as_ref().is_none_or(|(open, _)| open != path) {
            self.open = Some((path.into(), Dir::open(path)?));
        }
        Ok(self.open.as_ref().and_then(|(_, dir)| dir.as_ref()))
    }

    /// The manifest names the workspace, so mode and owner of the directory and of seeded files are ours to set.
    /// The content of a file that somebody else wrote is not.
    fn owner(&self, id: &ResourceId, spec: &Spec, state: &State) -> Owner {
        let ours = match (spec, state) {
            _ if self.owned.contains_key(id) => true,
            (_, State::Odd { .. }) => false,
            (Spec::File(file), State::File { sha256, .. }) => {
                let content_is_ours = sha256.as_ref().is_none_or(|found| *found == file.sha256);
                content_is_ours && !diff::diff(spec, state, None).is_empty()
            }
            // As wanted already: adopted in so many words.
            _ => !diff::diff(spec, state, None).is_empty(),
        };
        if ours { Owner::Ours } else { Owner::Unmarked }
    }

    /// A workspace that we did not make is never deleted, whatever the manifest said about it.
    fn spare_what_others_made(
        &mut self,
        id: &ResourceId,
        spec: &Spec,
        record: &Recorded,
        paths: &StatePaths,
    ) {
        let Spec::Tree(tree) = spec else { return };
        let Some(seen) = self.observed.found.get_mut(id) else {
            return;
        };
        if record.on_remove != OnRemove::Purge || made::is_ours(paths, &id.name, &tree.path) {
            return;
        }
        seen.owner = Owner::Foreign("a directory that fraktalia did not make".into());
        let path = tree.path.display();
        let text = format!("{path} was there before fraktalia, so it stays although `purge` was asked for");
        let note = Note::warning("workspace.not-made-by-us", text).about(id);
        self.observed.notes.push(note.hint("delete it by hand if nobody needs it any more"));
    }

    fn unreadable(&mut self, id: &ResourceId, error: &HostError) {
        self.observed.complete = false;
        let note = Note::error("workspace.unreadable", error.to_string()).about(id);
        self.observed.notes.push(match error.hint() {
            Some(hint) => note.hint(hint),
            None => note,
        });
    }
}

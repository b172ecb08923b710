//! Looks at the workspaces.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fraktalia_engine::StatePaths;
use fraktalia_model::manifest::{KeepFile, OnRemove};
use fraktalia_model::{Note, ResourceId};
use fraktalia_plan::{Observed, Owner, Record, Resource, Seen};

use crate::diff;
use crate::error::HostError;
use crate::host::{Dir, Node};
use crate::made;
use crate::spec::{FileSpec, Spec};
use crate::state::State;

/// Looks at all that is wanted or on record. Never fails as a whole: what cannot be read makes it incomplete.
pub fn observe(
    wanted: &[Resource<Spec>],
    owned: &BTreeMap<ResourceId, Record>,
    paths: &StatePaths,
) -> Observed<State> {
    let mut look = Look { observed: Observed::default(), open: BTreeMap::new(), owned };
    for resource in wanted {
        look.at(&resource.id, &resource.spec, Asked::Wanted);
    }
    for (id, record) in owned {
        if wanted.iter().any(|resource| &resource.id == id) {
            continue;
        }
        if let Ok(spec) = serde_json::from_value::<Spec>(record.spec.clone()) {
            look.at(id, &spec, Asked::Left);
            look.spare_what_others_made(id, &spec, record, paths);
        }
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
    open: BTreeMap<PathBuf, Option<Dir>>,
    owned: &'a BTreeMap<ResourceId, Record>,
}

impl Look<'_> {
    fn at(&mut self, id: &ResourceId, spec: &Spec, asked: Asked) {
        let seen = match spec {
            Spec::Tree(tree) => self.tree(&tree.path),
            Spec::File(file) => self.file(id, file, asked),
        };
        match seen {
            Ok(None) => {}
            Ok(Some(state)) => {
                let owner = self.owner(id, spec, &state);
                self.observed.found.insert(id.clone(), Seen { state, owner });
            }
            Err(HostError::Odd { path, what }) => {
                let state = State::Odd { path, what };
                self.observed.found.insert(id.clone(), Seen { state, owner: Owner::Unmarked });
            }
            Err(error) => self.unreadable(id, &error),
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
        Ok(match dir.look(&file.path)? {
            Some(Node::File { sha256, access }) => {
                let sha256 = (file.keep == KeepFile::Sync).then_some(sha256);
                Some(State::File { path, sha256, access })
            }
            Some(Node::Directory { .. }) => Some(State::Odd { path, what: "a directory".into() }),
            Some(Node::Odd { what }) => Some(State::Odd { path, what }),
            // Written once and taken away since: that is the agent's right. Not so if the whole workspace is new.
            None if seeded && asked == Asked::Wanted => Some(State::GivenUp { path }),
            None => None,
        })
    }

    fn was_seeded(&self, id: &ResourceId, file: &FileSpec) -> bool {
        let recorded = self.owned.get(id).and_then(|r| serde_json::from_value::<Spec>(r.spec.clone()).ok());
        match recorded {
            Some(Spec::File(last)) => file.keep == KeepFile::Seed && last.tree == file.tree,
            _ => false,
        }
    }

    fn open(&mut self, path: &Path) -> Result<Option<&Dir>, HostError> {
        if !self.open.contains_key(path) {
            let dir = Dir::open(path)?;
            self.open.insert(path.into(), dir);
        }
        Ok(self.open.get(path).and_then(Option::as_ref))
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
    fn spare_what_others_made(&mut self, id: &ResourceId, spec: &Spec, record: &Record, paths: &StatePaths) {
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

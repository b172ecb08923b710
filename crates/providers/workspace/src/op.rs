//! What can be done to a workspace, and doing it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fraktalia_engine::{Remark, StatePaths, StepCx, StepError};
use fraktalia_model::ResourceId;
use fraktalia_model::manifest::Owner;
use fraktalia_plan::{Impact, StepDraft, Verb, Work};
use serde::{Deserialize, Serialize};

use crate::error::HostError;
use crate::host::{Access, Content, Dir, Node, RelPath, missing, sha256};
use crate::spec::{DIR_MODE, FileSpec, Spec, TreeSpec};
use crate::state::State;
use crate::system::Workspaces;
use crate::{host, made};

/// One effect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Makes or changes a workspace and files in it.
    Write(Write),
    /// Deletes a workspace that we made, with all that is in it.
    Purge {
        /// Whose.
        fractal: String,
        /// Where.
        path: PathBuf,
    },
}

/// Makes or changes a workspace and files in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Write {
    /// Whose workspace.
    pub fractal: String,
    /// Where it is.
    pub path: PathBuf,
    /// What happens to the directory itself.
    pub tree: TreeWrite,
    /// What happens to files in it, in order.
    pub files: Vec<FileWrite>,
    /// Owner of directories that have to be made for the files; this process when absent.
    pub owner: Option<Owner>,
}

/// What happens to the directory itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TreeWrite {
    /// Nothing; it has to be there.
    Keep,
    /// It is made.
    Make {
        /// Permission bits.
        mode: u32,
    },
    /// It gets this mode, and the owner of [`Write::owner`].
    Set {
        /// Permission bits.
        mode: u32,
    },
}

/// What happens to one file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileWrite {
    /// Path inside the workspace.
    pub path: RelPath,
    /// What has to be there before.
    pub was: Was,
    /// The content to write; `None` leaves it as it is.
    pub text: Option<String>,
    /// The owner to give; unchanged when absent.
    pub owner: Option<Owner>,
    /// The permission bits to give.
    pub mode: u32,
}

/// What has to be there before a file is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Was {
    /// Nothing.
    Missing,
    /// A regular file of any content, which stays.
    Any,
    /// A regular file of this content: SHA-256, hex.
    Exactly(String),
}

impl Was {
    /// The one content that is allowed.
    pub fn hash(&self) -> Option<&str> {
        match self {
            Self::Exactly(hash) => Some(hash),
            Self::Missing | Self::Any => None,
        }
    }
}

impl FileWrite {
    /// SHA-256 of the content that is written, if any is.
    pub fn written(&self) -> Option<String> {
        self.text.as_ref().map(|text| sha256(text.as_bytes()))
    }

    /// Whether `node` is what this leaves behind.
    pub fn is_done(&self, node: Option<&Node>) -> bool {
        let Some(Node::File { sha256, access }) = node else { return false };
        self.written().is_none_or(|written| written == *sha256) && self.fits(*access)
    }

    /// Whether mode and owner are as this leaves them.
    pub fn fits(&self, access: Access) -> bool {
        access.mode == self.mode && self.owner.is_none_or(|owner| owner == access.owner)
    }
}

/// One step for each workspace: half a workspace is of no use, and is taken back as a whole.
pub fn steps(work: &[Work<'_, Workspaces>]) -> Vec<StepDraft<Op>> {
    let mut writes: BTreeMap<PathBuf, Draft> = BTreeMap::new();
    let mut steps = Vec::new();
    for item in work {
        match (item.verb, item.want.map(|want| &want.spec), item.have.map(|have| &have.state)) {
            (Verb::Delete, _, Some(State::Tree { path, .. })) => steps.push(purge(item.id, path)),
            (Verb::Create | Verb::Update | Verb::Replace, Some(spec), have) => {
                writes.entry(spec.tree().clone()).or_default().add(item, spec, have);
            }
            _ => {}
        }
    }
    steps.extend(writes.into_iter().filter_map(|(path, draft)| draft.step(path)));
    steps
}

fn purge(id: &ResourceId, path: &Path) -> StepDraft<Op> {
    StepDraft {
        realises: vec![id.clone()],
        op: Op::Purge { fractal: id.name.to_string(), path: path.into() },
        impact: Impact::Irreversible(format!(
            "deletes {} and all that the agent wrote there",
            path.display()
        )),
        title: format!("delete workspace {}", id.name),
    }
}

#[derive(Default)]
struct Draft {
    fractal: String,
    owner: Option<Owner>,
    realises: Vec<ResourceId>,
    tree: Option<TreeWrite>,
    files: Vec<FileWrite>,
}

impl Draft {
    fn add(&mut self, item: &Work<'_, Workspaces>, spec: &Spec, have: Option<&State>) {
        self.realises.push(item.id.clone());
        self.fractal = item.want.map(|want| want.subject.clone()).unwrap_or_default();
        match spec {
            Spec::Tree(TreeSpec { owner, mode, .. }) => {
                self.owner = *owner;
                let mode = *mode;
                self.tree =
                    Some(if have.is_some() { TreeWrite::Set { mode } } else { TreeWrite::Make { mode } });
            }
            Spec::File(file) => {
                self.owner = file.owner;
                self.files.push(write(file, have, item.fields.iter().any(|field| field.field == "content")));
            }
        }
    }

    fn step(self, path: PathBuf) -> Option<StepDraft<Op>> {
        let Self { fractal, owner, realises, tree, files } = self;
        let what = match (&tree, files.len()) {
            (Some(TreeWrite::Make { .. }), count) => format!("make workspace {fractal} with {count} files"),
            (_, 0) => format!("set mode and owner of workspace {fractal}"),
            (_, 1) => format!("write {} in workspace {fractal}", files.first()?.path),
            (_, count) => format!("write {count} files in workspace {fractal}"),
        };
        let tree = tree.unwrap_or(TreeWrite::Keep);
        Some(StepDraft {
            realises,
            op: Op::Write(Write { fractal, path, tree, files, owner }),
            impact: Impact::Quiet,
            title: what,
        })
    }
}

fn write(spec: &FileSpec, have: Option<&State>, content_differs: bool) -> FileWrite {
    let was = match have {
        Some(State::File { sha256: Some(hash), .. }) => Was::Exactly(hash.clone()),
        Some(State::File { .. }) => Was::Any,
        _ => Was::Missing,
    };
    let text = if was == Was::Missing || content_differs { spec.text.clone() } else { None };
    FileWrite { path: spec.path.clone(), was, text, owner: spec.owner, mode: spec.mode }
}

/// What a step needs to know of the run it is part of, in a form that can go to another thread.
#[derive(Clone)]
pub struct Run {
    id: String,
    paths: StatePaths,
    remarks: Arc<dyn Fn(Remark) + Send + Sync>,
}

impl Run {
    /// Of the step at hand.
    pub fn of(cx: &StepCx<'_>) -> Self {
        Self { id: cx.run.into(), paths: cx.paths.clone(), remarks: Arc::clone(&cx.remarks) }
    }

    /// Goes into the names of temporary files.
    pub fn token(&self) -> &str {
        &self.id
    }

    /// Our own files.
    pub fn paths(&self) -> &StatePaths {
        &self.paths
    }

    /// Tells of something that stays though the step is taken back.
    pub fn leave(&self, what: String) {
        (self.remarks)(Remark::Stays(what));
    }
}

/// Has the effect. What is done already is not done again.
pub fn perform(op: &Op, run: &Run) -> Result<(), StepError> {
    match op {
        Op::Write(write) => {
            let mut touched = false;
            write_all(write, run, &mut touched).map_err(|error| failed(error, touched))
        }
        Op::Purge { fractal, path } => delete(fractal, path, run),
    }
}

/// A failure after the first effect is not a refusal, which would promise that nothing changed.
fn failed(error: HostError, touched: bool) -> StepError {
    if !touched {
        return error.into();
    }
    let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
    StepError::in_doubt(format!("{error}{hint}"))
}

fn write_all(write: &Write, run: &Run, touched: &mut bool) -> Result<(), HostError> {
    let dir = open_tree(write, run, touched)?;
    for file in &write.files {
        let now = dir.look(&file.path)?;
        if file.is_done(now.as_ref()) {
            continue;
        }
        for above in file.path.ancestors() {
            if dir.look(&above)?.is_none() {
                dir.make_inside(&above, DIR_MODE, write.owner)?;
                *touched = true;
            }
        }
        let Some(text) = &file.text else {
            dir.set_access(&file.path, file.mode, file.owner)?;
            *touched = true;
            continue;
        };
        // A retry after a crash finds the content in place, and only mode or owner missing.
        let old = match &now {
            Some(Node::File { sha256, .. }) if Some(sha256) == file.written().as_ref() => {
                Some(sha256.as_str())
            }
            _ => file.was.hash(),
        };
        let content = Content { bytes: text.as_bytes(), mode: file.mode, owner: file.owner };
        dir.put(&file.path, old, content, run.token())?;
        *touched = true;
    }
    Ok(())
}

fn open_tree(write: &Write, run: &Run, touched: &mut bool) -> Result<Dir, HostError> {
    let path = &write.path;
    match write.tree {
        TreeWrite::Keep | TreeWrite::Set { .. } => {
            let dir = Dir::open(path)?.ok_or_else(|| HostError::changed(path, "disappeared"))?;
            if let TreeWrite::Set { mode } = write.tree {
                dir.set_own_access(mode, write.owner)?;
                *touched = true;
            }
            Ok(dir)
        }
        TreeWrite::Make { mode } => make_tree(write, mode, run, touched),
    }
}

fn make_tree(write: &Write, mode: u32, run: &Run, touched: &mut bool) -> Result<Dir, HostError> {
    let path = &write.path;
    if let Some(dir) = Dir::open(path)? {
        // A second try of ours; anybody else's directory was not there when the plan was made.
        if !made::is_ours(run.paths(), &write.fractal, path) {
            return Err(HostError::changed(path, "appeared"));
        }
        *touched = true;
        dir.set_own_access(mode, write.owner)?;
        return Ok(dir);
    }
    for above in missing(path).iter().filter(|dir| *dir != path) {
        match std::fs::create_dir(above) {
            Err(cause) if cause.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(HostError::io("make directory", above, cause));
            }
            _ => *touched = true,
        }
    }
    let dir = Dir::make(path, mode, write.owner, run.token(), |inode| {
        made::note(run.paths(), &write.fractal, path, inode, run.token())
            .map_err(|cause| HostError::io("remember the making of", path, cause))
    })?;
    *touched = true;
    Ok(dir)
}

fn delete(fractal: &str, path: &Path, run: &Run) -> Result<(), StepError> {
    if missing(path).last().is_some_and(|gone| gone == path) {
        made::forget(run.paths(), fractal);
        return Ok(());
    }
    if !made::is_ours(run.paths(), fractal, path) {
        let text = format!("{} is not the directory that fraktalia made, and is left alone", path.display());
        return Err(StepError::refused(text).with_hint("delete it by hand if nobody needs it any more"));
    }
    host::purge(path).map_err(|error| failed(error, true))?;
    made::forget(run.paths(), fractal);
    Ok(())
}

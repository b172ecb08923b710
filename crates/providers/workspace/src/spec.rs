//! What is asked of a workspace.

use std::collections::BTreeMap;
use std::path::PathBuf;

use fraktalia_model::manifest::{Fractal, KeepFile, MemberRole, OnRemove, Owner, SandboxMode, WorkspaceFile};
use fraktalia_model::{Manifest, Note, Notes, ResourceId, Span, id};
use fraktalia_plan::Resource;
use serde::{Deserialize, Serialize};

use crate::host::{RelPath, sha256};
use crate::persona::{self, About, Hears, Person, Runs};

/// Mode of a workspace and of the directories that are made in it.
pub const DIR_MODE: u32 = 0o775;
/// Mode of a generated file.
pub const FILE_MODE: u32 = 0o664;

/// One resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spec {
    /// The directory.
    Tree(TreeSpec),
    /// A file in it.
    File(FileSpec),
}

/// The directory of a workspace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TreeSpec {
    /// Absolute path.
    pub path: PathBuf,
    /// Who is to own it; not managed when absent.
    pub owner: Option<Owner>,
    /// Permission bits.
    pub mode: u32,
    /// How many files are asked for, to show.
    pub files: usize,
}

/// A file of a workspace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileSpec {
    /// Absolute path of the workspace.
    pub tree: PathBuf,
    /// Path inside.
    pub path: RelPath,
    /// SHA-256 of the text, hex.
    pub sha256: String,
    /// The text. Absent in our record, which only has to tell whether it changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Written once, or kept as it is here.
    pub keep: KeepFile,
    /// Who is to own it; not managed when absent.
    pub owner: Option<Owner>,
    /// Permission bits.
    pub mode: u32,
}

impl fraktalia_plan::Spec for Spec {}

impl Spec {
    /// The directory that it is, or is in.
    pub fn tree(&self) -> &PathBuf {
        match self {
            Self::Tree(tree) => &tree.path,
            Self::File(file) => &file.tree,
        }
    }
}

/// The resources of all workspaces.
///
/// # Errors
/// A note for each path that leads out of its workspace.
pub fn lower(manifest: &Manifest) -> Result<Vec<Resource<Spec>>, Notes> {
    let mut resources = Vec::new();
    let mut notes = Notes::new();
    for fractal in manifest.fractals.values().filter(|fractal| is_managed(fractal)) {
        match files(manifest, fractal) {
            Ok(files) => resources.extend(workspace(fractal, files)),
            Err(bad) => notes.extend(bad),
        }
    }
    if notes.is_empty() { Ok(resources) } else { Err(notes) }
}

/// Whether the manifest says anything of the workspace itself.
pub(crate) fn is_managed(fractal: &Fractal) -> bool {
    let workspace = &fractal.workspace;
    fractal.managed.files || !workspace.files.is_empty() || workspace.owner.is_some()
}

struct Wanted {
    at: Span,
    text: String,
    keep: KeepFile,
    mode: u32,
}

/// The declared files, and those generated ones whose place no declared file takes.
fn files(manifest: &Manifest, fractal: &Fractal) -> Result<BTreeMap<RelPath, Wanted>, Notes> {
    let mut notes = Notes::new();
    let mut files = if fractal.managed.files { generated(manifest, fractal) } else { BTreeMap::new() };
    for (path, file) in &fractal.workspace.files {
        let WorkspaceFile { at, content, keep, mode } = file;
        match RelPath::parse(path) {
            Ok(path) => {
                let wanted = Wanted { at: at.clone(), text: content.clone(), keep: *keep, mode: *mode };
                files.insert(path, wanted);
            }
            Err(bad) => notes.push(
                Note::error("workspace.bad-path", format!("`{path}` is no path inside a workspace: {bad}"))
                    .at(at)
                    .hint("write a relative path such as AGENTS.md or memory/lasting.md"),
            ),
        }
    }
    if notes.is_empty() { Ok(files) } else { Err(notes) }
}

fn generated(manifest: &Manifest, fractal: &Fractal) -> BTreeMap<RelPath, Wanted> {
    persona::files(&about(manifest, fractal))
        .into_iter()
        .filter_map(|(name, text)| {
            let wanted = Wanted { at: fractal.at.clone(), text, keep: KeepFile::Seed, mode: FILE_MODE };
            Some((RelPath::parse(name).ok()?, wanted))
        })
        .collect()
}

fn about<'a>(manifest: &'a Manifest, fractal: &'a Fractal) -> About<'a> {
    let members = manifest.rooms.get(&fractal.key).map(|room| room.members.as_slice()).unwrap_or_default();
    let people = members
        .iter()
        .filter(|member| member.role == MemberRole::Named)
        .map(|member| {
            let user = manifest.users.values().find(|user| user.id == member.user);
            Person { id: &member.user.0, name: user.and_then(|user| user.display_name.as_deref()) }
        })
        .collect();
    let sandbox = fractal.sandbox.as_ref().and_then(|key| manifest.sandboxes.get(key));
    About {
        name: &fractal.name,
        purpose: fractal.purpose.as_deref(),
        persona: fractal.persona.as_deref(),
        people,
        hears: if fractal.auto_reply { Hears::Everything } else { Hears::Mentions },
        runs: match sandbox {
            Some(sandbox) if sandbox.mode != Some(SandboxMode::Off) => Runs::InASandbox,
            _ => Runs::OnTheHost,
        },
    }
}

fn workspace(fractal: &Fractal, files: BTreeMap<RelPath, Wanted>) -> Vec<Resource<Spec>> {
    let workspace = &fractal.workspace;
    let tree =
        TreeSpec { path: workspace.path.clone(), owner: workspace.owner, mode: DIR_MODE, files: files.len() };
    let resource = |id: ResourceId, spec, requires: &[ResourceId], on_remove, at| Resource {
        id,
        spec,
        subject: fractal.key.clone(),
        requires: requires.iter().cloned().collect(),
        on_remove,
        at,
    };
    let tree_id = id::tree(&fractal.key);
    let on_remove = match workspace.on_remove {
        OnRemove::Purge => OnRemove::Purge,
        _ => OnRemove::Keep,
    };
    let mut all = vec![resource(tree_id.clone(), Spec::Tree(tree), &[], on_remove, fractal.at.clone())];
    all.extend(files.into_iter().map(|(path, wanted)| {
        let file_id = id::file(&fractal.key, path.as_str());
        let spec = FileSpec {
            tree: workspace.path.clone(),
            sha256: sha256(wanted.text.as_bytes()),
            text: Some(wanted.text),
            keep: wanted.keep,
            owner: workspace.owner,
            mode: wanted.mode,
            path,
        };
        // A single file never goes with its declaration: by then it is the agent's, or at least in its care.
        resource(file_id, Spec::File(spec), std::slice::from_ref(&tree_id), OnRemove::Keep, wanted.at)
    }));
    all
}

/// How many characters of a file OpenClaw puts before the agent.
fn limit(path: &RelPath) -> Option<usize> {
    match path.as_str() {
        "USER.md" => Some(4_000),
        "AGENTS.md" | "SOUL.md" | "IDENTITY.md" | "BOOTSTRAP.md" | "MEMORY.md" | "TOOLS.md"
        | "HEARTBEAT.md" => Some(20_000),
        _ => None,
    }
}

/// What there is to say about all workspaces as a whole.
pub fn lint(desired: &[Resource<Spec>]) -> Notes {
    let mut notes = Notes::new();
    let mut places: BTreeMap<&PathBuf, &Resource<Spec>> = BTreeMap::new();
    for resource in desired {
        match &resource.spec {
            Spec::Tree(tree) => {
                if let Some(other) = places.insert(&tree.path, resource) {
                    notes.push(shared(tree, resource, other));
                }
            }
            Spec::File(file) => notes.extend(too_long(file, resource)),
        }
    }
    notes
}

fn shared(tree: &TreeSpec, one: &Resource<Spec>, other: &Resource<Spec>) -> Note {
    let path = tree.path.display();
    let text = format!("{} and {} have the same workspace {path}", other.subject, one.subject);
    Note::error("workspace.shared", text)
        .about(&one.id)
        .at(&one.at)
        .and_at(&other.at)
        .hint("give each fractal a directory of its own: they would overwrite each other's memory")
}

fn too_long(file: &FileSpec, resource: &Resource<Spec>) -> Option<Note> {
    let limit = limit(&file.path)?;
    let length = file.text.as_ref()?.chars().count();
    (length > limit).then(|| {
        let text = format!("{} has {length} characters; OpenClaw shows the agent {limit} of them", file.path);
        Note::warning("workspace.file-too-long", text)
            .about(&resource.id)
            .at(&resource.at)
            .hint("shorten it, or move parts to a file that the agent reads when it needs them")
    })
}

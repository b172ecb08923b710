//! Taking back what was done to a workspace, without touching what others did there meanwhile.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use fraktalia_engine::{Landed, StepError};
use fraktalia_model::Outputs;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::error::HostError;
use crate::host::{Access, Content, Dir, Node, RelPath, Taken, missing, sha256};
use crate::made;
use crate::op::{FileWrite, Op, Run, TreeWrite, Was, Write};

/// What it was before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Undo {
    /// Directories that were missing, the workspace included, outermost first.
    pub missing: Vec<PathBuf>,
    /// Mode and owner of the workspace, if it was there.
    pub tree: Option<Access>,
    /// Directories inside that were missing, outermost first.
    pub missing_inside: Vec<RelPath>,
    /// The files, in the order of the op.
    pub files: Vec<Before>,
}

/// A file as it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Before {
    /// There was none.
    Missing,
    /// There was one.
    File {
        /// SHA-256 of its content, hex.
        sha256: String,
        /// Mode and owner.
        access: Access,
        /// Where its content is kept, if that is to change.
        backup: Option<PathBuf>,
    },
}

/// Reads what is there, and keeps the content of files that are to change under `backup`.
pub fn prepare(op: &Op, backup: &Path) -> Result<Undo, StepError> {
    let Op::Write(write) = op else {
        return Ok(Undo { missing: Vec::new(), tree: None, missing_inside: Vec::new(), files: Vec::new() });
    };
    let dir = Dir::open(&write.path)?;
    match (&dir, &write.tree) {
        (Some(_), TreeWrite::Make { .. }) => Err(HostError::changed(&write.path, "appeared"))?,
        (None, TreeWrite::Keep | TreeWrite::Set { .. }) => {
            Err(HostError::changed(&write.path, "disappeared"))?;
        }
        _ => {}
    }
    let mut undo = Undo {
        missing: missing(&write.path),
        tree: dir.as_ref().map(Dir::access).transpose()?,
        missing_inside: Vec::new(),
        files: Vec::new(),
    };
    for (index, file) in write.files.iter().enumerate() {
        let kept = backup.join(format!("workspace-{}-{index}", write.fractal.replace('/', "_")));
        undo.files.push(before(dir.as_ref(), file, &kept)?);
        for above in file.path.ancestors() {
            let there = dir.as_ref().map(|dir| dir.look(&above)).transpose()?.flatten().is_some();
            if !there && !undo.missing_inside.contains(&above) {
                undo.missing_inside.push(above);
            }
        }
    }
    Ok(undo)
}

fn before(dir: Option<&Dir>, file: &FileWrite, kept: &Path) -> Result<Before, StepError> {
    let full = || dir.map(|dir| dir.path().join(file.path.as_str())).unwrap_or_default();
    match (dir.map(|dir| dir.look(&file.path)).transpose()?.flatten(), &file.was) {
        (None, Was::Missing) => Ok(Before::Missing),
        (None, _) => Err(HostError::changed(&full(), "disappeared"))?,
        (Some(Node::Odd { what }), _) => Err(HostError::odd(&full(), &what))?,
        (Some(Node::Directory { .. }), _) => Err(HostError::odd(&full(), "a directory"))?,
        (Some(Node::File { .. }), Was::Missing) => Err(HostError::changed(&full(), "appeared"))?,
        (Some(Node::File { sha256: found, .. }), Was::Exactly(was)) if found != *was => {
            Err(HostError::changed(&full(), "changed"))?
        }
        (Some(Node::File { sha256, access }), _) => {
            let backup = match (&file.text, dir) {
                (Some(_), Some(dir)) => Some(keep(dir, file, &sha256, kept)?),
                _ => None,
            };
            Ok(Before::File { sha256, access, backup })
        }
    }
}

/// Copies the old content to where only we can read it.
fn keep(dir: &Dir, file: &FileWrite, expected: &str, kept: &Path) -> Result<PathBuf, HostError> {
    let bytes = dir.read(&file.path)?.unwrap_or_default();
    if sha256(&bytes) != expected {
        return Err(HostError::changed(&dir.path().join(file.path.as_str()), "changed"));
    }
    let fail = |cause| HostError::io("keep a copy in", kept, cause);
    let mut copy = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(kept)
        .map_err(fail)?;
    copy.write_all(&bytes).map_err(fail)?;
    copy.sync_all().map_err(fail)?;
    Ok(kept.into())
}

/// Whether the op had its effect, judged by what is there now.
pub fn landed(op: &Op, undo: &Undo) -> Result<Landed, StepError> {
    match op {
        Op::Purge { path, .. } if missing(path).last() == Some(path) => Ok(Landed::Yes(Outputs::new())),
        Op::Purge { .. } => Ok(Landed::No),
        Op::Write(write) => landed_write(write, undo),
    }
}

fn landed_write(write: &Write, undo: &Undo) -> Result<Landed, StepError> {
    let dir = Dir::open(&write.path)?;
    let (mut done, mut undone) = (Vec::new(), Vec::new());
    match tree_stage(write, undo, dir.as_ref())? {
        Some(true) => done.push(write.path.display().to_string()),
        Some(false) => undone.push(write.path.display().to_string()),
        None => {}
    }
    for (file, before) in write.files.iter().zip(&undo.files) {
        let now = dir.as_ref().map(|dir| dir.look(&file.path)).transpose()?.flatten();
        if file.is_done(now.as_ref()) {
            done.push(file.path.to_string());
        } else if was(before, now.as_ref()) {
            undone.push(file.path.to_string());
        } else {
            return Ok(Landed::Torn {
                why: format!("{} is neither what it was nor what it was to be", file.path),
            });
        }
    }
    Ok(match (done.is_empty(), undone.is_empty()) {
        (_, true) => Landed::Yes(Outputs::new()),
        (true, false) => Landed::No,
        (false, false) => Landed::Partly {
            why: format!("written: {}; not written: {}", done.join(", "), undone.join(", ")),
        },
    })
}

/// Whether the directory is as it is to be (`true`), as it was (`false`), or does not matter.
fn tree_stage(write: &Write, undo: &Undo, dir: Option<&Dir>) -> Result<Option<bool>, HostError> {
    let mode = match write.tree {
        TreeWrite::Keep => return Ok(None),
        TreeWrite::Make { mode } | TreeWrite::Set { mode } => mode,
    };
    let Some(dir) = dir else {
        // Directories above it may have been made already: then something has to be taken back.
        return Ok(Some(undo.missing.first().is_some_and(|first| missing(first).is_empty())));
    };
    let access = dir.access()?;
    let fits = access.mode & 0o777 == mode && write.owner.is_none_or(|owner| owner == access.owner);
    Ok(Some(fits || undo.tree.is_none()))
}

fn was(before: &Before, now: Option<&Node>) -> bool {
    match (before, now) {
        (Before::Missing, None) => true,
        (Before::File { sha256, access, .. }, Some(Node::File { sha256: found, access: has })) => {
            sha256 == found && access == has
        }
        _ => false,
    }
}

/// Takes the effect back. What others changed since stays as they left it, and is said.
pub fn revert(op: &Op, undo: &Undo, run: &Run) -> Result<(), StepError> {
    let Op::Write(write) = op else {
        let text = "a deleted workspace cannot be brought back";
        return Err(StepError::refused(text).with_hint("restore it from a backup of the disk"));
    };
    if let Some(dir) = Dir::open(&write.path)? {
        for (file, before) in write.files.iter().zip(&undo.files).rev() {
            revert_file(&dir, file, before, run)?;
            if !clear_temporary(&dir, file, before, run)? {
                run.leave(format!("a file beside {} stays: somebody else's text is in it", file.path));
            }
        }
        for made in undo.missing_inside.iter().rev() {
            if !dir.remove_empty(made)? {
                run.leave(format!("{} stays: something is in it", dir.path().join(made.as_str()).display()));
            }
        }
        if let (Some(access), TreeWrite::Set { .. }) = (undo.tree, &write.tree) {
            dir.set_own_access(access.mode & 0o777, Some(access.owner))?;
        }
    }
    Dir::clear_unfinished(&write.path, run.token());
    for gone in undo.missing.iter().rev() {
        if *gone == write.path && !made::is_ours(run.paths(), &write.fractal, gone) {
            // Never made, or somebody else's by now. What is above it may still be empty and ours.
            continue;
        }
        match rustix::fs::rmdir(gone) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {
                run.leave(format!("{} stays: something is in it", gone.display()));
                return Ok(());
            }
            Err(errno) => Err(HostError::io("remove directory", gone, errno))?,
        }
        if *gone == write.path {
            made::forget(run.paths(), &write.fractal);
        }
    }
    Ok(())
}

/// Removes what a killed write may have left beside the file. Says whether nothing is left: in the moment in which two
/// files change names, what lies aside may be a text that somebody wrote since the plan.
fn clear_temporary(dir: &Dir, file: &FileWrite, before: &Before, run: &Run) -> Result<bool, HostError> {
    let Some(aside) = dir.read_temporary(&file.path, run.token())? else { return Ok(true) };
    let ours = file.text.as_deref().is_some_and(|text| text.as_bytes().starts_with(&aside));
    let old = matches!(before, Before::File { sha256: was, .. } if *was == sha256(&aside));
    if ours || old {
        dir.remove_temporary(&file.path, run.token())?;
    }
    Ok(ours || old)
}

fn revert_file(dir: &Dir, file: &FileWrite, before: &Before, run: &Run) -> Result<(), StepError> {
    let full = dir.path().join(file.path.as_str());
    let stays = || {
        run.leave(format!("{} stays: it was changed since we wrote it", full.display()));
    };
    let (sha256, access, backup) = match (before, file.written()) {
        (Before::Missing, None) => return Ok(()),
        (Before::Missing, Some(written)) => {
            if dir.take(&file.path, &written, run.token())? == Taken::Changed {
                stays();
            }
            return Ok(());
        }
        (Before::File { sha256, access, backup }, _) => (sha256, *access, backup),
    };
    match (dir.look(&file.path)?, file.written(), backup) {
        (Some(Node::File { sha256: found, .. }), Some(written), Some(backup)) if found == written => {
            let bytes = fs::read(backup).map_err(|cause| HostError::io("read the copy in", backup, cause))?;
            let content = Content { bytes: &bytes, mode: access.mode, owner: Some(access.owner) };
            Ok(dir.put(&file.path, Some(&written), content, run.token())?)
        }
        (Some(Node::File { sha256: found, access: has }), written, _)
            if written.is_none() || found == *sha256 =>
        {
            // The content is not ours: only mode and owner may be, and only if nobody set them since.
            if file.fits(has) {
                dir.set_access(&file.path, access.mode, Some(access.owner))?;
            }
            Ok(())
        }
        _ => {
            stays();
            Ok(())
        }
    }
}

/// The commands for what `revert` could not do.
pub fn by_hand(op: &Op, undo: &Undo) -> Vec<String> {
    let Op::Write(write) = op else { return Vec::new() };
    let files = write.files.iter().zip(&undo.files).map(|(file, before)| {
        let path = quoted(&write.path.join(file.path.as_str()));
        match before {
            Before::Missing => format!("rm -- {path}"),
            Before::File { access, backup: Some(backup), .. } => {
                format!("install -m {:04o} -- {} {path}", access.mode, quoted(backup))
            }
            Before::File { access, .. } => format!("chmod {:04o} -- {path}", access.mode),
        }
    });
    let directories = undo.missing.iter().rev().map(|dir| format!("rmdir -- {}", quoted(dir)));
    files.chain(directories).collect()
}

/// A path as one word of a shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}

//! What earlier runs were backed up with: needed to take them back, and for nothing else.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::journal::Run;
use crate::paths::StatePaths;

/// Begins the name of a backup that is being removed: one that is half there must not be taken for a whole one.
const GONE: &str = ".gone-";

/// The before-images of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// The run.
    pub run: String,
    /// When the run began, RFC 3339.
    pub at: String,
    /// What is in it.
    pub bytes: u64,
    path: PathBuf,
}

/// The backups of all runs but the last `keep` and those that are open, oldest first; and what an earlier removal left.
///
/// # Errors
/// When the directory cannot be read.
pub fn old(paths: &StatePaths, runs: &[Run], keep: usize) -> io::Result<Vec<Backup>> {
    let mut found = Vec::new();
    for run in &runs[..runs.len().saturating_sub(keep)] {
        let path = paths.backup(&run.header.run);
        // Our own directory, and still: a link would lead elsewhere.
        let is_there = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir());
        if is_there && run.closed.is_some() {
            let bytes = size(&path)?;
            found.push(Backup { run: run.header.run.clone(), at: run.header.at.clone(), bytes, path });
        }
    }
    for entry in entries(&paths.backup(""))? {
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(run) = name.strip_prefix(GONE) {
            let (path, bytes) = (entry.path(), size(&entry.path())?);
            found.push(Backup { run: run.into(), at: String::new(), bytes, path });
        }
    }
    Ok(found)
}

/// Removes one. It is out of the way at once, whatever happens meanwhile.
///
/// # Errors
/// When the file system says no.
pub fn remove(paths: &StatePaths, backup: &Backup) -> io::Result<()> {
    let gone = paths.backup(&format!("{GONE}{}", backup.run));
    if backup.path != gone {
        match fs::rename(&backup.path, &gone) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        }
    }
    match fs::remove_dir_all(&gone) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn entries(directory: &Path) -> io::Result<Vec<fs::DirEntry>> {
    match fs::read_dir(directory) {
        Ok(entries) => entries.collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The size of all files below, without following links.
fn size(directory: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in entries(directory)? {
        let meta = entry.metadata()?;
        bytes += if meta.is_dir() { size(&entry.path())? } else { meta.len() };
    }
    Ok(bytes)
}

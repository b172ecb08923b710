//! Journals on disk: one file for each run, one line for each entry.
//!
//! `{"seq":3,"sum":"<SHA-256 of the sum before and this entry>","entry":{...}}`

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::{Entry, FORMAT, ReplayError, Run};
use crate::paths::StatePaths;

/// A journal that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system said no.
    #[error("cannot {doing} the journal {path}")]
    Io {
        /// `read`, `write`.
        doing: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A line before the last is not what was written.
    #[error("the journal {path} is damaged at line {line}")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
    },
    /// It was written by a newer fraktalia.
    #[error("the journal {path} has format {format}; this fraktalia reads {FORMAT}")]
    Newer {
        /// Which.
        path: PathBuf,
        /// Its format.
        format: u16,
    },
    /// Its lines do not tell of a run.
    #[error("the journal {path} makes no sense")]
    Replay {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: ReplayError,
    },
    /// The writer is gone; in tests, because it was told to die.
    #[error("the journal is closed")]
    Gone,
}

#[derive(Serialize, Deserialize)]
struct Line<'a> {
    seq: u64,
    sum: String,
    #[serde(borrow)]
    entry: &'a RawValue,
}

/// Where the next entry goes, and what its checksum starts from.
#[derive(Clone, Debug, Default)]
pub(super) struct Tail {
    pub seq: u64,
    pub sum: String,
    /// Bytes up to the end of the last whole line.
    pub length: u64,
}

impl Tail {
    /// The line for `entry`, newline included.
    pub fn line(&mut self, entry: &Entry) -> serde_json::Result<Vec<u8>> {
        let entry = serde_json::value::to_raw_value(entry)?;
        self.sum = sum(&self.sum, entry.get());
        self.seq += 1;
        let mut line = serde_json::to_vec(&Line { seq: self.seq, sum: self.sum.clone(), entry: &entry })?;
        line.push(b'\n');
        self.length += line.len() as u64;
        Ok(line)
    }
}

fn sum(before: &str, entry: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(before);
    hash.update(entry);
    hash.finalize().iter().take(16).fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// The journals of a realm, oldest first.
///
/// # Errors
/// When the directory cannot be read. That there is none is no error.
pub fn list(paths: &StatePaths) -> Result<Vec<PathBuf>, JournalError> {
    let folder = paths.journals();
    let failed = |source| JournalError::Io { doing: "list", path: folder.clone(), source };
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The run that a journal tells of. `None` when not even its first line was written: it never began.
///
/// # Errors
/// When the file cannot be read, was changed, or is of a newer format.
pub fn read(path: &Path) -> Result<Option<Run>, JournalError> {
    Ok(read_tail(path)?.0)
}

pub(super) fn read_tail(path: &Path) -> Result<(Option<Run>, Tail), JournalError> {
    let text =
        fs::read(path).map_err(|source| JournalError::Io { doing: "read", path: path.into(), source })?;
    let mut tail = Tail::default();
    let mut entries = Vec::new();
    let lines: Vec<&[u8]> = text.split_inclusive(|&byte| byte == b'\n').collect();
    for (index, line) in lines.iter().enumerate() {
        let Some(entry) = whole(line, &tail) else {
            if index + 1 == lines.len() {
                break;
            }
            return Err(unreadable(path, index + 1, line));
        };
        tail.seq += 1;
        tail.sum = sum(&tail.sum, entry.1);
        tail.length += line.len() as u64;
        entries.push(entry.0);
    }
    if entries.is_empty() {
        return Ok((None, tail));
    }
    let run = Run::replay(entries).map_err(|source| JournalError::Replay { path: path.into(), source })?;
    Ok((Some(run), tail))
}

/// The entry of a line that is whole and follows what was before.
fn whole<'a>(line: &'a [u8], tail: &Tail) -> Option<(Entry, &'a str)> {
    let line: Line<'a> = serde_json::from_slice(line.strip_suffix(b"\n")?).ok()?;
    let fits = line.seq == tail.seq + 1 && line.sum == sum(&tail.sum, line.entry.get());
    fits.then(|| serde_json::from_str(line.entry.get()).ok().map(|entry| (entry, line.entry.get())))?
}

/// What is wrong with a line that cannot be read: its format, or its content.
fn unreadable(path: &Path, line: usize, bytes: &[u8]) -> JournalError {
    let format = serde_json::from_slice::<serde_json::Value>(bytes)
        .ok()
        .and_then(|line| line.pointer("/entry/format")?.as_u64())
        .and_then(|format| u16::try_from(format).ok());
    match format {
        Some(format) if format > FORMAT => JournalError::Newer { path: path.into(), format },
        _ => JournalError::Damaged { path: path.into(), line },
    }
}

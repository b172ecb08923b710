//! The file of the audit, and how it grows.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use fraktalia_model::files::sha256_hex;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Anchor, Entry, Event, GENESIS};
use crate::ids::Key;

/// Longest line, in bytes. What we write has a few hundred.
pub(super) const LINE: usize = 64 * 1024;

/// Why the audit cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file system said no.
    #[error("cannot {doing} the audit {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its end is not an entry, so that nothing can be added behind it.
    #[error(
        "line {line} of the audit {} is not an entry; move the file away to begin a new one, and find out who changed it",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which.
        line: u64,
    },
    /// It ends before the line that the anchor knows.
    #[error(
        "the audit {} ends with entry {last}, and entry {anchor} was written; \
         put back the file that was there, or move this one away and find out who cut it off",
        path.display()
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// The number of its last entry.
        last: u64,
        /// The number of the entry that the anchor knows.
        anchor: u64,
    },
    /// An earlier write failed, so nobody knows where the file ends.
    #[error("the audit {} could not be written before; open it again", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
    },
}

/// A line as it stands in the file.
#[derive(Serialize, Deserialize)]
pub(super) struct Line<'a> {
    /// SHA-256 over the text of `entry`, hex.
    pub hash: String,
    /// An [`Entry`].
    #[serde(borrow)]
    pub entry: &'a RawValue,
}

/// The audit, open for writing. One at a time.
#[derive(Debug)]
pub struct Audit {
    path: PathBuf,
    file: File,
    tail: Anchor,
    /// The key of the last entry: the one that may be written again after a crash.
    last: Option<Key>,
    broken: bool,
}

impl Audit {
    /// Opens the audit, or begins one. A last line without its end never counted, and is cut off.
    ///
    /// # Errors
    /// When it cannot be read or written, or lacks what the anchor knows.
    pub fn open(path: &Path, anchor: Option<&Anchor>) -> Result<Self, AuditError> {
        let failed = |doing| move |source| AuditError::Io { doing, path: path.into(), source };
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(failed("open"))?;
        // The name is durable only once the directory is.
        if let Some(folder) = path.parent() {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("open"))?;
        }
        let (tail, last, length) = tail(path, &file)?;
        if let Some(anchor) = anchor.filter(|anchor| anchor.seq > tail.seq) {
            return Err(AuditError::Truncated { path: path.into(), last: tail.seq, anchor: anchor.seq });
        }
        file.set_len(length).and_then(|()| file.sync_all()).map_err(failed("open"))?;
        Ok(Self { path: path.into(), file, tail, last, broken: false })
    }

    /// Adds an entry, and returns once it is on disk. The same key again adds nothing.
    ///
    /// # Errors
    /// When it cannot be written. Nothing more is then, until the audit is opened again.
    pub fn append(&mut self, key: &Key, event: &Event) -> Result<Anchor, AuditError> {
        if self.broken {
            return Err(AuditError::Broken { path: self.path.clone() });
        }
        if self.last.as_ref() == Some(key) {
            return Ok(self.tail.clone());
        }
        let seq = self.tail.seq + 1;
        let entry = Entry { seq, before: self.tail.hash.clone(), key: key.clone(), event: event.clone() };
        let written = encode(&entry).and_then(|(line, hash)| {
            self.file.write_all(&line)?;
            self.file.sync_data()?;
            Ok(hash)
        });
        match written {
            Ok(hash) => {
                self.tail = Anchor { seq, hash };
                self.last = Some(key.clone());
                Ok(self.tail.clone())
            }
            Err(source) => {
                self.broken = true;
                Err(AuditError::Io { doing: "write", path: self.path.clone(), source })
            }
        }
    }

    /// The last line; number 0 when there is none.
    pub fn tail(&self) -> &Anchor {
        &self.tail
    }
}

/// A line, and its hash.
fn encode(entry: &Entry) -> io::Result<(Vec<u8>, String)> {
    let entry = serde_json::value::to_raw_value(entry)?;
    let hash = sha256_hex(entry.get().as_bytes());
    let mut line = serde_json::to_vec(&Line { hash: hash.clone(), entry: &entry })?;
    line.push(b'\n');
    Ok((line, hash))
}

/// Reads one line with its end; `None` at the end of the file, or for one that is longer than any of ours.
pub(super) fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<usize>> {
    line.clear();
    let most = u64::try_from(LINE).unwrap_or(u64::MAX);
    let read = io::Read::take(&mut *reader, most).read_until(b'\n', line)?;
    Ok((read > 0).then_some(read))
}

/// The last whole line, its key, and where it ends.
fn tail(path: &Path, file: &File) -> Result<(Anchor, Option<Key>, u64), AuditError> {
    let failed = |source| AuditError::Io { doing: "read", path: path.into(), source };
    let mut reader = BufReader::new(file);
    let (mut line, mut last) = (Vec::new(), Vec::new());
    let (mut length, mut number) = (0_u64, 0_u64);
    while let Some(read) = read_line(&mut reader, &mut line).map_err(failed)? {
        if line.last() != Some(&b'\n') {
            if read == LINE {
                return Err(AuditError::Damaged { path: path.into(), line: number + 1 });
            }
            break;
        }
        length += read as u64;
        number += 1;
        std::mem::swap(&mut line, &mut last);
    }
    if number == 0 {
        return Ok((Anchor { seq: 0, hash: GENESIS.into() }, None, 0));
    }
    let (entry, hash) =
        decode(&last).ok_or_else(|| AuditError::Damaged { path: path.into(), line: number })?;
    Ok((Anchor { seq: entry.seq, hash }, Some(entry.key), length))
}

/// The entry of a line whose hash is right.
fn decode(line: &[u8]) -> Option<(Entry, String)> {
    let line: Line<'_> = serde_json::from_slice(line).ok()?;
    let right = line.hash == sha256_hex(line.entry.get().as_bytes());
    right.then(|| serde_json::from_str(line.entry.get()).ok().map(|entry| (entry, line.hash)))?
}

//! Was the audit changed? What `fraktalia history --verify` asks, and what an export carries with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::{BufReader, Write};
use std::path::Path;

use fraktalia_model::files::sha256_hex;

use super::file::{LINE, Line, read_line};
use super::{Anchor, AuditError, Entry, GENESIS};
use crate::ids::Key;

/// What is wrong with an audit. Lines count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A line does not say what it said.
    Changed {
        /// Which.
        line: u64,
    },
    /// Entries are not there any more.
    Removed {
        /// The number of the first.
        first: u64,
        /// The number of the last.
        last: u64,
    },
    /// A line was added that the others do not know.
    Inserted {
        /// Which.
        line: u64,
    },
    /// A line is not where it was written.
    Moved {
        /// Which.
        line: u64,
    },
    /// The last line has no end: it was cut off, or somebody writes it just now. It never counted.
    Torn {
        /// Which.
        line: u64,
    },
    /// Entries at the end are not there any more.
    Truncated {
        /// The number of the last that is there.
        last: u64,
        /// The number of the last that was written.
        written: u64,
    },
    /// The file leads to another end than it did: it was written anew from some line on.
    Rewritten {
        /// The number of the entry that is known to have been another.
        seq: u64,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { line } => write!(f, "line {line} was changed"),
            Self::Removed { first, last } if first == last => write!(f, "entry {first} was removed"),
            Self::Removed { first, last } => write!(f, "entries {first} to {last} were removed"),
            Self::Inserted { line } => write!(f, "line {line} was inserted"),
            Self::Moved { line } => write!(f, "line {line} was moved"),
            Self::Torn { line } => write!(f, "line {line} has no end, and does not count"),
            Self::Truncated { last, written } => {
                write!(f, "the end was cut off: entry {last} is the last, and {written} were written")
            }
            Self::Rewritten { seq } => {
                write!(f, "it was written anew: entry {seq} is not the one that was written")
            }
        }
    }
}

/// What a look at an audit shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// How many lines it has.
    pub lines: u64,
    /// All that is wrong.
    pub findings: Vec<Finding>,
}

impl Verdict {
    /// Whether nothing is wrong.
    pub fn is_whole(&self) -> bool {
        self.findings.is_empty()
    }
}

/// What is kept of a line.
struct Known {
    line: u64,
    hash: String,
    before: String,
    key: Key,
}

/// Looks whether an audit is as it was written. `pending` are the keys of entries that were to be written and that
/// nobody has confirmed: they may stand behind the anchor.
///
/// # Errors
/// When it cannot be read. A file that is not there has no lines.
pub fn verify(path: &Path, anchor: Option<&Anchor>, pending: &[Key]) -> Result<Verdict, AuditError> {
    let mut look = Look::default();
    each_line(path, |number, line| look.line(number, line))?;
    let mut verdict = Verdict { lines: look.lines, findings: look.findings };
    verdict.findings.extend(chain(&look.entries));
    if let Some(anchor) = anchor {
        verdict.findings.extend(anchored(&look.entries, anchor, pending));
    }
    verdict.findings.dedup();
    Ok(verdict)
}

/// The entries that can be read, as `fraktalia history` shows them.
///
/// # Errors
/// When the file cannot be read.
pub fn history(path: &Path) -> Result<Vec<Entry>, AuditError> {
    let mut entries = Vec::new();
    each_line(path, |_, line| {
        let line: Option<Line<'_>> = serde_json::from_slice(line).ok();
        entries.extend(line.and_then(|line| serde_json::from_str(line.entry.get()).ok()));
    })?;
    Ok(entries)
}

/// Writes an audit out, line by line with its hashes, so that who gets it can verify it too, and says what is wrong with
/// it.
///
/// # Errors
/// When it cannot be read or written.
pub fn export(
    path: &Path,
    anchor: Option<&Anchor>,
    pending: &[Key],
    out: &mut impl Write,
) -> Result<Verdict, AuditError> {
    let verdict = verify(path, anchor, pending)?;
    let mut written = Ok(());
    each_line(path, |_, line| {
        if written.is_ok() {
            written = out.write_all(line);
        }
    })?;
    written.and_then(|()| out.flush()).map_err(|source| AuditError::Io {
        doing: "export",
        path: path.into(),
        source,
    })?;
    Ok(verdict)
}

fn each_line(path: &Path, mut each: impl FnMut(u64, &[u8])) -> Result<(), AuditError> {
    let failed = |source| AuditError::Io { doing: "read", path: path.into(), source };
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        file => file.map_err(failed)?,
    };
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    let mut number = 0;
    while read_line(&mut reader, &mut line).map_err(failed)?.is_some() {
        number += 1;
        each(number, &line);
    }
    Ok(())
}

#[derive(Default)]
struct Look {
    lines: u64,
    findings: Vec<Finding>,
    entries: BTreeMap<u64, Vec<Known>>,
}

impl Look {
    fn line(&mut self, number: u64, bytes: &[u8]) {
        self.lines = number;
        if bytes.last() != Some(&b'\n') && bytes.len() < LINE {
            self.findings.push(Finding::Torn { line: number });
            return;
        }
        let Ok(line) = serde_json::from_slice::<Line<'_>>(bytes) else {
            self.findings.push(Finding::Changed { line: number });
            return;
        };
        if line.hash != sha256_hex(line.entry.get().as_bytes()) {
            self.findings.push(Finding::Changed { line: number });
        }
        // The others are asked for it all the same: what was changed was not removed as well.
        let Ok(entry) = serde_json::from_str::<Entry>(line.entry.get()) else { return };
        let known = Known { line: number, hash: line.hash, before: entry.before, key: entry.key };
        self.entries.entry(entry.seq).or_default().push(known);
    }
}

/// Every entry is there once, in its order, and knows the one before it.
fn chain(entries: &BTreeMap<u64, Vec<Known>>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut genuine: BTreeMap<u64, &Known> = BTreeMap::new();
    for (seq, claims) in entries {
        // Of several lines with one number, the genuine one is known to the line after it.
        let next = seq.checked_add(1).and_then(|next| entries.get(&next));
        let is_known =
            |known: &&Known| next.is_some_and(|next| next.iter().any(|after| after.before == known.hash));
        let Some(real) = claims.iter().find(is_known).or_else(|| claims.first()) else { continue };
        genuine.insert(*seq, real);
        let others = claims.iter().filter(|known| known.line != real.line);
        findings.extend(others.map(|known| Finding::Inserted { line: known.line }));
    }
    let mut before: Option<(u64, &Known)> = None;
    for (&seq, &known) in &genuine {
        let expected = before.map_or(1, |(seq, _)| seq.saturating_add(1));
        if seq > expected {
            findings.push(Finding::Removed { first: expected, last: seq - 1 });
        } else if before.map_or(GENESIS, |(_, before)| before.hash.as_str()) != known.before {
            // Its own hash may be right: whoever changed it computed that anew, and the next line knows better.
            findings.push(Finding::Changed { line: before.map_or(known.line, |(_, before)| before.line) });
        }
        before = Some((seq, known));
    }
    let mut last = 0;
    for known in genuine.values() {
        if known.line < last {
            findings.push(Finding::Moved { line: known.line });
        }
        last = last.max(known.line);
    }
    findings
}

/// It leads to where it led.
fn anchored(entries: &BTreeMap<u64, Vec<Known>>, anchor: &Anchor, pending: &[Key]) -> Vec<Finding> {
    let last = entries.keys().next_back().copied().unwrap_or(0);
    if last < anchor.seq {
        return vec![Finding::Truncated { last, written: anchor.seq }];
    }
    let mut findings = Vec::new();
    let at = entries.get(&anchor.seq);
    if anchor.seq > 0 && !at.is_some_and(|claims| claims.iter().any(|known| known.hash == anchor.hash)) {
        findings.push(Finding::Rewritten { seq: anchor.seq });
    }
    let pending: BTreeSet<&Key> = pending.iter().collect();
    let behind = entries.range(anchor.seq.saturating_add(1)..).flat_map(|(_, claims)| claims);
    let strange = behind.filter(|known| !pending.contains(&known.key));
    findings.extend(strange.map(|known| Finding::Inserted { line: known.line }));
    findings
}

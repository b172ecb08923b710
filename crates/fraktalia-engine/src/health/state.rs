//! Our own files: the state directory, the record, runs that were not finished, and what they left.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Check, Checklist, Cure, Fix, chain, disk, path_word, private};
use crate::erase::Registry;
use crate::journal;
use crate::ledger::Ledger;
use crate::lock::Lock;
use crate::paths::StatePaths;

/// Temporary files younger than this may belong to a process that is at work.
pub const STALE: Duration = Duration::from_mins(10);
/// More files than this are not looked at one by one.
const MANY: usize = 10_000;

/// Notes down how our own files are.
pub fn examine(list: &Checklist, paths: &StatePaths, realm: &str, registry: &Registry) {
    let root = paths.root();
    if !root.is_dir() {
        list.ok("state.directory", "state", format!("{} comes with the first apply", root.display()));
        disk::room(list, "state.disk", "our own files", root);
        return;
    }
    permissions(list, root);
    record(list, paths, realm, registry);
    if !run(list, paths) {
        leftovers(list, paths);
    }
    disk::room(list, "state.disk", "our own files", root);
}

/// The directory, and all that is in it, is for us alone.
fn permissions(list: &Checklist, root: &Path) {
    let (code, title) = ("state.directory", "state");
    if let Err(error) = rustix::fs::access(root, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK) {
        let text = format!("{} cannot be written: {error}", root.display());
        let cure = Cure::edit("run fraktalia as the user that owns it, or name another with --state");
        return list.note(list.failure(code, title, text).cure(cure));
    }
    let mut open: Vec<Check> = Vec::new();
    for (path, meta) in everything(root) {
        // What the directory itself keeps from others cannot be reached by them.
        if path == root || meta.is_file() && is_secret(root, &path) {
            open.extend(private::too_open(list, code, title, &path, &meta));
        }
    }
    match merged(open) {
        Some(check) => list.note(check),
        None => list.ok(code, title, format!("{}, for this user alone", root.display())),
    }
}

/// Whether a file of the state directory may hold secrets.
fn is_secret(root: &Path, path: &Path) -> bool {
    path.starts_with(root.join("secrets")) || path.starts_with(root.join("backup"))
}

/// Several findings of one kind as one.
fn merged(checks: Vec<Check>) -> Option<Check> {
    let more = checks.len().saturating_sub(1);
    let mut checks = checks.into_iter();
    let mut first = checks.next()?;
    if more > 0 {
        first.found = format!("{}, and so it is with {more} more", first.found);
    }
    for check in checks {
        first.cures.extend(check.cures);
        first.fixes.extend(check.fixes);
    }
    Some(first)
}

fn everything(root: &Path) -> impl Iterator<Item = (PathBuf, Metadata)> {
    let entries = walkdir::WalkDir::new(root).follow_links(false).into_iter().flatten();
    entries.take(MANY).filter_map(|entry| Some((entry.path().to_owned(), entry.metadata().ok()?)))
}

fn record(list: &Checklist, paths: &StatePaths, realm: &str, registry: &Registry) {
    match Ledger::load(paths, realm, registry) {
        Ok(ledger) => {
            let number = ledger.records.len();
            list.ok("state.record", "record", format!("{number} resources are ours"));
        }
        Err(error) => {
            let cure = Cure::edit(
                "docs/guide/when-something-fails.md: what is lost with the state directory, and what is not",
            );
            list.note(list.failure("state.record", "record", chain(&error)).cure(cure));
        }
    }
}

/// Whether a run is open, at work or not.
fn run(list: &Checklist, paths: &StatePaths) -> bool {
    let (code, title) = ("state.run", "last run");
    if let Some(holder) = Lock::holder(paths) {
        let who = holder.map(|pid| format!(" (process {pid})")).unwrap_or_default();
        list.note(list.unknown(code, title, format!("one is at work now{who}")));
        return true;
    }
    let journals = match journal::list(paths) {
        Ok(journals) => journals,
        Err(error) => {
            list.note(list.failure(code, title, chain(&error)));
            return true;
        }
    };
    for path in journals.iter().rev() {
        match journal::read(path) {
            Ok(Some(run)) if run.closed.is_none() => {
                let text =
                    format!("{} was not finished; nothing else is applied until it is", run.header.run);
                let check = list.failure(code, title, text).cure(Cure::run("fraktalia resume"));
                list.note(check.cure(Cure::edit("or take it back: `fraktalia rollback`")));
                return true;
            }
            Ok(Some(run)) => {
                list.ok(code, title, format!("{} has ended", run.header.run));
                return false;
            }
            Ok(None) => {}
            Err(error) => {
                let cure = Cure::edit(
                    "read what it says, then move it away: nothing is applied on the strength of it",
                );
                list.note(list.failure(code, title, chain(&error)).cure(cure));
                return true;
            }
        }
    }
    list.ok(code, title, "there was none yet");
    false
}

/// What a process that was killed left behind.
fn leftovers(list: &Checklist, paths: &StatePaths) {
    let now = SystemTime::now();
    let mut left: Vec<PathBuf> = everything(paths.root())
        .filter(|(path, meta)| meta.is_file() && is_temporary(path) && is_stale(meta, now))
        .map(|(path, _)| path)
        .collect();
    left.extend(empty_backups(paths));
    leftover(list, "state.leftovers", left);
}

/// Notes down files that nobody needs any more.
pub fn leftover(list: &Checklist, code: &str, mut left: Vec<PathBuf>) {
    left.sort();
    let Some(first) = left.first() else { return };
    let more = left.len() - 1;
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let text = format!("{}{more}: left by a run that was killed, and of no use", first.display());
    let words: Vec<String> = left.iter().map(|path| path_word(path)).collect();
    // A directory is in it only when it is empty.
    let verb = if left.iter().any(|path| path.is_dir()) { "rm -d" } else { "rm" };
    let mut check =
        list.warning(code, "leftovers", text).cure(Cure::run(format!("{verb} {}", words.join(" "))));
    for path in left {
        check = check.fix(Fix::Remove { path });
    }
    list.note(check);
}

/// A file that was to take another's place, and did not live to.
fn is_temporary(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(".tmp"))
}

/// Whether nobody can be at work on it any more.
pub fn is_stale(meta: &Metadata, now: SystemTime) -> bool {
    let age = meta.modified().ok().and_then(|then| now.duration_since(then).ok());
    age.is_some_and(|age| age > STALE)
}

/// Directories for before-images of runs that did not come to write a journal.
fn empty_backups(paths: &StatePaths) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(paths.root().join("backup")).into_iter().flatten().flatten();
    let unused = folders.filter_map(|entry| {
        let run = entry.file_name().into_string().ok()?;
        let is_empty = std::fs::read_dir(entry.path()).ok()?.next().is_none();
        (is_empty && !paths.journal(&run).exists()).then(|| entry.path())
    });
    unused.take(MANY).collect()
}

//! What waiting for the disk takes in an apply, as `strace` sees it: which file, how often, how long.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::measure::Job;
use crate::error::{Context as _, TaskError};

/// Waiting for the disk on behalf of one kind of file.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Waits {
    /// Calls of `fsync` and `fdatasync`.
    pub count: usize,
    /// Their time, in seconds.
    pub seconds: f64,
}

/// All waiting of one apply.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Syncs {
    /// For the journal.
    pub journal: Waits,
    /// For everything else: workspaces, `openclaw.json`, the record.
    pub others: Waits,
}

/// `strace`, where it is installed.
pub fn strace() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("strace")).find(|path| path.is_file())
}

/// The job with its calls of `fsync` and `fdatasync` written down; nothing else of it is stopped.
pub fn traced(job: Job, strace: &Path, to: &Path) -> Job {
    let options =
        ["-f", "--seccomp-bpf", "-qq", "-y", "-T", "-e", "trace=fsync,fdatasync", "-e", "signal=none", "-o"];
    let options = options.map(OsString::from).into_iter().chain([to.as_os_str().to_owned()]);
    job.under(strace, options.collect())
}

/// Reads what was written down. `state` is the folder of the program's own files.
pub fn read(trace: &Path, state: &Path) -> Result<Syncs, TaskError> {
    let text = std::fs::read_to_string(trace).context(|| format!("read {}", trace.display()))?;
    Ok(parse(&text, &state.join("journal")))
}

fn parse(trace: &str, journal: &Path) -> Syncs {
    let mut syncs = Syncs::default();
    // A call that others come in between of has a line for its beginning and one for its end.
    let mut open: BTreeMap<&str, &str> = BTreeMap::new();
    for line in trace.lines() {
        let Some((pid, rest)) = line.trim_start().split_once(' ') else { continue };
        let path = named(rest);
        if rest.contains("<unfinished") {
            open.insert(pid, path.unwrap_or_default());
            continue;
        }
        let path = if rest.contains("resumed>") { open.remove(pid) } else { path };
        let (Some(path), Some(seconds)) = (path, seconds(rest)) else { continue };
        let waits = if Path::new(path).starts_with(journal) { &mut syncs.journal } else { &mut syncs.others };
        waits.count += 1;
        waits.seconds += seconds;
    }
    syncs
}

/// The path in `fsync(7</a/b>)`.
fn named(rest: &str) -> Option<&str> {
    let (path, _) = rest.split_once('<')?.1.split_once('>')?;
    path.starts_with('/').then_some(path)
}

/// The time at the end of a line: `<0.000120>`.
fn seconds(rest: &str) -> Option<f64> {
    rest.trim_end().strip_suffix('>')?.rsplit_once('<')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_told_apart_by_file_also_when_they_overlap() {
        let trace = "\
            100 fdatasync(9</w/state/journal/1.jsonl>) = 0 <0.002000>\n\
            101 fsync(11</w/workspaces/f1/.tmp> <unfinished ...>\n\
            100 fdatasync(9</w/state/journal/1.jsonl> <unfinished ...>\n\
            101 <... fsync resumed>)            = 0 <0.030000>\n\
            100 <... fdatasync resumed>)        = 0 <0.001000>\n\
            102 fsync(12</w/state/journalism>) = 0 <0.100000>\n\
            102 +++ exited with 0 +++\n";
        let syncs = parse(trace, Path::new("/w/state/journal"));
        assert_eq!((syncs.journal.count, syncs.others.count), (2, 2));
        assert!((syncs.journal.seconds - 0.003).abs() < 1e-9, "{syncs:?}");
        assert!((syncs.others.seconds - 0.13).abs() < 1e-9, "{syncs:?}");
    }
}

//! What a process and its children use.

use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// As many open files as may be.
pub fn raise_file_limit() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let most = Some(maximum.unwrap_or(1 << 20).max(1 << 16));
    if setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).is_err() {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
}

/// Processor time of a process with all that come from it, in seconds.
pub fn seconds(pid: u32) -> f64 {
    let nanoseconds = |task: &Path| {
        let text = std::fs::read_to_string(task.join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<f64>().ok()
    };
    let tasks = family(pid).into_iter().flat_map(|pid| children_of(Path::new(&format!("/proc/{pid}/task"))));
    tasks.filter_map(|task| nonzero(nanoseconds(&task))).sum::<f64>() / 1e9
}

/// Memory of a process with all that come from it, what they share counted once.
pub fn kilobytes(pid: u32) -> f64 {
    let share = |pid: u32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?.trim();
        line.strip_suffix(" kB")?.parse::<f64>().ok()
    };
    family(pid).into_iter().filter_map(share).sum()
}

fn nonzero(value: Option<f64>) -> Option<f64> {
    value.filter(|value| *value > 0.0)
}

fn children_of(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect()
}

/// The process itself, its children, and theirs.
fn family(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let mut next = 0;
    while let Some(parent) = all.get(next).copied() {
        next += 1;
        for task in children_of(Path::new(&format!("/proc/{parent}/task"))) {
            let children = std::fs::read_to_string(task.join("children")).unwrap_or_default();
            all.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    all
}

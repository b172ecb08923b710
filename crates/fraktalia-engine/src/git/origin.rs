//! The commit of a work tree that a manifest was read from.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::program::{Config, Git};
use super::{Origin, is_id};
use crate::watch::files::Target;

/// A plan does not wait longer for it.
const WITHIN: Duration = Duration::from_secs(2);
/// Longest answer.
const ANSWER: u64 = 1 << 20;
/// More files than this are not asked about one by one.
const FILES: usize = 500;

/// The commit that the files of a manifest belong to, if they lie in a work tree of git. `read` is all that it was read
/// from. It is for people: whatever goes wrong, there is none.
pub async fn origin(manifest: &Path, read: &BTreeSet<Target>) -> Option<Origin> {
    let manifest = std::path::absolute(manifest).ok()?;
    // Most manifests that are in no repository are spared a process.
    let top = manifest.ancestors().skip(1).find(|dir| dir.join(".git").exists())?.to_path_buf();
    let inside = |path: &&Path| path.starts_with(&top);
    let mut paths: Vec<&Path> = read.iter().map(Target::path).filter(inside).collect();
    if paths.len() > FILES {
        paths = vec![manifest.parent()?];
    }
    // The operator's own configuration holds: `safe.directory` for one.
    let git = Git::new(&top, Config::Operators, "read the state of the work tree").within(WITHIN);
    let git = git.env("GIT_LITERAL_PATHSPECS", "1").args(["status", "--porcelain=v2", "--branch", "-z"]);
    let git = git.args([
        "--no-ahead-behind",
        "--no-renames",
        "--untracked-files=all",
        "--ignore-submodules=all",
        "--",
    ]);
    let status = git.args(paths).run(ANSWER).await.ok()?;
    understood(&String::from_utf8_lossy(&status), &top, read)
}

fn understood(status: &str, top: &Path, read: &BTreeSet<Target>) -> Option<Origin> {
    let (mut commit, mut branch, mut changed) = (None, None, false);
    for line in status.split('\0').filter(|line| !line.is_empty()) {
        if let Some(id) = line.strip_prefix("# branch.oid ") {
            commit = is_id(id).then(|| id.to_owned());
        } else if let Some(name) = line.strip_prefix("# branch.head ") {
            branch = (name != "(detached)").then(|| name.to_owned());
        } else if !line.starts_with('#') {
            changed |= matters(line, top, read);
        }
    }
    Some(Origin { commit: commit?, changed, branch, subject: None, author: None })
}

/// Whether a file that is not as it was committed is one that was read, or would have been if it were still there.
fn matters(line: &str, top: &Path, read: &BTreeSet<Target>) -> bool {
    let gone = line.starts_with('1') && line.get(2..4).is_some_and(|state| state.contains('D'));
    // `1 XY sub mH mI mW hH hI path`, or `? path`.
    let fields = match line.as_bytes().first() {
        Some(b'1') => 9,
        Some(b'?') => 2,
        // A conflict, or what a newer git may say.
        _ => return true,
    };
    let Some(path) = line.splitn(fields, ' ').nth(fields - 1).map(|path| top.join(path)) else { return true };
    let yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    read.iter().any(|target| match target {
        Target::Path(read) => *read == path,
        Target::Tree(dir) => path.starts_with(dir),
        // Other files in a directory that was searched for manifests are nobody's concern.
        Target::Names(dir) => gone && yaml && path.parent() == Some(dir),
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    const ID: &str = "3f2a91cb7f0e5d1c2b3a495867788990a1b2c3d4";

    fn read() -> BTreeSet<Target> {
        let at = |path: &str| PathBuf::from("/top/home").join(path);
        [Target::Path(at("fraktalia.yaml")), Target::Names(at("fractals")), Target::Tree(at("image"))].into()
    }

    fn of(lines: &[&str]) -> Option<Origin> {
        let head = [format!("# branch.oid {ID}"), "# branch.head main".into()];
        let lines: Vec<String> =
            head.into_iter().chain(lines.iter().map(|line| (*line).to_owned())).collect();
        understood(&(lines.join("\0") + "\0"), Path::new("/top"), &read())
    }

    #[test]
    fn what_was_read_and_is_not_committed_makes_a_plus_and_nothing_else_does() {
        let clean = of(&[]).unwrap();
        assert_eq!((clean.to_string().as_str(), clean.branch.as_deref()), ("3f2a91c", Some("main")));
        let entry = |state: &str, path: &str| format!("1 {state} N... 100644 100644 100644 {ID} {ID} {path}");
        for (line, changed) in [
            (entry(".M", "home/fraktalia.yaml"), true),
            (entry("A.", "home/fraktalia.yaml"), true),
            (entry(".D", "home/fractals/a b.yaml"), true),
            (entry(".M", "home/fractals/notes.yaml"), false),
            (entry(".M", "home/image/deep/er/file"), true),
            (entry(".M", "README.md"), false),
            ("? home/image/new".into(), true),
            ("? home/fractals/README.md".into(), false),
            (format!("u UU N... 100644 100644 100644 100644 {ID} {ID} {ID} home/fraktalia.yaml"), true),
        ] {
            assert_eq!(of(&[&line]).unwrap().changed, changed, "{line}");
        }
    }

    #[test]
    fn before_the_first_commit_there_is_none() {
        assert_eq!(
            understood("# branch.oid (initial)\0# branch.head main\0", Path::new("/top"), &read()),
            None
        );
    }
}

//! Writes the files of a commit into a directory: bounded, and with no way out.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use walkdir::WalkDir;

use super::error::GitError;
use super::program::{Config, Git, joined};

/// Most bytes that the files of a commit may have.
const BYTES: u64 = 256 << 20;
/// Most files of a commit.
const FILES: usize = 20_000;
/// Longest list of these files.
const LISTING: u64 = 8 << 20;

const HINT: &str = "a repository for fraktalia holds manifests, persona files and image contexts";

/// Writes the files of `commit` into the new directory `tree`, and makes sure that they are on the disk.
pub(super) async fn check_out(repo: &Path, tree: &Path, commit: &str) -> Result<(), GitError> {
    measure(repo, commit).await?;
    fs::create_dir(tree).map_err(GitError::file("make", tree))?;
    let index = repo.join("index");
    let git = |what: &str| Git::new(repo, Config::None, what).repo(repo).env("GIT_INDEX_FILE", &index);
    git("read the tree").args(["read-tree", commit]).run(4 << 10).await?;
    let git = git("write the files").args(["-c", "core.bare=false"]).args([joined("--work-tree=", tree)]);
    git.args(["checkout-index", "--all", "--quiet"]).run(4 << 10).await?;
    let (tree, commit) = (tree.to_path_buf(), commit.to_owned());
    let checked = tokio::task::spawn_blocking(move || settle(&tree, &commit)).await;
    checked.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))
}

/// Refuses what is too much before any of it is written.
async fn measure(repo: &Path, commit: &str) -> Result<(), GitError> {
    let git = Git::new(repo, Config::None, "list the files of the commit").repo(repo);
    let listing = git.args(["ls-tree", "-r", "-l", "-z", "--full-tree", commit]).run(LISTING).await?;
    let (mut bytes, mut files) = (0_u64, 0);
    for entry in listing.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()) {
        // `100644 blob <id>    <size>\t<path>`; a submodule has no size, and none of it is fetched.
        let head = entry.split(|byte| *byte == b'\t').next().unwrap_or_default();
        let size = String::from_utf8_lossy(head);
        bytes = bytes
            .saturating_add(size.split_whitespace().last().and_then(|size| size.parse().ok()).unwrap_or(0));
        files += 1;
    }
    if files > FILES || bytes > BYTES {
        let why =
            format!("it has {files} files and {} MiB, more than {FILES} or {} MiB", bytes >> 20, BYTES >> 20);
        return Err(GitError::refused(commit, why, HINT));
    }
    Ok(())
}

/// Refuses links that leave the directory, and gives files the modes that they have in git, whatever the umask is: the
/// hash of an image's context rests on them.
fn settle(tree: &Path, commit: &str) -> Result<(), GitError> {
    let root = fs::canonicalize(tree).map_err(GitError::file("find", tree))?;
    for entry in WalkDir::new(&root).follow_links(false) {
        let entry = entry.map_err(|error| GitError::file("read", tree)(error.into()))?;
        let path = entry.path();
        if entry.file_type().is_symlink() {
            let inside = fs::read_link(path).is_ok_and(|target| target.is_relative())
                && fs::canonicalize(path).is_ok_and(|target| target.starts_with(&root));
            if !inside {
                let name = path.strip_prefix(&root).unwrap_or(path).display();
                let why = format!("the link `{name}` leads out of the repository, or nowhere");
                return Err(GitError::refused(commit, why, "put the file itself into the repository"));
            }
            continue;
        }
        let mode = entry
            .metadata()
            .map_err(|error| GitError::file("read", path)(error.into()))?
            .permissions()
            .mode();
        let mode = if entry.file_type().is_dir() || mode & 0o100 != 0 { 0o755 } else { 0o644 };
        fs::set_permissions(path, Permissions::from_mode(mode)).map_err(GitError::file("open", path))?;
    }
    let dir = File::open(&root).map_err(GitError::file("open", &root))?;
    rustix::fs::syncfs(dir).map_err(|error| GitError::file("write", &root)(error.into()))
}

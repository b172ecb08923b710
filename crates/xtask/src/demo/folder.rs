//! The folder of one demonstration, and what killed ones have left.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fraktalia_testkit::real::docker;

use crate::error::{Context as _, TaskError};

/// A folder that only we may look into: it holds tokens. It is ours as long as the lock beside it is held.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    lock: PathBuf,
    _held: File,
}

impl Folder {
    /// A new one in `parent`. Those of demonstrations that have ended go, with the containers that belong to them.
    pub fn new(parent: &Path) -> Result<Self, TaskError> {
        make_folder(parent)?;
        tidy(parent)?;
        let path = parent.join(std::process::id().to_string());
        let lock = path.with_extension("lock");
        let held = File::create(&lock).context(|| format!("create {}", lock.display()))?;
        held.lock().context(|| format!("lock {}", lock.display()))?;
        make_folder(&path)?;
        Ok(Self { path, lock, _held: held })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it and all in it.
    pub fn remove(self) -> Result<(), TaskError> {
        std::fs::remove_dir_all(&self.path).context(|| format!("remove {}", self.path.display()))?;
        std::fs::remove_file(&self.lock).context(|| format!("remove {}", self.lock.display()))
    }
}

/// Removes what nobody holds any more.
fn tidy(parent: &Path) -> Result<(), TaskError> {
    let entries = std::fs::read_dir(parent).context(|| format!("read {}", parent.display()))?;
    for lock in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        if lock.extension().is_none_or(|extension| extension != "lock") {
            continue;
        }
        // It may have gone meanwhile, with its demonstration.
        let Ok(file) = File::open(&lock) else { continue };
        if file.try_lock().is_err() {
            continue;
        }
        let folder = lock.with_extension("");
        docker::remove_sandboxes_of(&folder);
        if folder.exists() {
            std::fs::remove_dir_all(&folder).context(|| format!("remove {}", folder.display()))?;
        }
        std::fs::remove_file(&lock).context(|| format!("remove {}", lock.display()))?;
    }
    Ok(())
}

/// A folder that only we may look into.
pub fn make_folder(path: &Path) -> Result<(), TaskError> {
    std::fs::create_dir_all(path).context(|| format!("create {}", path.display()))?;
    let mode = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(path, mode).context(|| format!("close {} to others", path.display()))
}

/// A file that only we may read.
pub fn write(path: &Path, text: &str) -> Result<(), TaskError> {
    std::fs::write(path, text).context(|| format!("write {}", path.display()))?;
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, mode).context(|| format!("close {} to others", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_demonstration_removes_what_a_killed_one_left_and_nothing_of_a_running_one() {
        let parent = tempfile::tempdir().expect("a folder");
        let killed = parent.path().join("1");
        make_folder(&killed).expect("makes");
        write(&killed.join("token"), "x").expect("writes");
        write(&parent.path().join("1.lock"), "").expect("writes");
        let running = Folder::new(parent.path()).expect("begins");
        assert!(!killed.exists() && !parent.path().join("1.lock").exists());
        write(&running.path().join("token"), "x").expect("writes");
        tidy(parent.path()).expect("tidies");
        assert!(running.path().join("token").exists());
        running.remove().expect("ends");
        assert_eq!(std::fs::read_dir(parent.path()).expect("reads").count(), 0);
    }
}

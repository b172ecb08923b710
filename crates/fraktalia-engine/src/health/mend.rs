//! Mends what is ours on this machine's disk.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::Fix;

/// Why something was not mended. It is as it was.
#[derive(Debug, thiserror::Error)]
pub enum MendError {
    /// The file system said no.
    #[error("cannot {doing} {path}")]
    File {
        /// `change the mode of`, `remove`.
        doing: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It became something else since it was looked at.
    #[error("{path} is not what it was: {what}")]
    Changed {
        /// Which.
        path: PathBuf,
        /// What it is now.
        what: &'static str,
    },
}

/// Mends what is a matter of this machine's disk; `None` when it is not.
pub fn mend(fix: &Fix) -> Option<Result<(), MendError>> {
    match fix {
        Fix::Chmod { path, mode } => Some(narrow(path, *mode)),
        Fix::Remove { path } => Some(remove(path)),
        Fix::LiftRateLimit { .. } => None,
    }
}

/// Takes permissions away, and never gives any: what is there now counts, not what was seen.
fn narrow(path: &Path, mode: u32) -> Result<(), MendError> {
    let doing = "change the mode of";
    let failed = |source: io::Error| MendError::File { doing, path: path.into(), source };
    // No link is followed, and a pipe in the file's place does not make us wait.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file =
        File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(|error| failed(error.into()))?);
    let meta = file.metadata().map_err(failed)?;
    let changed = |what| Err(MendError::Changed { path: path.into(), what });
    if !meta.is_file() && !meta.is_dir() {
        return changed("neither a file nor a directory");
    }
    if meta.is_file() && meta.nlink() > 1 {
        return changed("a file that has another name as well");
    }
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return changed("somebody else's");
    }
    file.set_permissions(Permissions::from_mode(meta.mode() & mode)).map_err(failed)
}

fn remove(path: &Path) -> Result<(), MendError> {
    let failed = |source| MendError::File { doing: "remove", path: path.into(), source };
    let meta = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        meta => meta.map_err(failed)?,
    };
    if meta.is_dir() {
        // Only an empty one can be removed like this.
        return std::fs::remove_dir(path).map_err(failed);
    }
    if !meta.is_file() {
        return Err(MendError::Changed { path: path.into(), what: "no regular file" });
    }
    std::fs::remove_file(path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn permissions_are_taken_away_and_never_given() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "secret").unwrap();
        for (before, wanted, after) in [(0o644, 0o600, 0o600), (0o440, 0o600, 0o400)] {
            std::fs::set_permissions(&path, Permissions::from_mode(before)).unwrap();
            mend(&Fix::Chmod { path: path.clone(), mode: wanted }).unwrap().unwrap();
            assert_eq!(mode(&path), after);
        }
    }

    #[test]
    fn a_link_and_a_file_with_two_names_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link, twin) = (dir.path().join("file"), dir.path().join("link"), dir.path().join("twin"));
        std::fs::write(&file, "not ours").unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(mend(&Fix::Chmod { path: link.clone(), mode: 0o600 }).unwrap().is_err());
        assert!(mend(&Fix::Remove { path: link }).unwrap().is_err());
        std::fs::hard_link(&file, &twin).unwrap();
        assert!(mend(&Fix::Chmod { path: twin, mode: 0o600 }).unwrap().is_err());
        assert_eq!(mode(&file), 0o644);
    }
}

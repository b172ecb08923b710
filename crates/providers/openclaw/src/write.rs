//! The file itself: read with a hash, replaced only if it still has that hash.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use crate::error::FileError;

/// Larger than any configuration, small enough to hold in memory twice.
const MAX_BYTES: u64 = 64 << 20;

/// How the name of a candidate begins.
pub(crate) const CANDIDATE: &str = ".openclaw.json.fraktalia-";

/// What the file was when it was read.
#[derive(Clone, Debug)]
pub(crate) struct Original {
    pub path: PathBuf,
    pub text: String,
    pub hash: String,
    mode: u32,
    pub uid: u32,
    pub gid: u32,
}

/// SHA-256, hex.
pub(crate) fn hash(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError::Io { what, path, source }
}

/// Reads the file.
pub(crate) fn read(path: &Path) -> Result<Original, FileError> {
    let meta = fs::symlink_metadata(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => FileError::Missing { path: path.into() },
        _ => FileError::Io { what: "read", path: path.into(), source },
    })?;
    if meta.is_symlink() {
        let target = fs::canonicalize(path).or_else(|_| fs::read_link(path)).unwrap_or_default();
        return Err(FileError::Symlink { path: path.into(), target });
    }
    if !meta.is_file() {
        return Err(FileError::NotAFile { path: path.into() });
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(io_error("read", path))?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(io_error("read", path))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(FileError::TooLarge { path: path.into(), limit: MAX_BYTES });
    }
    let hash = hash(&bytes);
    let text = String::from_utf8(bytes)
        .map_err(|error| FileError::NotText { path: path.into(), at: error.utf8_error().valid_up_to() })?;
    Ok(Original {
        path: path.into(),
        text,
        hash,
        mode: meta.mode() & 0o7777,
        uid: meta.uid(),
        gid: meta.gid(),
    })
}

impl Original {
    /// That the file may be written. A file that even its owner may not write is meant to stay as it is, although
    /// a rename would get past that.
    pub fn writable(&self) -> Result<(), FileError> {
        if self.mode & 0o200 == 0 {
            return Err(FileError::ReadOnly { path: self.path.clone(), mode: self.mode });
        }
        Ok(())
    }

    /// A file with the new text beside the old one, gone when dropped. Same mode and owner, on disk.
    pub fn candidate(&self, text: &str) -> Result<NamedTempFile, FileError> {
        let dir = self.dir();
        let failed = || io_error("write a file beside", &self.path);
        let mut file = tempfile::Builder::new().prefix(CANDIDATE).tempfile_in(dir).map_err(failed())?;
        file.write_all(text.as_bytes()).map_err(failed())?;
        let created = file.as_file().metadata().map_err(failed())?;
        if (created.uid(), created.gid()) != (self.uid, self.gid) {
            fchown(file.as_file(), Some(self.uid), Some(self.gid))
                .map_err(io_error("keep the owner of", &self.path))?;
        }
        // After the change of owner, which clears some bits.
        file.as_file().set_permissions(Permissions::from_mode(self.mode)).map_err(failed())?;
        file.as_file().sync_all().map_err(failed())?;
        Ok(file)
    }

    /// Puts the candidate in the file's place, if the file is still what was read. Returns the new hash.
    pub fn replace(&self, candidate: NamedTempFile) -> Result<(), FileError> {
        if read(&self.path)?.hash != self.hash {
            return Err(FileError::ChangedMeanwhile { path: self.path.clone() });
        }
        self.exchange(candidate)?;
        File::open(self.dir())
            .and_then(|dir| dir.sync_all())
            .map_err(io_error("write the directory of", &self.path))
    }

    /// Swaps the two files, so that what was replaced can be looked at: somebody may have written between our
    /// last look and the rename, and their text must not be lost.
    fn exchange(&self, candidate: NamedTempFile) -> Result<(), FileError> {
        let temporary = candidate.path().to_owned();
        let swap = || renameat_with(CWD, &temporary, CWD, &self.path, RenameFlags::EXCHANGE);
        match swap() {
            Ok(()) => {}
            // Some file systems (NFS, some overlays) cannot swap; there the plain rename has to do.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {
                return candidate
                    .persist(&self.path)
                    .map(drop)
                    .map_err(|error| io_error("replace", &self.path)(error.error));
            }
            Err(error) => return Err(io_error("replace", &self.path)(error.into())),
        }
        let replaced = fs::read(&temporary).map_err(io_error("read what was in the place of", &self.path))?;
        if hash(&replaced) != self.hash {
            swap().map_err(|error| io_error("put back", &self.path)(error.into()))?;
            return Err(FileError::ChangedMeanwhile { path: self.path.clone() });
        }
        // The old file is now the temporary one and goes with it.
        drop(candidate);
        Ok(())
    }

    fn dir(&self) -> &Path {
        match self.path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        }
    }
}

/// Writes a before-image, readable by its owner alone, and puts it on disk. One that is there already is kept: it
/// is from before a crash, and older.
pub(crate) fn back_up(original: &Original, to: &Path) -> Result<(), FileError> {
    use std::os::unix::fs::OpenOptionsExt;
    let failed = || io_error("write the backup", to);
    if let Ok(there) = fs::read(to)
        && hash(&there) == original.hash
    {
        return Ok(());
    }
    let mut file =
        File::options().write(true).create(true).truncate(true).mode(0o600).open(to).map_err(failed())?;
    file.write_all(original.text.as_bytes()).map_err(failed())?;
    file.sync_all().map_err(failed())?;
    let dir = to.parent().unwrap_or(Path::new("."));
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("openclaw.json");
        fs::write(&path, text).expect("written");
        (dir, path)
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(dir)
            .expect("a directory")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_replaced_file_keeps_its_mode_and_leaves_nothing_beside_it() {
        let (dir, path) = file("old");
        fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("mode");
        let original = read(&path).expect("reads");
        original.replace(original.candidate("new").expect("beside")).expect("replaced");
        assert_eq!(fs::read_to_string(&path).expect("reads"), "new");
        assert_eq!(fs::metadata(&path).expect("meta").mode() & 0o7777, 0o640);
        assert_eq!(names(dir.path()), ["openclaw.json"]);
    }

    #[test]
    fn a_hand_edit_between_read_and_write_is_not_lost() {
        let (dir, path) = file("old");
        let original = read(&path).expect("reads");
        let candidate = original.candidate("ours").expect("beside");
        fs::write(&path, "theirs").expect("written");
        let error = original.replace(candidate).expect_err("changed");
        assert!(matches!(error, FileError::ChangedMeanwhile { .. }), "{error}");
        assert_eq!(fs::read_to_string(&path).expect("reads"), "theirs");
        assert_eq!(names(dir.path()), ["openclaw.json"]);
    }

    #[test]
    fn a_hand_edit_in_the_last_moment_is_put_back() {
        let (dir, path) = file("old");
        let original = read(&path).expect("reads");
        let candidate = original.candidate("ours").expect("beside");
        // What happens between the last look and the rename.
        fs::write(&path, "theirs").expect("written");
        let error = original.exchange(candidate).expect_err("changed");
        assert!(matches!(error, FileError::ChangedMeanwhile { .. }), "{error}");
        assert_eq!(fs::read_to_string(&path).expect("reads"), "theirs");
        assert_eq!(names(dir.path()), ["openclaw.json"]);
    }

    #[test]
    fn links_directories_and_what_is_not_text_are_refused_with_a_cure() {
        let (dir, path) = file("{}");
        let link = dir.path().join("link.json");
        std::os::unix::fs::symlink(&path, &link).expect("a link");
        let error = read(&link).expect_err("a link");
        assert!(error.hint().contains(&path.display().to_string()), "{}", error.hint());
        assert!(matches!(read(dir.path()), Err(FileError::NotAFile { .. })));
        assert!(matches!(read(&dir.path().join("none")), Err(FileError::Missing { .. })));
        fs::write(&path, b"{ a: \"\xff\" }").expect("written");
        assert!(matches!(read(&path), Err(FileError::NotText { at: 6, .. })));
    }

    #[test]
    fn a_file_that_is_meant_to_be_read_only_stays_so() {
        let (_dir, path) = file("{}");
        fs::set_permissions(&path, Permissions::from_mode(0o444)).expect("mode");
        let error = read(&path).expect("reads").writable().expect_err("read-only");
        assert!(error.to_string().ends_with("is read-only (mode 0444)"), "{error}");
    }

    #[test]
    fn a_backup_is_for_its_owner_alone_and_never_overwritten_by_itself() {
        let (dir, path) = file("{}");
        let to = dir.path().join("backup.json");
        let original = read(&path).expect("reads");
        back_up(&original, &to).expect("backed up");
        back_up(&original, &to).expect("backed up");
        assert_eq!(fs::metadata(&to).expect("meta").mode() & 0o7777, 0o600);
        assert_eq!(fs::read_to_string(&to).expect("reads"), "{}");
    }
}

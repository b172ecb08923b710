//! Files that only we may read, and that are there whole or not at all.

use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::RoomError;

/// Makes the folder, for us alone, and takes it until the file is dropped.
pub(crate) fn take(dir: &Path) -> Result<File, RoomError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(RoomError::file("make", dir))?;
    let closed = fs::set_permissions(dir, Permissions::from_mode(0o700));
    closed.map_err(RoomError::file("close to others", dir))?;
    let path = dir.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(RoomError::file("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(RoomError::InUse { dir: dir.into() }),
        Err(TryLockError::Error(source)) => Err(RoomError::File { doing: "lock", path, source }),
    }
}

/// Writes a file in one step, mode 0600.
pub(crate) fn write(path: &Path, value: &impl Serialize) -> Result<(), RoomError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let write = || {
        // Made with mode 0600.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&serde_json::to_vec(value)?)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(RoomError::file("write", path))
}

/// What a file holds; nothing where it is missing or is not what we write.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_user_and_its_files_one_reader() {
        let dir = tempfile::tempdir().unwrap();
        let ours = dir.path().join("room");
        let taken = take(&ours).unwrap();
        assert!(matches!(take(&ours), Err(RoomError::InUse { .. })));
        drop(taken);
        take(&ours).unwrap();
        write(&ours.join("a"), &[1, 2]).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&ours), mode(&ours.join("a"))), (0o700, 0o600));
        assert_eq!(read::<Vec<u8>>(&ours.join("a")), Some(vec![1, 2]));
        assert_eq!(read::<Vec<u8>>(&ours.join("b")), None);
    }
}

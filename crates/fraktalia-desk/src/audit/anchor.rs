//! The anchor as a file beside the audit, for those who verify it while the store is in use.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::{Anchor, AuditError};

/// Larger files are no anchor.
const LARGEST: u64 = 4 << 10;

/// Writes the anchor, whole or not at all, and returns once it is on disk. Readable by its owner alone.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, anchor: &Anchor) -> Result<(), AuditError> {
    let failed = |source| AuditError::Io { doing: "write", path: path.into(), source };
    let mut bytes = serde_json::to_vec(anchor).map_err(|error| failed(error.into()))?;
    bytes.push(b'\n');
    let mut name = path.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?.to_os_string();
    name.push(".part");
    let part = path.with_file_name(name);
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(&part);
    let written = file.and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_all()));
    written.and_then(|()| std::fs::rename(&part, path)).map_err(failed)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// Reads it; `None` when there is none.
///
/// # Errors
/// When it cannot be read, or is no anchor.
pub fn read(path: &Path) -> Result<Option<Anchor>, AuditError> {
    let failed = |source| AuditError::Io { doing: "read", path: path.into(), source };
    let file = match std::fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(failed)?,
    };
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, LARGEST), &mut bytes).map_err(failed)?;
    serde_json::from_slice(&bytes).map(Some).map_err(|_| AuditError::Damaged { path: path.into(), line: 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchor_comes_back_as_it_was_written_and_a_damaged_one_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.anchor");
        assert_eq!(read(&path).unwrap(), None);
        for seq in [7, 8] {
            let anchor = Anchor { seq, hash: "ab".repeat(32) };
            write(&path, &anchor).unwrap();
            assert_eq!(read(&path).unwrap(), Some(anchor));
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
        std::fs::write(&path, "{}").unwrap();
        assert!(read(&path).is_err());
    }
}

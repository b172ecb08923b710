//! The file of a helper: replaced as a whole, on disk before anybody is told so.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::HelperError;
use crate::config::Config;
use crate::protocol::LONGEST;

/// Where it is.
pub fn path(dir: &Path) -> PathBuf {
    dir.join("plane.json")
}

/// What was kept last; nothing when nothing was.
///
/// # Errors
/// When there is something that cannot be read: to go on without it would open networks and drop ports.
pub fn read(dir: &Path) -> Result<Config, HelperError> {
    let path = path(dir);
    let failed = |cause: &dyn std::fmt::Display| HelperError::file(&path, "read", cause);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Config::default()),
        Err(error) => return Err(failed(&error)),
    };
    if bytes.len() as u64 > LONGEST {
        return Err(failed(&"it is larger than anything we write"));
    }
    serde_json::from_slice(&bytes).map_err(|error| failed(&error))
}

/// Keeps it.
///
/// # Errors
/// When it cannot be written; the old one stays.
pub fn write(dir: &Path, config: &Config) -> Result<(), HelperError> {
    let path = path(dir);
    let failed = |error: &std::io::Error| HelperError::file(&path, "written", error);
    std::fs::create_dir_all(dir).map_err(|error| failed(&error))?;
    let mut new = tempfile::NamedTempFile::new_in(dir).map_err(|error| failed(&error))?;
    let text = serde_json::to_vec_pretty(config).map_err(|error| failed(&error.into()))?;
    new.write_all(&text).and_then(|()| new.as_file().sync_all()).map_err(|error| failed(&error))?;
    new.persist(&path).map_err(|error| failed(&error.error))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_read_again_and_nothing_is_fine() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), Config::default());
        let text = r#"{"forwards":{"127.0.0.1:9000":{"agent":"gardener","port":3000}}}"#;
        let config: Config = serde_json::from_str(text).unwrap();
        write(dir.path(), &config).unwrap();
        assert_eq!(read(dir.path()).unwrap(), config);
    }

    #[test]
    fn a_damaged_file_is_not_taken_for_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(path(dir.path()), "{\"networks\":").unwrap();
        let error = read(dir.path()).unwrap_err();
        assert!(error.to_string().contains("cannot be read") && error.hint().contains("remove"), "{error}");
    }
}

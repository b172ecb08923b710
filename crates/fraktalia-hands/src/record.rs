//! What we did under a key, as far as journal and repository do not say it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fraktalia_desk::Key;
use serde::{Deserialize, Serialize};

use crate::remove::Removed;
use crate::{Hands, file_name};

/// How often we look whether a child of an earlier life has ended.
const PAUSE: Duration = Duration::from_millis(300);

/// Written before what it tells of.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Record {
    /// The file that is written, and the SHA-256 of its text.
    #[serde(default)]
    pub file: Option<(PathBuf, String)>,
    /// The file that is removed.
    #[serde(default)]
    pub removed: Option<Removed>,
    /// Whether there is a commit to look for, and whether it is pushed.
    #[serde(default)]
    pub commit: bool,
    /// Whether that commit is pushed.
    #[serde(default)]
    pub push: bool,
    /// Whether a child that writes was, or was about to be, begun.
    #[serde(default)]
    pub begun: bool,
    /// The last of them: its number and when it began.
    #[serde(default)]
    pub child: Option<(u32, u64)>,
    /// The run that is taken back.
    #[serde(default)]
    pub rolls_back: Option<String>,
    /// Files of the manifest as they were before they took in what lives.
    #[serde(default)]
    pub before: BTreeMap<PathBuf, String>,
}

impl Record {
    /// Whether it changed something of the operator's.
    pub fn is_in_the_tree(&self) -> bool {
        self.file.is_some() || self.removed.is_some() || !self.before.is_empty()
    }
}

impl Hands {
    fn record_path(&self, key: &Key) -> Result<PathBuf, String> {
        Ok(self.dir.join("runs").join(format!("{}.json", file_name(key)?)))
    }

    /// What we know of that key; `None` when nothing was begun.
    pub(crate) fn record(&self, key: &Key) -> Result<Option<Record>, String> {
        let path = self.record_path(key)?;
        match std::fs::read(&path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map(Some).map_err(|error| failed("read", &path, &error))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path, &error)),
        }
    }

    /// Puts it on disk, whole.
    pub(crate) fn keep(&self, key: &Key, record: &Record) -> Result<(), String> {
        let path = self.record_path(key)?;
        let bytes = serde_json::to_vec_pretty(record).map_err(|error| failed("write", &path, &error))?;
        replace(&path, &bytes).map_err(|error| failed("write", &path, &error))
    }

    /// Waits until the child that an earlier life began under this key has ended.
    pub(crate) async fn wait_for_child(&self, record: &Record) {
        match record.child {
            Some((pid, began)) => {
                while began_at(pid) == Some(began) {
                    tokio::time::sleep(PAUSE).await;
                }
            }
            // We died between its begin and that being on record: whoever is at work may be it.
            None if record.begun => self.wait_for_lock().await,
            None => {}
        }
    }

    /// Waits until nobody holds the lock of the realm.
    pub(crate) async fn wait_for_lock(&self) {
        while fraktalia_engine::Lock::holder(&self.state).is_some() {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// When a process that still runs began, in ticks of the kernel: its number alone may be another's by now.
pub fn began_at(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may hold anything, parentheses included.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if state == "Z" { None } else { fields.nth(18)?.parse().ok() }
}

/// Whole or not at all, and on disk.
pub fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    std::fs::File::open(dir)?.sync_all()
}

/// What failed, on what, and why.
pub fn failed(doing: &str, path: &Path, error: &dyn std::fmt::Display) -> String {
    format!("cannot {doing} {}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_from_another_with_its_number() {
        let ours = began_at(std::process::id()).unwrap();
        assert!(ours > 0);
        assert_eq!(began_at(std::process::id()), Some(ours));
        assert_eq!(began_at(u32::MAX), None);
    }
}

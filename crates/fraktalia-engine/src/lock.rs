//! One writer for each realm.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use crate::paths::StatePaths;

/// Held by the process that may write. The system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// The lock could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("another run holds the lock {path}{}", holder.as_ref().map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    Held {
        /// Which lock.
        path: PathBuf,
        /// The process that has it, where it said so.
        holder: Option<String>,
    },
    /// The file system said no.
    #[error("cannot open the lock {path}")]
    Io {
        /// Which lock.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Lock {
    /// Who holds the lock of a realm; `None` when nobody does. The outer answer is there when somebody holds it, the inner
    /// one when they said who they are. Asking takes the lock for an instant, shared: it is for those who wait, not for a
    /// loop without pause.
    pub fn holder(paths: &StatePaths) -> Option<Option<String>> {
        let mut file = File::open(paths.lock()).ok()?;
        let held = matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
        held.then(|| said(&mut file))
    }

    /// Takes the lock of a realm, without waiting.
    ///
    /// # Errors
    /// When another process has it, or the file cannot be opened.
    pub fn acquire(paths: &StatePaths) -> Result<Self, LockError> {
        let path = paths.lock();
        let failed = |source| LockError::Io { path: path.clone(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Held { path, holder: said(&mut file) });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

/// The process that has the lock, where it wrote itself down.
fn said(file: &mut File) -> Option<String> {
    let mut holder = String::new();
    let _ = file.take(32).read_to_string(&mut holder);
    Some(holder.trim().to_owned()).filter(|pid| !pid.is_empty())
}

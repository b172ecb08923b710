//! Deletes a directory with all that is in it, however hostile its content.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::{Dir, open_strictly, split};
use crate::error::HostError;

/// More passes than this mean that somebody fills it faster than we can empty it.
const MOST_PASSES: u32 = 100_000;

/// Deletes `path` and all in it. Links are deleted, never followed; another file system mounted inside stops it.
///
/// Directories are moved up to the top before they are emptied: so neither the depth of the tree (an agent can
/// nest deeper than any stack) nor a directory that is moved away meanwhile can lead us anywhere else.
pub fn purge(path: &Path) -> Result<(), HostError> {
    let Some(dir) = Dir::open(path)? else {
        return Ok(());
    };
    let fail = |errno: Errno| HostError::io("delete", path, errno);
    let mut next = 0_u32;
    for _ in 0..MOST_PASSES {
        let entries = list(&dir.fd).map_err(fail)?;
        if entries.is_empty() {
            let (parent, name) = split(path)?;
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let parent = rustix::fs::open(parent, flags, Mode::empty()).map_err(fail)?;
            return rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR).map_err(fail);
        }
        for (name, kind) in entries {
            if kind == FileType::Directory {
                empty_one_level(&dir.fd, &name, &mut next).map_err(fail)?;
            } else {
                gone(rustix::fs::unlinkat(&dir.fd, &name, AtFlags::empty())).map_err(fail)?;
            }
        }
    }
    Err(HostError::io("delete", path, std::io::Error::other("somebody keeps writing into it")))
}

/// Deletes the files of the directory `name`, moves its directories up to `top`, and removes it.
fn empty_one_level(top: &OwnedFd, name: &CString, next: &mut u32) -> rustix::io::Result<()> {
    let dir = match open_strictly(top, name.as_c_str(), OFlags::RDONLY | OFlags::DIRECTORY) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
        opened => opened?,
    };
    for (inner, kind) in list(&dir)? {
        if kind == FileType::Directory {
            *next += 1;
            gone(rustix::fs::renameat(&dir, &inner, top, format!(".fraktalia-purge-{next}")))?;
        } else {
            gone(rustix::fs::unlinkat(&dir, &inner, AtFlags::empty()))?;
        }
    }
    match rustix::fs::unlinkat(top, name.as_c_str(), AtFlags::REMOVEDIR) {
        // Filled again meanwhile: the next pass sees it.
        Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => Ok(()),
        removed => gone(removed),
    }
}

fn gone(done: rustix::io::Result<()>) -> rustix::io::Result<()> {
    match done {
        // Gone already, or in the way of a name of ours: the next pass sees what there is.
        Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR | Errno::ISDIR) => Ok(()),
        other => other,
    }
}

fn list(dir: &OwnedFd) -> rustix::io::Result<Vec<(CString, FileType)>> {
    let mut entries = Vec::new();
    for entry in rustix::fs::Dir::read_from(dir)? {
        let entry = entry?;
        if matches!(entry.file_name().to_bytes(), b"." | b"..") {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => {
                let stat = rustix::fs::statat(dir, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)?;
                FileType::from_raw_mode(stat.st_mode)
            }
            known => known,
        };
        entries.push((entry.file_name().to_owned(), kind));
    }
    Ok(entries)
}

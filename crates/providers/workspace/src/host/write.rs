//! The writing half of [`Dir`]. Files are never written in place: a new one is made beside it, and the two change
//! names in one call, so that a reader sees the old or the new one, and a full disk costs nothing.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::Path;

use fraktalia_model::manifest::Owner;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, RenameFlags, Uid};
use rustix::io::Errno;

use super::{Access, Dir, Node, Opened, RelPath, access, open_strictly, split};
use crate::error::HostError;

/// What a file is to be.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a> {
    /// All of its bytes.
    pub bytes: &'a [u8],
    /// Permission bits.
    pub mode: u32,
    /// Its owner; whoever owned it before, or this process, when absent.
    pub owner: Option<Owner>,
}

/// What became of a file that was to be taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is gone, or was not there.
    Gone,
    /// It is not what we wrote any more, and stays.
    Changed,
}

impl Dir {
    /// Makes the directory `path`, whose parent has to exist. It gets its name only once `known` was told its device
    /// and inode: so no directory of ours ever stands there without our knowing it for ours.
    ///
    /// # Errors
    /// [`HostError::Changed`] when something stands there already.
    pub fn make(
        path: &Path,
        mode: u32,
        owner: Option<Owner>,
        token: &str,
        known: impl FnOnce((u64, u64)) -> Result<(), HostError>,
    ) -> Result<Self, HostError> {
        let (parent, name) = open_parent(path)?;
        let new = new_name(name, token);
        let fail = |errno| HostError::io("make directory", path, errno);
        // Left over from a try that was killed, under our run's name.
        let _ = rustix::fs::unlinkat(&parent, &new, AtFlags::REMOVEDIR);
        rustix::fs::mkdirat(&parent, &new, Mode::from_raw_mode(0o700)).map_err(fail)?;
        let fd = open_strictly(&parent, &new, OFlags::RDONLY | OFlags::DIRECTORY).map_err(fail)?;
        let placed = set(&fd, mode, owner)
            .and_then(|()| rustix::fs::fstat(&fd))
            .map_err(|errno| HostError::io("set mode and owner of", path, errno))
            .and_then(|stat| known((stat.st_dev, stat.st_ino)))
            .and_then(|()| match rename_dir(&parent, &new, name) {
                Err(Errno::EXIST | Errno::NOTEMPTY) => Err(HostError::changed(path, "appeared")),
                renamed => renamed.map_err(fail),
            });
        if placed.is_err() {
            let _ = rustix::fs::unlinkat(&parent, &new, AtFlags::REMOVEDIR);
        }
        placed?;
        Ok(Self { fd, path: path.into() })
    }

    /// Removes what a killed [`Dir::make`] may have left.
    pub fn clear_unfinished(path: &Path, token: &str) {
        if let Ok((parent, name)) = open_parent(path) {
            let _ = rustix::fs::unlinkat(&parent, new_name(name, token), AtFlags::REMOVEDIR);
        }
    }

    /// Sets mode and owner of the directory itself. Set-group-id and sticky bits stay as they are.
    pub fn set_own_access(&self, mode: u32, owner: Option<Owner>) -> Result<(), HostError> {
        let kept = self.access()?.mode & 0o7000;
        set(&self.fd, kept | mode, owner)
            .map_err(|errno| HostError::io("set mode and owner of", &self.path, errno))
    }

    /// Makes a directory inside; one that is there already stays as it is.
    pub fn make_inside(&self, path: &RelPath, mode: u32, owner: Option<Owner>) -> Result<(), HostError> {
        let parent = self.parent_of(path)?;
        match rustix::fs::mkdirat(&parent, path.name(), Mode::from_raw_mode(0o700)) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(()),
            Err(errno) => return Err(self.failed("make directory", path, errno)),
        }
        let fd = open_strictly(&parent, path.name(), OFlags::RDONLY | OFlags::DIRECTORY)
            .map_err(|errno| self.failed("open", path, errno))?;
        set(&fd, mode, owner).map_err(|errno| self.failed("set mode and owner of", path, errno))
    }

    /// Puts a file in place of `old`: the hash of the file that has to be there, or `None` for nothing.
    /// `token` goes into the name of the temporary file, and has to be the run's own.
    ///
    /// # Errors
    /// [`HostError::Changed`] when something else is there; then, and on every other error, nothing changed.
    pub fn put(
        &self,
        path: &RelPath,
        old: Option<&str>,
        content: Content<'_>,
        token: &str,
    ) -> Result<(), HostError> {
        let parent = self.parent_of(path)?;
        let temporary = temporary(path, token);
        // Left over from a try that was killed. It carries our run's name.
        let _ = rustix::fs::unlinkat(&parent, temporary.name(), AtFlags::empty());
        let owner = match old {
            None => content.owner,
            Some(_) => content.owner.or_else(|| self.owner_of(path)),
        };
        let placed =
            self.write_temporary(&parent, &temporary, Content { owner, ..content }).and_then(
                |()| match old {
                    None => self.place_new(&parent, path, &temporary),
                    Some(old) => self.exchange(&parent, path, &temporary, old),
                },
            );
        if placed.is_err() {
            let _ = rustix::fs::unlinkat(&parent, temporary.name(), AtFlags::empty());
        }
        placed?;
        // The rename itself has to survive a power cut. Some file systems (sshfs) cannot promise it.
        let _ = rustix::fs::fsync(&self.fd);
        Ok(())
    }

    /// What a killed [`Dir::put`] of this run may have left beside the file.
    pub fn read_temporary(&self, path: &RelPath, token: &str) -> Result<Option<Vec<u8>>, HostError> {
        self.read(&temporary(path, token))
    }

    /// Removes it.
    pub fn remove_temporary(&self, path: &RelPath, token: &str) -> Result<(), HostError> {
        let temporary = temporary(path, token);
        match rustix::fs::unlinkat(self.parent_of(&temporary)?, temporary.name(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.failed("delete", &temporary, errno)),
        }
    }

    /// Sets mode and owner of the regular file that stands there.
    pub fn set_access(&self, path: &RelPath, mode: u32, owner: Option<Owner>) -> Result<(), HostError> {
        match self.open_file(path)? {
            Opened::File(file, _) => {
                set(&file, mode, owner).map_err(|errno| self.failed("set mode and owner of", path, errno))
            }
            Opened::Missing => Err(HostError::changed(&self.full(path), "disappeared")),
            Opened::Directory(_) => Err(HostError::odd(&self.full(path), "a directory")),
            Opened::Odd(what) => Err(HostError::odd(&self.full(path), &what)),
        }
    }

    /// Takes a file away if it still has the content that we gave it.
    ///
    /// It is first moved aside and then looked at, so that a file that takes its place meanwhile is not deleted.
    pub fn take(&self, path: &RelPath, sha256: &str, token: &str) -> Result<Taken, HostError> {
        match self.look(path)? {
            None => return Ok(Taken::Gone),
            Some(Node::File { sha256: found, .. }) if found == sha256 => {}
            Some(_) => return Ok(Taken::Changed),
        }
        let parent = self.parent_of(path)?;
        let aside = temporary(path, token);
        let _ = rustix::fs::unlinkat(&parent, aside.name(), AtFlags::empty());
        match rename_new(&parent, path.name(), aside.name()) {
            Ok(()) => {}
            Err(Errno::NOENT) => return Ok(Taken::Gone),
            Err(errno) => return Err(self.failed("move aside", path, errno)),
        }
        if self.is_file(&aside, sha256) {
            rustix::fs::unlinkat(&parent, aside.name(), AtFlags::empty())
                .map_err(|errno| self.failed("delete", &aside, errno))?;
            return Ok(Taken::Gone);
        }
        rename_new(&parent, aside.name(), path.name())
            .map_err(|errno| self.failed("put back", path, errno))?;
        Ok(Taken::Changed)
    }

    /// Removes a directory inside, if nothing is in it. Says whether it is gone.
    pub fn remove_empty(&self, path: &RelPath) -> Result<bool, HostError> {
        let parent = match self.parent_of(path) {
            Err(HostError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                return Ok(true);
            }
            parent => parent?,
        };
        match rustix::fs::unlinkat(&parent, path.name(), AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(true),
            Err(Errno::NOTEMPTY | Errno::NOTDIR | Errno::EXIST | Errno::BUSY) => Ok(false),
            Err(errno) => Err(self.failed("remove directory", path, errno)),
        }
    }

    fn owner_of(&self, path: &RelPath) -> Option<Owner> {
        match self.look(path) {
            Ok(Some(Node::File { access, .. })) => Some(access.owner),
            _ => None,
        }
    }

    fn parent_of(&self, path: &RelPath) -> Result<OwnedFd, HostError> {
        let Some(parent) = path.parent() else {
            return self.fd.try_clone().map_err(|cause| HostError::io("open", &self.path, cause));
        };
        match open_strictly(&self.fd, parent.as_str(), OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(fd) => Ok(fd),
            Err(Errno::LOOP) => Err(HostError::odd(&self.full(&parent), "a symbolic link")),
            Err(Errno::NOTDIR) => Err(HostError::odd(&self.full(&parent), "not a directory")),
            Err(errno) => Err(self.failed("open", &parent, errno)),
        }
    }

    fn write_temporary(
        &self,
        parent: &OwnedFd,
        path: &RelPath,
        content: Content<'_>,
    ) -> Result<(), HostError> {
        let fail = |cause: std::io::Error| self.failed("write", path, cause);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o600);
        let fd = rustix::fs::openat(parent, path.name(), flags, mode).map_err(|errno| fail(errno.into()))?;
        let mut file = File::from(fd);
        file.write_all(content.bytes).map_err(fail)?;
        set(&file, content.mode, content.owner)
            .map_err(|errno| self.failed("set mode and owner of", path, errno))?;
        file.sync_all().map_err(fail)
    }

    fn place_new(&self, parent: &OwnedFd, path: &RelPath, temporary: &RelPath) -> Result<(), HostError> {
        match rename_new(parent, temporary.name(), path.name()) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => Err(HostError::changed(&self.full(path), "appeared")),
            Err(errno) => Err(self.failed("write", path, errno)),
        }
    }

    /// The two files change names; then the old one is looked at where nobody else writes, and if it is not the
    /// one that was to be replaced, they change back.
    fn exchange(
        &self,
        parent: &OwnedFd,
        path: &RelPath,
        temporary: &RelPath,
        old: &str,
    ) -> Result<(), HostError> {
        let swap = || {
            rustix::fs::renameat_with(parent, temporary.name(), parent, path.name(), RenameFlags::EXCHANGE)
        };
        match swap() {
            Ok(()) => {}
            Err(Errno::NOENT) => return Err(HostError::changed(&self.full(path), "disappeared")),
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                return self.replace_after_a_look(parent, path, temporary, old);
            }
            Err(errno) => return Err(self.failed("replace", path, errno)),
        }
        if self.is_file(temporary, old) {
            return rustix::fs::unlinkat(parent, temporary.name(), AtFlags::empty())
                .map_err(|errno| self.failed("delete", temporary, errno));
        }
        swap().map_err(|errno| self.failed("put back", path, errno))?;
        Err(HostError::changed(&self.full(path), "changed"))
    }

    /// For file systems that cannot exchange names (sshfs): a change between the look and the rename is lost.
    fn replace_after_a_look(
        &self,
        parent: &OwnedFd,
        path: &RelPath,
        temporary: &RelPath,
        old: &str,
    ) -> Result<(), HostError> {
        if !self.is_file(path, old) {
            return Err(HostError::changed(&self.full(path), "changed"));
        }
        rustix::fs::renameat(parent, temporary.name(), parent, path.name())
            .map_err(|errno| self.failed("replace", path, errno))
    }

    fn is_file(&self, path: &RelPath, sha256: &str) -> bool {
        matches!(self.look(path), Ok(Some(Node::File { sha256: found, .. })) if found == sha256)
    }
}

/// Gives a name only if it is free.
fn rename_new(dir: &OwnedFd, from: &str, to: &str) -> rustix::io::Result<()> {
    match rustix::fs::renameat_with(dir, from, dir, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            rustix::fs::linkat(dir, from, dir, to, AtFlags::empty())?;
            rustix::fs::unlinkat(dir, from, AtFlags::empty())
        }
        done => done,
    }
}

fn open_parent(path: &Path) -> Result<(OwnedFd, &OsStr), HostError> {
    let (parent, name) = split(path)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::open(parent, flags, Mode::empty()).map_err(|e| HostError::io("open", parent, e))?;
    Ok((fd, name))
}

fn new_name(name: &OsStr, token: &str) -> OsString {
    let mut new = OsString::from(".");
    new.push(name);
    new.push(format!(".fraktalia-{token}"));
    new
}

fn rename_dir(dir: &OwnedFd, from: &OsStr, to: &OsStr) -> rustix::io::Result<()> {
    match rustix::fs::renameat_with(dir, from, dir, to, RenameFlags::NOREPLACE) {
        // sshfs and the like: a plain rename takes the place of an empty directory at most.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => rustix::fs::renameat(dir, from, dir, to),
        done => done,
    }
}

fn temporary(path: &RelPath, token: &str) -> RelPath {
    // Cut short by characters, because the whole name may have 255 bytes at most.
    let name: String = path.name().chars().take(40).collect();
    path.sibling(&format!(".{name}.fraktalia-{token}"))
}

/// The owner first, since a change of owner clears bits of the mode.
fn set(fd: impl std::os::fd::AsFd, mode: u32, owner: Option<Owner>) -> rustix::io::Result<()> {
    let stat = rustix::fs::fstat(&fd)?;
    let Access { mode: had, owner: owned_by } = access(&stat);
    if let Some(owner) = owner.filter(|owner| *owner != owned_by) {
        rustix::fs::fchown(&fd, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))?;
    } else if had == mode {
        return Ok(());
    }
    rustix::fs::fchmod(&fd, Mode::from_raw_mode(mode))
}

//! Reading and writing in a directory where somebody hostile writes at the same time.
//!
//! An agent owns its workspace: it can put a symlink where our file was, between any two calls of ours. So a
//! workspace is opened once, everything else goes through descriptors that the kernel resolved strictly beneath
//! it, and nothing is ever done to a path after it was checked as a path. Where the kernel cannot promise that
//! (before Linux 5.6) we refuse to work rather than to trust.

mod path;
mod private;
mod purge;
mod widen;
mod write;

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fraktalia_model::manifest::Owner;
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use path::{BadPath, RelPath};
pub use purge::purge;
pub use widen::{Round, Widener};
pub use write::{Content, Taken};

use crate::error::HostError;

/// What is larger is not read, hashed or kept: a workspace file that an agent reads at its start has 20,000
/// characters.
pub const LARGEST_FILE: u64 = 16 << 20;

/// Two changes of a file that are further apart than this have different change times: kernels stamp with the
/// time of their last tick, 10 ms at the most.
const CLOCK_TICK: Duration = Duration::from_millis(20);

/// So often we look again at a file that somebody is writing to, before we say so.
const LOOKS: u32 = 5;

/// Never out of the directory, never through a link of any sort.
const STRICT: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// An open directory: a workspace, or one inside of it.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

/// Permission bits and owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// The lower twelve bits of the mode.
    pub mode: u32,
    /// Who owns it.
    pub owner: Owner,
}

/// What stands under a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Node {
    /// A regular file that has no other name.
    File {
        /// SHA-256 of its content, hex.
        sha256: String,
        /// Mode and owner.
        access: Access,
    },
    /// A directory.
    Directory {
        /// Mode and owner.
        access: Access,
    },
    /// Anything that we do not touch: a symlink, a file with a second name, a pipe; in words.
    Odd {
        /// `a symbolic link`
        what: String,
    },
}

/// What stands under a name, as far as can be told without opening it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outside {
    /// A regular file that has no other name.
    File {
        /// Mode and owner.
        access: Access,
    },
    /// A directory.
    Directory,
    /// See [`Node::Odd`].
    Odd {
        /// `a symbolic link`
        what: String,
    },
}

impl Dir {
    /// Opens the directory at `path`. The path up to it may contain links, since they are the administrator's;
    /// the directory itself may not be one.
    ///
    /// # Errors
    /// When something else stands there, or it cannot be opened. `Ok(None)`: nothing stands there.
    pub fn open(path: &Path) -> Result<Option<Self>, HostError> {
        let (parent, name) = split(path)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let parent = match rustix::fs::open(parent, flags, Mode::empty()) {
            Ok(parent) => parent,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(HostError::io("open", parent, errno)),
        };
        match open_strictly(&parent, name, OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(fd) => Ok(Some(Self { fd, path: path.into() })),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::LOOP) => Err(HostError::odd(path, "a symbolic link")),
            Err(Errno::NOTDIR) => Err(HostError::odd(path, "not a directory")),
            Err(errno) => Err(HostError::io("open", path, errno)),
        }
    }

    /// Where it was opened, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Mode and owner of the directory itself.
    pub fn access(&self) -> Result<Access, HostError> {
        let stat = rustix::fs::fstat(&self.fd).map_err(|errno| HostError::io("read", &self.path, errno))?;
        Ok(access(&stat))
    }

    /// What stands under `path`; `None`: nothing, or a directory above it is missing.
    ///
    /// # Errors
    /// When it cannot be read. A link is no error but [`Node::Odd`].
    pub fn look(&self, path: &RelPath) -> Result<Option<Node>, HostError> {
        match self.open_file(path)? {
            Opened::Missing => Ok(None),
            Opened::Odd(what) => Ok(Some(Node::Odd { what })),
            Opened::Directory(stat) => Ok(Some(Node::Directory { access: access(&stat) })),
            Opened::File(mut file, stat) => {
                let sha256 = hash(&mut file, |_| Ok(())).map_err(|cause| self.failed("read", path, cause))?;
                Ok(Some(Node::File { sha256, access: access(&stat) }))
            }
        }
    }

    /// What stands under `path`, without its content: no byte of a file is read, and no open file is needed.
    ///
    /// # Errors
    /// As for [`Self::look`].
    pub fn look_outside(&self, path: &RelPath) -> Result<Option<Outside>, HostError> {
        Ok(match self.stat(path)? {
            Opened::Missing => None,
            Opened::Odd(what) => Some(Outside::Odd { what }),
            Opened::Directory(_) => Some(Outside::Directory),
            Opened::File((), stat) => Some(Outside::File { access: access(&stat) }),
        })
    }

    /// The content of a regular file; `None` when it is missing.
    ///
    /// # Errors
    /// When something else stands there, or it cannot be read.
    pub fn read(&self, path: &RelPath) -> Result<Option<Vec<u8>>, HostError> {
        match self.open_file(path)? {
            Opened::Missing => Ok(None),
            Opened::Odd(what) => Err(HostError::odd(&self.full(path), &what)),
            Opened::Directory(_) => Err(HostError::odd(&self.full(path), "a directory")),
            Opened::File(mut file, _) => {
                let mut bytes = Vec::new();
                hash(&mut file, |chunk| {
                    bytes.extend_from_slice(chunk);
                    Ok(())
                })
                .map_err(|cause| self.failed("read", path, cause))?;
                Ok(Some(bytes))
            }
        }
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> Result<bool, HostError> {
        let fail = |errno| HostError::io("list", &self.path, errno);
        let mut entries = rustix::fs::Dir::read_from(&self.fd).map_err(fail)?;
        loop {
            match entries.read() {
                None => return Ok(true),
                Some(Ok(entry)) if matches!(entry.file_name().to_bytes(), b"." | b"..") => {}
                Some(Ok(_)) => return Ok(false),
                Some(Err(errno)) => return Err(fail(errno)),
            }
        }
    }

    /// Opens without touching first: reading from a pipe or a device would already be an effect.
    fn open_file(&self, path: &RelPath) -> Result<Opened<File>, HostError> {
        let stat = match self.stat(path)? {
            Opened::Missing => return Ok(Opened::Missing),
            Opened::Odd(what) => return Ok(Opened::Odd(what)),
            Opened::Directory(stat) => return Ok(Opened::Directory(stat)),
            Opened::File((), stat) => stat,
        };
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW;
        let fd = open_strictly(&self.fd, path.as_str(), flags).map_err(|e| self.failed("open", path, e))?;
        let Some(again) = self.only_name(path, &fd).map_err(|errno| self.failed("read", path, errno))? else {
            return Ok(Opened::Odd("changing while it is read".into()));
        };
        if (again.st_dev, again.st_ino) != (stat.st_dev, stat.st_ino) {
            return Ok(Opened::Odd("changing while it is read".into()));
        }
        Ok(Opened::File(File::from(fd), again))
    }

    fn stat(&self, path: &RelPath) -> Result<Opened<()>, HostError> {
        let stat = match open_strictly(&self.fd, path.as_str(), OFlags::PATH | OFlags::NOFOLLOW) {
            Ok(fd) => rustix::fs::fstat(&fd).map_err(|errno| self.failed("read", path, errno))?,
            Err(Errno::NOENT) => return Ok(Opened::Missing),
            Err(Errno::LOOP) => return Ok(Opened::Odd("reached through a symbolic link".into())),
            Err(Errno::NOTDIR) => return Ok(Opened::Odd("beneath something that is not a directory".into())),
            Err(errno) => return Err(self.failed("read", path, errno)),
        };
        Ok(match kind(&stat) {
            Kind::Directory => Opened::Directory(stat),
            Kind::Odd(what) => Opened::Odd(what),
            Kind::File => Opened::File((), stat),
        })
    }

    /// The state of the open file if `path` is its one and only name; `None` when that cannot be said.
    ///
    /// A count of one is not enough: a name that is linked to a file outside and taken away again leaves our
    /// descriptor on that file, with a count of one. Each such change sets the change time anew, which is as
    /// coarse as [`CLOCK_TICK`]. So: count, then look at the name, then see that nothing has changed in between.
    fn only_name(&self, path: &RelPath, fd: &OwnedFd) -> rustix::io::Result<Option<Stat>> {
        for _ in 0..LOOKS {
            let before = rustix::fs::fstat(fd)?;
            if age(&before) < CLOCK_TICK {
                std::thread::sleep(CLOCK_TICK);
            }
            let named = match open_strictly(&self.fd, path.as_str(), OFlags::PATH | OFlags::NOFOLLOW) {
                Ok(named) => rustix::fs::fstat(&named)?,
                Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => return Ok(None),
                Err(errno) => return Err(errno),
            };
            let after = rustix::fs::fstat(fd)?;
            if (named.st_dev, named.st_ino) != (after.st_dev, after.st_ino) {
                return Ok(None);
            }
            if changed_at(&after) == changed_at(&before) {
                return Ok((after.st_nlink == 1).then_some(after));
            }
        }
        Ok(None)
    }

    fn full(&self, path: &RelPath) -> PathBuf {
        self.path.join(path.as_str())
    }

    fn failed(&self, what: &'static str, path: &RelPath, cause: impl Into<std::io::Error>) -> HostError {
        HostError::io(what, &self.full(path), cause)
    }
}

enum Opened<F> {
    Missing,
    Odd(String),
    Directory(Stat),
    File(F, Stat),
}

enum Kind {
    File,
    Directory,
    Odd(String),
}

fn kind(stat: &Stat) -> Kind {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Kind::Directory,
        FileType::RegularFile if stat.st_nlink != 1 => {
            Kind::Odd(format!("a file with {} names (hard links)", stat.st_nlink))
        }
        FileType::RegularFile if stat.st_size.cast_unsigned() > LARGEST_FILE => {
            Kind::Odd(format!("larger than {} MiB", LARGEST_FILE >> 20))
        }
        FileType::RegularFile => Kind::File,
        FileType::Symlink => Kind::Odd("a symbolic link".into()),
        FileType::Fifo => Kind::Odd("a named pipe".into()),
        FileType::Socket => Kind::Odd("a socket".into()),
        _ => Kind::Odd("a device".into()),
    }
}

fn access(stat: &Stat) -> Access {
    Access { mode: stat.st_mode & 0o7777, owner: Owner { uid: stat.st_uid, gid: stat.st_gid } }
}

/// Seconds and nanoseconds of the last change to the file, its names included.
fn changed_at(stat: &Stat) -> (i64, i64) {
    (stat.st_ctime, stat.st_ctime_nsec.cast_signed())
}

/// How long ago it changed; nothing when that lies in the future, as on a server whose clock is ahead.
fn age(stat: &Stat) -> Duration {
    let (seconds, nanoseconds) = changed_at(stat);
    let at = Duration::new(seconds.cast_unsigned(), u32::try_from(nanoseconds).unwrap_or(0));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(at)
}

/// SHA-256 of what is left to read, hex; each chunk is also handed on.
fn hash(
    file: &mut File,
    mut each: impl FnMut(&[u8]) -> std::io::Result<()>,
) -> Result<String, std::io::Error> {
    let mut digest = Sha256::new();
    let mut chunk = vec![0; 64 << 10];
    // The size was checked before, but the file may grow under our hands.
    let mut left = LARGEST_FILE + 1;
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok(hex(&digest.finalize()));
        }
        left = left.saturating_sub(read as u64);
        if left == 0 {
            return Err(std::io::Error::other("it grows while it is read"));
        }
        digest.update(&chunk[..read]);
        each(&chunk[..read])?;
    }
}

/// SHA-256 of `bytes`, hex.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn open_strictly(dir: impl AsFd, path: impl rustix::path::Arg, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat2(dir, path, flags | OFlags::CLOEXEC, Mode::empty(), STRICT)
}

fn split(path: &Path) -> Result<(&Path, &OsStr), HostError> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if path.is_absolute() => Ok((parent, name)),
        _ => Err(HostError::odd(path, "no absolute path of a directory")),
    }
}

/// Which directories are missing on the way to `path`, itself included, outermost first.
pub fn missing(path: &Path) -> Vec<PathBuf> {
    let mut missing: Vec<PathBuf> = path
        .ancestors()
        .take_while(|dir| {
            let stat = rustix::fs::statat(CWD, *dir, rustix::fs::AtFlags::SYMLINK_NOFOLLOW);
            matches!(stat, Err(Errno::NOENT))
        })
        .map(Path::to_path_buf)
        .collect();
    missing.reverse();
    missing
}

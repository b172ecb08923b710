//! Makes what an agent wrote readable for its gateway: 0600 becomes 0664.
//!
//! Whoever writes in the workspace may mean harm, and gain by making us widen a file that is not in it. So nothing is
//! done to a path: a file is opened strictly beneath the workspace, and changed through that descriptor, once it is
//! certain that it is a file of the workspace and has no other name. That the names are looked at first, and the
//! files then, is for keys: one that is moved out of `.ssh` meanwhile is still known for what it is.

use std::collections::{BTreeSet, HashSet};
use std::ffi::CStr;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, StatxFlags};
use rustix::io::Errno;

use super::private::{HEAD, is_key, is_private_name};
use super::{Dir, RelPath, STRICT};
use crate::error::HostError;

/// The mode that is widened, and no other: whoever gave a file another one had a reason.
const NARROW: u32 = 0o600;
/// What it becomes.
const WIDE: Mode = Mode::from_bits_retain(0o664);
/// Without any of these bits, a file or directory is its owner's alone. Such a directory is private with all in it.
const FOR_OTHERS: u32 = 0o077;
/// Strictly beneath the workspace, and on its file system.
const BENEATH: ResolveFlags = STRICT.union(ResolveFlags::NO_XDEV);
/// What is more than this is left for the next round, or for nobody: an agent can make names faster than we read them.
const MOST_NAMES: usize = 1_000_000;
/// So many files are widened in one round.
const MOST_FILES: usize = 50_000;
/// So many private files are remembered.
const MOST_KNOWN: usize = 200_000;

/// A file, whatever its name is just now. Numbers are used again, so when it was born is part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Identity {
    device: (u32, u32),
    inode: u64,
    born: (i64, u32),
}

/// Widens the files of one workspace, round after round.
#[derive(Debug)]
pub struct Widener {
    uid: u32,
    spared: BTreeSet<RelPath>,
    private: HashSet<Identity>,
}

/// What became of one round.
#[derive(Debug, Default)]
pub struct Round {
    /// Widened.
    pub widened: Vec<RelPath>,
    /// Narrow, and left so since they are private: known by their name, their place or their content.
    pub private: usize,
    /// What could not be looked at or changed, and why.
    pub failed: Vec<HostError>,
    /// There was more than one round takes.
    pub cut_short: bool,
}

/// What the names say: files to widen, with what they were when they were seen.
#[derive(Default)]
struct Seen {
    candidates: Vec<(RelPath, Identity)>,
    names: usize,
}

impl Widener {
    /// For a workspace whose files `uid` makes. `spared` are never touched.
    pub fn new(uid: u32, spared: BTreeSet<RelPath>) -> Self {
        Self { uid, spared, private: HashSet::new() }
    }

    /// Looks at every name once, and widens what is to be widened. `None`: there is no workspace.
    ///
    /// # Errors
    /// When the workspace itself cannot be read, or the kernel cannot promise to stay in it.
    pub fn round(&mut self, workspace: &Path) -> Result<Option<Round>, HostError> {
        let Some(dir) = Dir::open(workspace)? else { return Ok(None) };
        let top = fstat(&dir, &dir.fd, None)?;
        let mut round = Round::default();
        if self.private.len() > MOST_KNOWN / 2 {
            // Most of them are long gone. Those that are not are met again before anything is widened.
            self.private.clear();
        }
        let seen = self.look(&dir, &top, &mut round)?;
        if self.private.len() >= MOST_KNOWN {
            // What is not remembered could not be told from the rest.
            return Ok(Some(round));
        }
        for (path, identity) in seen.candidates {
            if self.private.contains(&identity) {
                round.private += 1;
                continue;
            }
            match self.widen(&dir, &top, &path, identity) {
                Ok(Became::Wide) => round.widened.push(path),
                Ok(Became::Private) => {
                    round.private += 1;
                    self.remember(identity, &mut round);
                }
                Ok(Became::Another) => {}
                Err(error) => round.failed.push(error),
            }
        }
        Ok(Some(round))
    }

    /// Reads all names. Directories are opened by their path from the top each time: one that is moved out of the
    /// workspace meanwhile is not found any more, instead of leading us along.
    fn look(&mut self, dir: &Dir, top: &Stat, round: &mut Round) -> Result<Seen, HostError> {
        let mut seen = Seen::default();
        let mut open: Vec<(Option<RelPath>, bool)> = vec![(None, false)];
        while let Some((path, private)) = open.pop() {
            let names = match Self::list(dir, path.as_ref(), &mut seen) {
                Ok(names) => names,
                // The workspace itself has to be readable; what is in it comes and goes, or is nobody's business.
                Err(errno) if path.is_none() => return Err(HostError::io("list", &dir.path, errno)),
                Err(_) => continue,
            };
            for name in names {
                let inner = path.as_ref().map_or_else(|| name.clone(), |above| above.join(&name));
                let private = private || is_private_name(name.as_str()) || self.spared.contains(&inner);
                open.extend(self.meet(dir, top, inner, private, &mut seen, round));
            }
            if seen.names >= MOST_NAMES || seen.candidates.len() >= MOST_FILES {
                round.cut_short = true;
                break;
            }
        }
        Ok(seen)
    }

    /// The names in a directory that we could say again. Others are left alone.
    fn list(dir: &Dir, path: Option<&RelPath>, seen: &mut Seen) -> rustix::io::Result<Vec<RelPath>> {
        let name = path.map_or(".", RelPath::as_str);
        let fd = rustix::fs::openat2(
            &dir.fd,
            name,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
            BENEATH,
        )?;
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::new(fd)? {
            seen.names += 1;
            if seen.names > MOST_NAMES {
                break;
            }
            names.extend(plain(entry?.file_name()));
        }
        Ok(names)
    }

    /// What is to be done about one name. A directory comes back, to be read.
    fn meet(
        &mut self,
        dir: &Dir,
        top: &Stat,
        path: RelPath,
        private: bool,
        seen: &mut Seen,
        round: &mut Round,
    ) -> Option<(Option<RelPath>, bool)> {
        let fd = open(dir, &path, OFlags::PATH).ok()?;
        let stat = rustix::fs::fstat(&fd).ok()?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let private = private || stat.st_mode & FOR_OTHERS == 0;
                Some((Some(path), private))
            }
            FileType::RegularFile if private => {
                round.private += usize::from(self.is_narrow(&stat, top));
                // What others may read is no secret, and there may be a lot of it, as in `.git`.
                if stat.st_mode & FOR_OTHERS == 0 {
                    let identity = identity(&fd).ok()?;
                    self.remember(identity, round);
                }
                None
            }
            FileType::RegularFile if self.is_narrow(&stat, top) && stat.st_nlink == 1 => {
                let identity = identity(&fd).ok()?;
                seen.candidates.push((path, identity));
                None
            }
            _ => None,
        }
    }

    fn is_narrow(&self, stat: &Stat, top: &Stat) -> bool {
        FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
            && stat.st_mode & 0o7777 == NARROW
            && stat.st_uid == self.uid
            && stat.st_dev == top.st_dev
    }

    /// All that is known of the name may be false by now. The descriptor is not.
    fn widen(&self, dir: &Dir, top: &Stat, path: &RelPath, seen: Identity) -> Result<Became, HostError> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = match open(dir, path, flags) {
            Ok(fd) => fd,
            Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR | Errno::XDEV | Errno::NXIO) => {
                return Ok(Became::Another);
            }
            Err(errno) => return Err(dir.failed("open", path, errno)),
        };
        let failed = |errno| dir.failed("read", path, errno);
        let Some(stat) = dir.only_name(path, &fd).map_err(failed)? else { return Ok(Became::Another) };
        if !self.is_narrow(&stat, top) || identity(&fd).map_err(failed)? != seen {
            return Ok(Became::Another);
        }
        let mut file = File::from(fd);
        let mut head = Vec::with_capacity(HEAD);
        let read = (&mut file).take(HEAD as u64).read_to_end(&mut head);
        read.map_err(|cause| dir.failed("read", path, cause))?;
        if is_key(&head) {
            return Ok(Became::Private);
        }
        rustix::fs::fchmod(&file, WIDE).map_err(|errno| dir.failed("set the mode of", path, errno))?;
        Ok(Became::Wide)
    }

    fn remember(&mut self, identity: Identity, round: &mut Round) {
        if self.private.len() < MOST_KNOWN {
            self.private.insert(identity);
        } else {
            round.cut_short = true;
        }
    }
}

enum Became {
    Wide,
    Private,
    /// It is not what was seen under this name.
    Another,
}

fn open(dir: &Dir, path: &RelPath, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat2(&dir.fd, path.as_str(), flags, Mode::empty(), BENEATH)
}

fn fstat(dir: &Dir, fd: &OwnedFd, path: Option<&RelPath>) -> Result<Stat, HostError> {
    let path = path.map_or_else(|| dir.path.clone(), |path| dir.full(path));
    rustix::fs::fstat(fd).map_err(|errno| HostError::io("read", &path, errno))
}

fn identity(fd: &OwnedFd) -> rustix::io::Result<Identity> {
    let wanted = StatxFlags::INO | StatxFlags::BTIME;
    let stat = rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, wanted)?;
    let born = if stat.stx_mask & StatxFlags::BTIME.bits() == 0 {
        // Some file systems do not know. Then a number that is used again may be taken for private.
        (0, 0)
    } else {
        (stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec)
    };
    Ok(Identity { device: (stat.stx_dev_major, stat.stx_dev_minor), inode: stat.stx_ino, born })
}

/// A name that can be said and printed; not `.` and `..`.
fn plain(name: &CStr) -> Option<RelPath> {
    RelPath::parse(name.to_str().ok()?).ok()
}

//! Who may read files that hold secrets.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::{Check, Checklist, Cure, Fix, path_word};

/// Whose eyes a file is open to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eyes {
    /// Its owner's alone.
    Owner,
    /// Its group's too.
    Group,
    /// Everybody's.
    All,
}

impl Eyes {
    /// By the permission bits.
    pub fn of(mode: u32) -> Self {
        match (mode & 0o004, mode & 0o040) {
            (0, 0) => Self::Owner,
            (0, _) => Self::Group,
            _ => Self::All,
        }
    }
}

/// What is wrong with the permissions of a file or directory of ours that nobody else has to see, if anything is.
pub fn too_open(list: &Checklist, code: &str, title: &str, path: &Path, meta: &Metadata) -> Option<Check> {
    let mode = meta.mode() & 0o7777;
    let right = mode & 0o700;
    if mode & 0o777 == right {
        return None;
    }
    let who = match (Eyes::of(mode), mode & 0o022) {
        (Eyes::All, _) => "everybody on this machine can read it",
        (Eyes::Group, _) => "its whole group can read it",
        (Eyes::Owner, 0) => "others can reach into it",
        (Eyes::Owner, _) => "others can write to it",
    };
    let found = format!("{} has mode {mode:04o}: {who}", path.display());
    let check =
        list.failure(code, title, found).cure(Cure::run(format!("chmod {right:o} {}", path_word(path))));
    // What belongs to somebody else is theirs to change.
    let ours = meta.uid() == rustix::process::geteuid().as_raw();
    Some(if ours { check.fix(Fix::Chmod { path: path.into(), mode: right }) } else { check })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_open_to_whoever_a_bit_lets_in() {
        for (mode, eyes) in [
            (0o600, Eyes::Owner),
            (0o400, Eyes::Owner),
            (0o640, Eyes::Group),
            (0o644, Eyes::All),
            (0o604, Eyes::All),
        ] {
            assert_eq!(Eyes::of(mode), eyes, "{mode:o}");
        }
    }
}

//! How much room there is.

use std::path::{Path, PathBuf};

use super::{Checklist, Standing, path_word};
use crate::health::Cure;

/// Below this, nothing can be relied on to be written.
const FULL: u64 = 32 << 20;
/// Below this, somebody should look.
const LOW: u64 = 512 << 20;

/// Notes down how much room there is for `what` at `path`, or at its nearest parent that is there.
pub fn room(list: &Checklist, code: &str, what: &str, path: &Path) {
    let Some(there) = nearest(path) else { return };
    let Ok(found) = rustix::fs::statvfs(&there) else { return };
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let standing = match free {
        ..FULL => Standing::Failure,
        FULL..LOW => Standing::Warning,
        LOW.. => Standing::Ok,
    };
    let text = format!("{} free for {what} ({})", size(free), path.display());
    let check = list.check(standing, code, "disk space", text);
    list.note(if standing == Standing::Ok {
        check
    } else {
        check.cure(Cure::run(format!("df -h {}", path_word(&there))))
    });
}

/// `path`, or the nearest directory above it that is there.
fn nearest(path: &Path) -> Option<PathBuf> {
    path.ancestors().find(|path| path.exists()).map(Path::to_owned)
}

/// `12 GB`, `340 MB`
fn size(bytes: u64) -> String {
    if bytes >= 10_000_000_000 {
        format!("{} GB", bytes / 1_000_000_000)
    } else if bytes >= 1_000_000_000 {
        format!("{}.{} GB", bytes / 1_000_000_000, bytes / 100_000_000 % 10)
    } else {
        format!("{} MB", bytes / 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_at_a_glance() {
        for (bytes, text) in
            [(0, "0 MB"), (340_900_000, "340 MB"), (1_260_000_000, "1.2 GB"), (99_999_999_999, "99 GB")]
        {
            assert_eq!(size(bytes), text);
        }
    }
}

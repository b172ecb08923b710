//! The file on disk: who may write it, who owns it, and what a killed run left beside it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use fraktalia_engine::health::{Checklist, Cure, disk, path_word, state};
use rustix::fs::{Access, access};

use super::failed;
use crate::write::{CANDIDATE, Original};

pub(super) fn examine(list: &Checklist, original: &Original) {
    if writable(list, original) {
        list.ok("openclaw.writable", "writable", "yes, with its owner and mode kept");
    }
    owner(list, original);
    disk::room(list, "openclaw.disk", "openclaw.json", &original.path);
}

/// Whether we can put another file in its place that belongs to the same user.
fn writable(list: &Checklist, original: &Original) -> bool {
    let (code, title) = ("openclaw.writable", "writable");
    if let Err(error) = original.writable() {
        list.note(failed(list, code, title, &error));
        return false;
    }
    let me = rustix::process::geteuid().as_raw();
    let path = &original.path;
    let dir = folder(path);
    let text = if let Err(error) = access(dir, Access::WRITE_OK | Access::EXEC_OK) {
        format!("{} cannot be written to: {error}", dir.display())
    } else if me != 0 && me != original.uid {
        format!("it belongs to user {}, and a file of user {me} would take its place", original.uid)
    } else {
        return true;
    };
    let cure = Cure::run(format!("sudo -u '#{}' fraktalia apply", original.uid));
    list.note(list.failure(code, title, text).cure(cure));
    false
}

/// A file that was edited as root belongs to root, and a gateway that cannot read it does not start any more.
fn owner(list: &Checklist, original: &Original) {
    let path = &original.path;
    let Ok(dir) = fs::metadata(folder(path)) else { return };
    if dir.uid() == original.uid {
        return;
    }
    let text = format!(
        "it belongs to user {}, and its directory to user {}: does the gateway still have the right to read it?",
        original.uid,
        dir.uid()
    );
    let cure = Cure::run(format!("chown --reference={} {}", path_word(folder(path)), path_word(path)));
    list.note(list.warning("openclaw.owner", "owner", text).cure(cure));
}

/// Candidates that did not come to take the file's place.
pub(super) fn leftovers(list: &Checklist, path: &Path) {
    let now = SystemTime::now();
    let stale = |entry: fs::DirEntry| -> Option<PathBuf> {
        let meta = entry.metadata().ok()?;
        let ours = entry.file_name().to_str()?.starts_with(CANDIDATE);
        (ours && meta.is_file() && state::is_stale(&meta, now)).then(|| entry.path())
    };
    let entries = fs::read_dir(folder(path)).into_iter().flatten().flatten();
    state::leftover(list, "openclaw.leftovers", entries.filter_map(stale).collect());
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

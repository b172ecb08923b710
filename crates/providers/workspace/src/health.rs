//! How workspaces are: whether they can be reached, and their agents' shells can write to them.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;

use fraktalia_engine::health::{Checklist, Cure, disk, path_word};
use fraktalia_model::Manifest;
use fraktalia_model::manifest::{Fractal, Owner, SandboxMode, WorkspaceAccess};

use crate::diff::show_owner;
use crate::spec::is_managed;

const CODE: &str = "workspace.place";

/// Notes down how the workspaces of a manifest are. Blocks as long as their file systems do.
pub fn examine(list: &Checklist, manifest: &Manifest) {
    let mut there = 0;
    let mut coming = 0;
    for fractal in manifest.fractals.values().filter(|fractal| is_managed(fractal)) {
        match fs::symlink_metadata(&fractal.workspace.path) {
            Ok(meta) if meta.is_dir() => {
                there += 1;
                writers(list, manifest, fractal, &meta);
            }
            Ok(_) => {
                let text = format!("{} is no directory", fractal.workspace.path.display());
                let cure = Cure::edit("move it away, or give the fractal another `workspace.path`");
                list.note(list.failure(CODE, "workspaces", text).cure(cure));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => coming += 1,
            Err(error) => {
                let text = format!("{} cannot be looked at: {error}", fractal.workspace.path.display());
                let cure = Cure::edit("is it a mount of another machine that is away?");
                list.note(list.failure(CODE, "workspaces", text).cure(cure));
            }
        }
    }
    if there + coming > 0 {
        let coming = if coming > 0 { format!(", {coming} come with the next apply") } else { String::new() };
        list.ok(CODE, "workspaces", format!("{there} there{coming}"));
    }
    if let Some(openclaw) = &manifest.openclaw {
        disk::room(list, "workspace.disk", "workspaces", &openclaw.workspaces);
    }
}

/// Whether the user of a fractal's sandbox can write to its workspace.
fn writers(list: &Checklist, manifest: &Manifest, fractal: &Fractal, meta: &Metadata) {
    let Some(sandbox) = fractal.sandbox.as_ref().and_then(|key| manifest.sandboxes.get(key)) else { return };
    let writes =
        sandbox.workspace_access == Some(WorkspaceAccess::Rw) && sandbox.mode != Some(SandboxMode::Off);
    let Some(user) = sandbox.user.as_deref().filter(|_| writes).and_then(user) else { return };
    if may_write(user, meta.uid(), meta.gid(), meta.mode()) {
        return;
    }
    let path = &fractal.workspace.path;
    let found = show_owner(Owner { uid: meta.uid(), gid: meta.gid() });
    let wanted = show_owner(user);
    let text = format!(
        "{} belongs to {found} (mode {:04o}), and the shell of `{}` runs as {wanted}: it cannot write there",
        path.display(),
        meta.mode() & 0o7777,
        fractal.key
    );
    let check = list.failure("workspace.writers", "writers", text);
    let check = if fractal.workspace.owner == Some(user) {
        check.cure(Cure::run("fraktalia apply"))
    } else {
        check
            .cure(Cure::edit(format!("set `workspace.owner: \"{wanted}\"` at the fractal, and apply; or")))
            .cure(Cure::run(format!("chown -R {wanted} {}", path_word(path))))
    };
    list.note(check);
}

/// `996:1100`
fn user(text: &str) -> Option<Owner> {
    let (uid, gid) = text.split_once(':')?;
    Some(Owner { uid: uid.parse().ok()?, gid: gid.parse().ok()? })
}

fn may_write(user: Owner, uid: u32, gid: u32, mode: u32) -> bool {
    // Of the three classes, the first that fits decides.
    let bits = if user.uid == uid {
        mode >> 6
    } else if user.gid == gid {
        mode >> 3
    } else {
        mode
    };
    user.uid == 0 || bits & 0o3 == 0o3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_class_that_fits_decides_who_may_write() {
        let user = Owner { uid: 996, gid: 1100 };
        for (uid, gid, mode, may) in [
            (996, 1100, 0o755, true),
            (996, 1100, 0o577, false),
            (1000, 1100, 0o775, true),
            (1000, 1100, 0o757, false),
            (1000, 1000, 0o775, false),
            (1000, 1000, 0o777, true),
        ] {
            assert_eq!(may_write(user, uid, gid, mode), may, "{uid}:{gid} {mode:o}");
        }
        assert!(may_write(Owner { uid: 0, gid: 0 }, 1000, 1000, 0o700), "root");
    }
}

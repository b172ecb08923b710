//! What differs between a workspace as wanted and as seen.

use fraktalia_model::Note;
use fraktalia_model::manifest::{KeepFile, Owner};
use fraktalia_plan::diff::{cause, compare};
use fraktalia_plan::{Delta, FieldChange};

use crate::host::Access;
use crate::spec::{FileSpec, Spec, TreeSpec};
use crate::state::State;

/// The bits of a directory's mode that are managed. Set-group-id and sticky are the administrator's.
pub const DIR_BITS: u32 = 0o777;
/// The bits of a file's mode that are managed.
pub const FILE_BITS: u32 = 0o7777;

/// Compares. `last` is what was asked for last time.
pub fn diff(want: &Spec, have: &State, last: Option<&Spec>) -> Delta {
    match (want, have) {
        (Spec::Tree(tree), State::Tree { access, .. }) => {
            let last = match last {
                Some(Spec::Tree(last)) => Some(last),
                _ => None,
            };
            Delta { fields: tree_fields(tree, *access, last), ..Delta::default() }
        }
        (Spec::File(file), State::File { sha256, access, .. }) => {
            let last = match last {
                Some(Spec::File(last)) => Some(last),
                _ => None,
            };
            Delta { fields: file_fields(file, sha256.as_deref(), *access, last), ..Delta::default() }
        }
        (Spec::File(_), State::GivenUp { .. }) => Delta::default(),
        (_, State::Odd { path, what }) => blocked(&path.display().to_string(), what),
        (Spec::Tree(_), State::File { path, .. } | State::GivenUp { path }) => {
            blocked(&path.display().to_string(), "not a directory")
        }
        (Spec::File(_), State::Tree { path, .. }) => blocked(&path.display().to_string(), "a directory"),
    }
}

fn tree_fields(want: &TreeSpec, have: Access, last: Option<&TreeSpec>) -> Vec<FieldChange> {
    let owner = owner(want.owner, have.owner, last.and_then(|last| last.owner));
    let mode = mode(want.mode, have.mode & DIR_BITS, last.map(|last| last.mode));
    owner.into_iter().chain(mode).collect()
}

fn file_fields(
    want: &FileSpec,
    sha256: Option<&str>,
    have: Access,
    last: Option<&FileSpec>,
) -> Vec<FieldChange> {
    let content = match want.keep {
        KeepFile::Seed => None,
        KeepFile::Sync => sha256.and_then(|have| content(want, have, last)),
    };
    let owner = owner(want.owner, have.owner, last.and_then(|last| last.owner));
    let mode = mode(want.mode, have.mode & FILE_BITS, last.map(|last| last.mode));
    content.into_iter().chain(owner).chain(mode).collect()
}

fn content(want: &FileSpec, have: &str, last: Option<&FileSpec>) -> Option<FieldChange> {
    let last = last.map(|last| last.sha256.as_str());
    let short = |hash: &str| Some(format!("sha256 {}", hash.get(..8).unwrap_or(hash)));
    compare("content", want.sha256.as_str(), have, last, short)
}

fn owner(want: Option<Owner>, have: Owner, last: Option<Owner>) -> Option<FieldChange> {
    let want = want.filter(|want| *want != have)?;
    Some(FieldChange {
        field: "owner".into(),
        from: Some(show_owner(have)),
        to: Some(show_owner(want)),
        cause: cause(&want, &have, last.as_ref()),
    })
}

fn mode(want: u32, have: u32, last: Option<u32>) -> Option<FieldChange> {
    compare("mode", &want, &have, last.as_ref(), |mode| Some(format!("{mode:04o}")))
}

/// `996:1100`
pub fn show_owner(owner: Owner) -> String {
    format!("{}:{}", owner.uid, owner.gid)
}

fn blocked(path: &str, what: &str) -> Delta {
    let note = Note::error("workspace.odd", format!("{path} is {what}, and is left alone")).hint(
        "look at it, then move it out of the way: fraktalia writes only to plain files in plain directories",
    );
    Delta { blocked: Some(note), ..Delta::default() }
}

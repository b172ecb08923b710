//! Where the manifest of a watch comes from.

use std::error::Error as _;
use std::path::Path;

use fraktalia_engine::git::{Clones, Remote, Signers};
use fraktalia_engine::watch::Source;

use super::state::BranchState;
use crate::app::Place;
use crate::cli::GitArgs;
use crate::error::Failure;

/// The file at `path`, or the branch that was named.
pub fn of(path: &Path, git: &GitArgs, place: &Place) -> Result<Source, Failure> {
    let Some(url) = &git.url else { return Ok(path.into()) };
    let signers = git.verify_signatures.as_deref().map(signers).transpose()?;
    let remote = Remote::new(url, &git.branch, &git.path, signers);
    let remote = remote.map_err(|bad| Failure::usage(bad.what, bad.hint))?;
    let clones = Clones::open(&place.clones()?, remote).map_err(|error| Failure::Environment {
        what: error.source().map_or_else(|| error.to_string(), |why| format!("{error}: {why}")),
        hint: error.hint().unwrap_or_else(|| "--state names another directory".into()),
    })?;
    Ok(Source::Branch(clones, git.poll))
}

fn signers(path: &Path) -> Result<Signers, Failure> {
    let failed = |source| Failure::File { doing: "read", path: path.into(), source };
    let absolute = std::path::absolute(path).map_err(failed)?;
    let is_dir = std::fs::metadata(&absolute).map_err(failed)?.is_dir();
    Ok(if is_dir { Signers::Gpg(absolute) } else { Signers::Ssh(absolute) })
}

/// What is known of the branch before the remote was asked.
pub fn state(git: &GitArgs) -> Option<BranchState> {
    let url = git.url.clone()?;
    Some(BranchState { url, branch: git.branch.clone(), newest: None, reachable: None, refused: None })
}

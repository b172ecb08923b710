//! Saved plans: a plan in a file, with a format number, readable by its owner alone.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use fraktalia_plan::Plan;
use fraktalia_plan::plan::FORMAT;
use serde::{Deserialize, Serialize};

use crate::error::Failure;

/// Larger files are no plan.
const LIMIT: u64 = 256 << 20;

#[derive(Serialize)]
struct Written<'a> {
    fraktalia_plan: u16,
    plan: &'a Plan,
}

/// What has to be right before the rest is looked at.
#[derive(Deserialize)]
struct Head {
    fraktalia_plan: u16,
}

#[derive(Deserialize)]
struct Body {
    plan: Plan,
}

/// Why a file is no plan.
#[derive(Debug, thiserror::Error)]
enum NotAPlan {
    #[error("it is larger than any plan")]
    TooLarge,
    #[error("it was made by another version: format {0}, and this one reads {FORMAT}")]
    Format(u16),
    #[error("it is damaged, or no plan at all")]
    Damaged(#[source] serde_json::Error),
    #[error("it is not sound: {}", .0.join("; "))]
    Unsound(Vec<String>),
}

/// Keeps a plan. The file is written beside and renamed, so that it is whole or not there.
pub fn write(path: &Path, plan: &Plan) -> Result<(), Failure> {
    let failed = |source| Failure::File { doing: "write", path: path.into(), source };
    let bytes = serde_json::to_vec_pretty(&Written { fraktalia_plan: FORMAT, plan })
        .map_err(|error| failed(io::Error::other(error)))?;
    let name = path.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
    let mut beside = name.to_os_string();
    beside.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(beside);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&part)
        .and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&part, path));
    written.map_err(|source| {
        // What is left of it is of no use to anybody.
        let _ = std::fs::remove_file(&part);
        failed(source)
    })
}

/// Reads a plan that was kept. It is audited again: the file may have been changed.
pub fn read(path: &Path) -> Result<Plan, Failure> {
    let refused = |why: NotAPlan| Failure::SavedPlan { path: path.into(), source: Box::new(why) };
    let file = std::fs::File::open(path).map_err(|source| Failure::File {
        doing: "read",
        path: path.into(),
        source,
    })?;
    let mut bytes = Vec::new();
    file.take(LIMIT + 1).read_to_end(&mut bytes).map_err(|source| Failure::File {
        doing: "read",
        path: path.into(),
        source,
    })?;
    if bytes.len() as u64 > LIMIT {
        return Err(refused(NotAPlan::TooLarge));
    }
    let damaged = |error| refused(NotAPlan::Damaged(error));
    let head: Head = serde_json::from_slice(&bytes).map_err(damaged)?;
    if head.fraktalia_plan != FORMAT {
        return Err(refused(NotAPlan::Format(head.fraktalia_plan)));
    }
    let body: Body = serde_json::from_slice(&bytes).map_err(damaged)?;
    let findings = fraktalia_plan::audit::audit(&body.plan);
    if findings.is_empty() { Ok(body.plan) } else { Err(refused(NotAPlan::Unsound(findings))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::testing::{empty, garden};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_kept_plan_comes_back_as_it_was_and_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("week.plan");
        std::fs::write(&path, "old").unwrap();
        write(&path, &garden()).unwrap();
        assert_eq!(read(&path).unwrap(), garden());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn what_is_no_plan_is_refused_and_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.plan");
        let refused = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let failure = read(&path).unwrap_err();
            assert_eq!(failure.exit(), crate::exit::Exit::STALE);
            std::error::Error::source(&failure).unwrap().to_string()
        };
        assert!(refused("").contains("damaged"));
        assert!(refused("{\"plan\": {}}").contains("damaged"));
        assert!(refused("{\"fraktalia_plan\": 99}").contains("format 99"));
        let mut unsound = garden();
        unsound.edges[0].to = 1;
        write(&path, &unsound).unwrap();
        assert!(
            std::error::Error::source(&read(&path).unwrap_err()).unwrap().to_string().contains("forward")
        );
    }

    #[test]
    fn a_file_that_is_larger_than_any_plan_is_refused_before_it_fills_the_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.plan");
        // It has holes, and takes no room on the disk.
        std::fs::File::create(&path).unwrap().set_len(LIMIT + 1).unwrap();
        let failure = read(&path).unwrap_err();
        assert_eq!(failure.exit(), crate::exit::Exit::STALE);
        let why = std::error::Error::source(&failure).unwrap().to_string();
        assert!(why.contains("larger than any plan"), "{why}");
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let failure = write(Path::new("/nowhere/at/all.plan"), &empty()).unwrap_err();
        assert_eq!(failure.to_string(), "cannot write /nowhere/at/all.plan");
    }
}

//! The file of an approved fragment goes, and what it asked for with it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use fraktalia_desk::{Outcome, Planned};
use fraktalia_model::manifest::{FragmentBounds, read_fragment};
use fraktalia_model::{Severity, Span};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::manifest::{Writing, checked};
use crate::plan::Failed;
use crate::record::{Record, failed};
use crate::repository::Repository;
use crate::run::{Doing, Progress, Tree};
use crate::{Hands, write};

/// What such a file may cost: what a proposal may, and who is to thank for it.
const BOUNDS: FragmentBounds =
    FragmentBounds { bytes: 32 * 1024, lines: 500, ..fraktalia_desk::fragment::BOUNDS };

/// A file that is, or was, there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// Where.
    pub path: PathBuf,
    /// What stands in it.
    pub text: String,
    /// Its mode.
    pub mode: u32,
}

impl Removed {
    fn of(path: &Path) -> Result<Self, String> {
        let doing = |error| failed("read", path, &error);
        let text = std::fs::read_to_string(path).map_err(doing)?;
        let mode = path.metadata().map_err(doing)?.permissions().mode() & 0o777;
        Ok(Self { path: path.to_path_buf(), text, mode })
    }

    /// Removes it, if it is still what it was. Repeated, it does nothing more.
    fn remove(&self) -> Result<(), String> {
        let doing = |error: &dyn std::fmt::Display| failed("remove", &self.path, error);
        match std::fs::read(&self.path) {
            Ok(bytes) if bytes == self.text.as_bytes() => {}
            Ok(_) => return Err(format!("{} was changed meanwhile, and stays", self.path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(doing(&error)),
        }
        let dir = self.path.parent().unwrap_or(Path::new("/"));
        let removed = std::fs::remove_file(&self.path).and_then(|()| std::fs::File::open(dir)?.sync_all());
        removed.map_err(|error| doing(&error))
    }

    /// Puts it back where nothing is.
    pub fn put_back(&self) -> Result<(), String> {
        write::create(&self.path, &self.text, self.mode)
    }
}

impl Hands {
    pub(crate) async fn plan_remove(&self, key: &str, name: &str) -> Result<Planned, String> {
        let (writing, _) = self.removable(name).await?;
        let path = writing.below.join(format!("{}.yaml", checked(name)?));
        let without = format!("--without={}", path.display()).into();
        let (plan, answer) = self.planned_with_answer(key, &[without]).await.map_err(|why| match why {
            // It is nobody's proposal that is wrong, but what is left.
            Failed::Manifest(why) => format!("without it the manifest is invalid: {why}"),
            Failed::Other(why) => why,
        })?;
        let protected = answer.protected(name);
        if !protected.is_empty() {
            return Err(format!(
                "the policy protects {}, which would stay behind; take it out of `policy.protect` first",
                protected.join(", ")
            ));
        }
        Ok(Planned::Plan(plan))
    }

    /// The file of a fractal that is written there and nowhere else, and holds nothing but it.
    async fn removable(&self, name: &str) -> Result<(Writing, Removed), String> {
        let name = checked(name)?;
        let writing = self.writing()?;
        let path = writing.dir.join(format!("{name}.yaml"));
        let manifest = self.manifest()?;
        let fractal = manifest.fractals.get(name).ok_or_else(|| match path.symlink_metadata() {
            Ok(_) => format!("{} holds no fractal of that name; look at it by hand", self.place(&path)),
            Err(_) => {
                format!("the manifest has no fractal `{name}`; `fraktalia status` shows those that it has")
            }
        })?;
        let is_plain = path.symlink_metadata().is_ok_and(|there| there.is_file());
        if !is_plain || std::path::absolute(&fractal.at.file).ok().as_ref() != Some(&path) {
            return Err(format!("`{name}` stands in {}, and is removed there", self.at(&fractal.at)));
        }
        let file = Removed::of(&path)?;
        if let Err((why, at)) = holds_only(&path, &file.text, name) {
            let at = self.at(&at.unwrap_or_else(|| fractal.at.clone()));
            return Err(format!("{at}: {why}; so `{name}` is removed there by hand"));
        }
        if writing.commit && Repository::of(&writing.dir, &writing.server).await?.is_dirty(&path).await? {
            return Err(format!(
                "{} has changes that were not committed; commit them first",
                self.place(&path)
            ));
        }
        Ok((writing, file))
    }

    /// `fraktalia.yaml line 12`
    fn at(&self, at: &Span) -> String {
        format!("{} line {}", self.place(&at.file), at.line)
    }
}

/// Whether a text holds that fractal and nothing else; otherwise what and where.
fn holds_only(path: &Path, text: &str, name: &str) -> Result<(), (String, Option<Span>)> {
    let read = read_fragment(path, text, &BOUNDS);
    if let Some(note) = read.notes.into_iter().find(|note| note.severity == Severity::Error) {
        return Err((note.text, note.at));
    }
    let fragment = read.fragment.ok_or_else(|| ("it cannot be read".to_owned(), None))?;
    let more = fragment.written.iter().find(|written| match &written.path[..] {
        [section, key, ..] => section != "fractals" || key != name,
        [section] => section != "fractals",
        [] => false,
    });
    match more {
        Some(more) => Err((format!("`{}` stands there as well", more.path.join(".")), Some(more.at.clone()))),
        None if fragment.fractals.iter().any(|asked| asked.key.value == name) => Ok(()),
        None => Err(("it holds no fractal of that name".to_owned(), None)),
    }
}

impl Doing<'_> {
    pub(crate) async fn remove(
        &self,
        name: &str,
        progress: Progress<'_>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<Outcome, String> {
        let name = checked(name)?;
        let begun = self.hands.record(self.key)?;
        match self.earlier().await {
            Ok(None) => {}
            Ok(past) => return Ok(self.go_on(past, None, progress, &mut stop).await),
            Err(unknown) => return Ok(unknown),
        }
        if let Some(outcome) = self.is_in_the_way(&stop).await? {
            return Ok(self.without_traces(outcome).await);
        }
        let plan = self.hands.kept(self.fingerprint)?;
        if !plan.is_file() {
            return Ok(self.without_traces(Outcome::Stale).await);
        }
        let (file, writing) = match begun.and_then(|record| record.removed) {
            Some(file) => (file, self.hands.writing()?),
            None => {
                let (writing, file) = self.hands.removable(name).await?;
                let record = Record {
                    removed: Some(file.clone()),
                    commit: writing.commit,
                    push: writing.push,
                    ..Record::default()
                };
                self.hands.keep(self.key, &record)?;
                self.hands.step("recorded");
                (file, writing)
            }
        };
        progress(format!("removing {}", self.hands.place(&file.path)));
        file.remove()?;
        self.hands.step("written");
        let tree = Tree { path: file.path, subject: format!("Remove the fractal {name}"), writing };
        Ok(self.commit_and_apply(tree, plan, progress, &mut stop).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_holds_anything_else_is_told_from_one_that_does_not() {
        let holds = |text: &str| {
            holds_only(Path::new("cook.yaml"), text, "cook").map_err(|(why, at)| (why, at.map(|at| at.line)))
        };
        assert_eq!(holds("# Approved by @ana.\nfractals:\n  cook:\n    purpose: Cooks.\n"), Ok(()));
        let more = |what: &str, line| Err((format!("`{what}` stands there as well"), Some(line)));
        assert_eq!(holds("fractals: { cook: , baker: }\n"), more("fractals.baker", 1));
        assert_eq!(holds("fractals:\n  cook:\nusers: { eve: }\n"), more("users", 3));
        assert_eq!(holds("include: [x.yaml]\nfractals: { cook: }\n"), more("include", 1));
        assert_eq!(holds("fractals: { baker: }\n"), more("fractals.baker", 1));
        for wrong in
            ["", "fractals:\n", "x: &a 1\n", "fractals: [\n", "fractals: { cook: { nonsense: 1 } }\n"]
        {
            assert!(holds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_file_goes_only_as_it_was_and_comes_back_only_where_nothing_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cook.yaml");
        std::fs::write(&path, "a\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let file = Removed::of(&path).unwrap();
        std::fs::write(&path, "b\n").unwrap();
        assert!(file.remove().unwrap_err().contains("was changed"));
        assert!(file.put_back().unwrap_err().contains("is there already"));
        std::fs::write(&path, "a\n").unwrap();
        for _ in 0..2 {
            file.remove().unwrap();
            assert!(!path.exists());
        }
        for _ in 0..2 {
            file.put_back().unwrap();
            assert_eq!(Removed::of(&path).unwrap(), file, "text and mode");
        }
    }
}

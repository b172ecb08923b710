//! The file of an approved fragment, its commit, and the way back of both.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use fraktalia_desk::{Approval, Credits, EventId, Key};
use fraktalia_model::files::sha256_hex;

use crate::Hands;
use crate::manifest::Writing;
use crate::record::{Record, failed};
use crate::repository::{ACT, Done, Repository};

/// The text of the file: who is to thank, then the fragment as it was approved.
pub fn text(key: &Key, credits: &Credits, fragment: &str) -> String {
    let event = |event: &EventId| format!(" ({event})");
    let proposed = credits.proposed_by.as_ref().map_or_else(String::new, |who| {
        let event = credits.proposal.as_ref().map_or_else(String::new, event);
        format!("# Proposed by {}{event}.\n", one_line(&who.to_string()))
    });
    let approved = approved_by(&credits.approved);
    let event = signs(&credits.approved).last().map_or_else(String::new, |sign| event(sign));
    let end = if fragment.ends_with('\n') { "" } else { "\n" };
    format!("{proposed}# Approved by {approved}{event}.\n# {ACT}: {key}\n{fragment}{end}")
}

/// The message of a commit.
pub fn message(subject: &str, key: &Key, credits: &Credits) -> String {
    let proposed = credits
        .proposed_by
        .as_ref()
        .map_or_else(String::new, |who| format!("Proposed by {}\n", one_line(&who.to_string())));
    let approved = approved_by(&credits.approved);
    let events = credits.proposal.iter().chain(signs(&credits.approved));
    let text = format!("{subject}\n\n{proposed}Approved by {approved}\n\n{ACT}: {key}\n");
    events.fold(text, |text, event| text + &format!("Matrix-Event: {event}\n"))
}

fn approved_by(approval: &Approval) -> String {
    match approval {
        Approval::Operator { by, .. } => one_line(&by.0),
        Approval::Token { name, .. } => one_line(&format!("the token `{name}`")),
    }
}

/// The events that show an approval: the plan, and the reaction to it.
fn signs(approval: &Approval) -> Vec<&EventId> {
    match approval {
        Approval::Operator { reaction, message, .. } => vec![message, reaction],
        Approval::Token { .. } => Vec::new(),
    }
}

fn one_line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(255).collect()
}

/// Puts a text where nothing is; whole, and on disk. The same text is a repeat.
pub fn create(path: &Path, text: &str, mode: u32) -> Result<(), String> {
    let doing = |error: &dyn std::fmt::Display| failed("write", path, error);
    let dir = path.parent().ok_or_else(|| doing(&"it is in no directory"))?;
    std::fs::create_dir_all(dir).map_err(|error| doing(&error))?;
    let there = path.symlink_metadata();
    if there.is_ok() {
        return match std::fs::read(path) {
            Ok(bytes) if bytes == text.as_bytes() => Ok(()),
            _ => Err(format!("{} is there already, and is not ours to write", path.display())),
        };
    }
    // The name begins with a dot, which no `include` covers.
    let new = tempfile::Builder::new().prefix(".fraktalia-").tempfile_in(dir);
    let written = new.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(mode))?;
        file.as_file().sync_all()?;
        file.persist_noclobber(path).map_err(|error| error.error)?;
        std::fs::File::open(dir)?.sync_all()
    });
    written.map_err(|error| doing(&error))
}

impl Hands {
    /// Commits what is written, and pushes it, where that is wanted. Each step looks first whether it was done.
    pub(crate) async fn commit(
        &self,
        key: &Key,
        paths: &[PathBuf],
        message: &str,
        writing: &Writing,
    ) -> Result<Option<String>, String> {
        if !writing.commit {
            return Ok(None);
        }
        let repository = Repository::of(&writing.dir, &writing.server).await?;
        let upstream = if writing.push { Some(repository.upstream().await?) } else { None };
        if !matches!(repository.done(key).await?, Some(Done::Committed(_))) {
            if let Some(upstream) = &upstream {
                repository.only_ours(upstream).await?;
            }
            repository.commit(paths, message).await?;
            self.step("committed");
        }
        let Some(Done::Committed(commit)) = repository.done(key).await? else {
            return Err("the commit that was just made is not there: something else writes the branch".into());
        };
        if let Some(upstream) = &upstream
            && !repository.is_pushed(upstream, &commit).await?
        {
            repository.push(upstream).await.map_err(|why| format!("the push was refused: {why}"))?;
            self.step("pushed");
        }
        Ok(Some(commit))
    }

    /// The commit of an act that stands.
    pub(crate) async fn commit_of(&self, key: &Key) -> Option<String> {
        let record = self.record(key).ok()??;
        if !record.commit {
            return None;
        }
        let repository = Repository::of(self.folder(), "localhost").await.ok()?;
        match repository.done(key).await {
            Ok(Some(Done::Committed(commit))) => Some(commit),
            _ => None,
        }
    }

    /// Takes back the commit of a run, or the file where there is none. Repeated, it does nothing more.
    ///
    /// # Errors
    /// Why it could not be; mostly, that somebody has changed the same since.
    pub async fn take_back(&self, run: &Key) -> Result<(), String> {
        let Some(record) = self.record(run)? else { return Ok(()) };
        self.wait_for_child(&record).await;
        if record.commit {
            let server = self.manifest().ok().and_then(|manifest| manifest.matrix);
            let server = server.map_or_else(|| "localhost".to_owned(), |matrix| matrix.server_name);
            let repository = Repository::of(self.folder(), &server).await?;
            if self.take_back_commit(&repository, run, record.push).await? {
                return Ok(());
            }
            // It was not committed yet.
            if let Some((path, _)) = &record.file
                && path.symlink_metadata().is_ok()
            {
                repository.unstage(path).await?;
            }
        }
        self.restore(&record)
    }

    /// Whether there was a commit.
    async fn take_back_commit(&self, repository: &Repository, run: &Key, push: bool) -> Result<bool, String> {
        let Some(done) = repository.done(run).await? else { return Ok(false) };
        // Asked only now: where nothing could be committed for want of a place to push to, there is nothing to push back.
        let upstream = if push { Some(repository.upstream().await?) } else { None };
        if let Done::Committed(commit) = done {
            repository.take_back(&commit, run).await?;
            self.step("taken back");
        }
        if let Some(upstream) = &upstream {
            // What never got there needs not be taken back there.
            repository.push_the_way_back(upstream, run).await?;
            self.step("pushed back");
        }
        Ok(true)
    }

    /// Without a commit: what we wrote goes, if it is still what we wrote.
    fn restore(&self, record: &Record) -> Result<(), String> {
        for (path, text) in &record.before {
            crate::take_in::put(path, text).map_err(|error| failed("restore", path, &error))?;
        }
        if let Some(removed) = &record.removed {
            removed.put_back()?;
            self.step("put back");
        }
        let Some((path, sha256)) = &record.file else { return Ok(()) };
        match std::fs::read(path) {
            Ok(bytes) if sha256_hex(&bytes) == *sha256 => {
                std::fs::remove_file(path).map_err(|error| failed("remove", path, &error))?;
                self.step("removed");
                Ok(())
            }
            Ok(_) => Err(format!("{} is not what we wrote any more, and stays", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed("read", path, &error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_never_written_over_and_the_same_text_is_a_repeat() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d/cook.yaml");
        create(&path, "a\n", 0o644).unwrap();
        create(&path, "a\n", 0o644).unwrap();
        assert!(create(&path, "b\n", 0o644).unwrap_err().contains("is there already"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "a\n");
        assert_eq!(std::fs::read_dir(dir.path().join("d")).unwrap().count(), 1, "nothing else is left");
        let link = dir.path().join("d/link.yaml");
        std::os::unix::fs::symlink("/nowhere", &link).unwrap();
        assert!(create(&link, "a\n", 0o644).is_err(), "a link that leads nowhere is something too");
    }
}

//! Secrets that the manifest names: whether they are there, and who else can see them.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use fraktalia_model::SecretSource;

use super::{Checklist, Cure, path_word, private};
use crate::secrets::Secrets;

/// How long git may take to say whether it knows a file.
const GIT: Duration = Duration::from_secs(5);

/// A secret and what it is for: `matrix.admin_token`.
pub struct Named {
    /// Its place in the manifest.
    pub what: String,
    /// Where its text is.
    pub source: SecretSource,
}

/// Notes down how the secrets are kept. None of them is read here; the system that it is for says whether it is right.
pub async fn examine(list: &Checklist, base: &Path, secrets: &Secrets, named: &[Named]) {
    let mut fine = 0;
    for one in named {
        if look(list, base, secrets, one).await {
            fine += 1;
        }
    }
    if fine == named.len() && fine > 0 {
        let text =
            if fine == 1 { "1, kept from others".into() } else { format!("{fine}, all kept from others") };
        list.ok("secrets.kept", "secrets", text);
    }
}

/// Whether there is nothing to say about one of them.
async fn look(list: &Checklist, base: &Path, secrets: &Secrets, one: &Named) -> bool {
    let (code, what) = ("secrets.kept", &one.what);
    let file = match &one.source {
        SecretSource::File(file) => secrets.path(file),
        SecretSource::Env(name) if std::env::var_os(name).is_none() => {
            let text = format!("{what}: the environment variable {name} is not set here");
            list.note(
                list.warning(code, "secrets", text)
                    .cure(Cure::edit(format!("set {name} for whoever runs fraktalia"))),
            );
            return false;
        }
        SecretSource::Env(_) | SecretSource::Command(_) => return true,
    };
    let meta = match std::fs::metadata(&file) {
        Ok(meta) => meta,
        Err(error) => {
            let text = format!("{what}: {} cannot be read: {error}", file.display());
            list.note(list.failure(code, "secrets", text).cure(write_it(&file)));
            return false;
        }
    };
    if meta.len() == 0 {
        let text = format!("{what}: {} is empty", file.display());
        list.note(list.failure(code, "secrets", text).cure(write_it(&file)));
        return false;
    }
    let mut fine = true;
    if let Some(check) = private::too_open(list, code, "secrets", &file, &meta) {
        list.note(check);
        fine = false;
    }
    fine & !known_to_git(list, base, &file).await
}

/// The text goes from the terminal into the file, and neither into a history nor before other eyes.
fn write_it(file: &Path) -> Cure {
    let word = path_word(file);
    Cure::run(format!("(umask 077; cat > {word})    # paste it, then Ctrl-D"))
}

/// Notes down that git has the file, or would take it at the next `git add`.
async fn known_to_git(list: &Checklist, base: &Path, file: &Path) -> bool {
    let title = "secrets in git";
    if git(base, &["ls-files", "--error-unmatch"], file).await == Some(0) {
        let text = format!("{} is in git, where it stays in every clone", file.display());
        let cure = Cure::run(format!("git rm --cached {}", path_word(file)));
        let check = list.failure("secrets.git", title, text).cure(cure);
        list.note(check.cure(Cure::edit("then make a new secret: the old one stands in the history")));
        return true;
    }
    if git(base, &["check-ignore", "--quiet"], file).await != Some(1) {
        return false;
    }
    let ignore = file.strip_prefix(base).unwrap_or(file);
    let text = format!("git would take {} with the next `git add .`", ignore.display());
    let line = super::word(&format!("/{}", ignore.display()));
    let cure = Cure::run(format!("echo {line} >> {}", path_word(&base.join(".gitignore"))));
    list.note(list.warning("secrets.git", title, text).cure(cure));
    true
}

/// How git answers; `None` when there is none, or this is no repository.
async fn git(base: &Path, words: &[&str], file: &Path) -> Option<i32> {
    let mut command = tokio::process::Command::new("git");
    command.current_dir(base).args(words).arg("--").arg(file);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let status = tokio::time::timeout(GIT, command.status()).await.ok()?.ok()?;
    status.code().filter(|code| *code < 128)
}

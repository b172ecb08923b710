//! Where a branch is, checked so that no part of it can be anything but an address.

use std::path::{Path, PathBuf};

/// A branch of a repository elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    url: String,
    branch: String,
    manifest: PathBuf,
    signers: Option<Signers>,
}

/// Whose signatures count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signers {
    /// SSH keys in a file, as `ssh-keygen` reads it (`ALLOWED SIGNERS`).
    Ssh(PathBuf),
    /// The keys in a directory of `GnuPG`.
    Gpg(PathBuf),
}

/// An address that is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct BadRemote {
    /// What is wrong with it.
    pub what: String,
    /// What to write instead.
    pub hint: String,
}

fn bad(what: impl Into<String>, hint: impl Into<String>) -> BadRemote {
    BadRemote { what: what.into(), hint: hint.into() }
}

const ADDRESSES: &str = "write https://HOST/PATH, ssh://USER@HOST/PATH, USER@HOST:PATH, or an absolute path";

impl Remote {
    /// The branch `branch` of the repository at `url`, in which the manifest lies at `manifest`. With `signers`, only
    /// commits that one of them signed are used.
    ///
    /// # Errors
    /// When one of them is no plain address or name.
    pub fn new(
        url: &str,
        branch: &str,
        manifest: &Path,
        signers: Option<Signers>,
    ) -> Result<Self, BadRemote> {
        check_url(url, signers.is_some())?;
        check_branch(branch)?;
        let plain = |part: std::path::Component<'_>| matches!(part, std::path::Component::Normal(_));
        if manifest.as_os_str().is_empty() || !manifest.components().all(plain) {
            let what = format!("`{}` is no path inside a repository", manifest.display());
            return Err(bad(what, "write it from the top of the repository: `--path home/fraktalia.yaml`"));
        }
        Ok(Self { url: url.into(), branch: branch.into(), manifest: manifest.into(), signers })
    }

    /// The address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The branch.
    pub fn branch(&self) -> &str {
        &self.branch
    }

    /// The full name of the branch there.
    pub(super) fn reference(&self) -> String {
        format!("refs/heads/{}", self.branch)
    }

    /// Where the manifest lies in it.
    pub fn manifest(&self) -> &Path {
        &self.manifest
    }

    /// Whose signatures count.
    pub fn signers(&self) -> Option<&Signers> {
        self.signers.as_ref()
    }

    /// The ways to a remote that git may go.
    pub(super) fn protocols(&self) -> &'static str {
        if self.signers.is_some() { "https:ssh:file:http:git" } else { "https:ssh:file" }
    }
}

impl std::fmt::Display for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.url, self.branch)
    }
}

fn check_url(url: &str, signed: bool) -> Result<(), BadRemote> {
    if url.is_empty()
        || url.len() > 2000
        || url.starts_with('-')
        || url.contains(|c: char| c.is_control() || c == ' ')
    {
        return Err(bad("this is no address of a repository", ADDRESSES));
    }
    if url.starts_with('/') {
        return Ok(());
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        // `user@host:path`; `ext::command` and the like have their second colon at once.
        let (host, path) = url.split_once(':').unwrap_or((url, ""));
        let named =
            !host.is_empty() && !host.contains('/') && !path.is_empty() && !path.starts_with([':', '-']);
        return if named {
            Ok(())
        } else {
            Err(bad(format!("`{url}` is no address of a repository"), ADDRESSES))
        };
    };
    let authority = rest.split('/').next().unwrap_or_default();
    match scheme {
        // ssh would take a host of this kind for an option.
        _ if authority.starts_with('-') || authority.contains("@-") => {
            Err(bad(format!("`{url}` names no host"), ADDRESSES))
        }
        // What stands in an address is seen by everybody who lists processes.
        "http" | "https" if authority.contains('@') => Err(bad(
            "a name or a password stands in the address of the repository",
            "leave it out, and give it to git: a credential helper or `credential.username` in the configuration of the user that runs this",
        )),
        "ssh" if authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':')) => {
            Err(bad("a password stands in the address of the repository", "use a key"))
        }
        "https" | "ssh" | "file" => Ok(()),
        "http" | "git" if signed => Ok(()),
        "http" | "git" => Err(bad(
            format!("{scheme}:// lets anybody on the way change what is read"),
            "use https:// or ssh://, or check signatures: --verify-signatures",
        )),
        other => Err(bad(format!("{other}:// is not a way to a repository that is gone here"), ADDRESSES)),
    }
}

/// The rules of `git check-ref-format`, and no more freedom than they give.
fn check_branch(branch: &str) -> Result<(), BadRemote> {
    let odd = |c: char| c.is_control() || " ~^:?*[\\\u{7f}".contains(c);
    let wrong = branch.is_empty()
        || branch.len() > 200
        || branch.starts_with('-')
        || branch == "@"
        || branch.contains(odd)
        || branch.contains("..")
        || branch.contains("@{")
        || branch.ends_with('.')
        || branch.split('/').any(|part| {
            let lock = Path::new(part).extension().is_some_and(|extension| extension == "lock");
            part.is_empty() || part.starts_with('.') || lock
        });
    if wrong {
        return Err(bad(
            format!("`{branch}` is no name of a branch"),
            "write it without `refs/heads/`: `main`",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(url: &str) -> Result<Remote, BadRemote> {
        Remote::new(url, "main", Path::new("fraktalia.yaml"), None)
    }

    #[test]
    fn only_plain_addresses_are_taken() {
        for url in [
            "https://git.home/ops/chat.git",
            "ssh://git@git.home:2222/ops/chat.git",
            "git@git.home:ops/chat.git",
            "/srv/git/chat.git",
            "file:///srv/git/chat.git",
        ] {
            assert!(at(url).is_ok(), "{url}");
        }
        for url in [
            "",
            "--upload-pack=touch /tmp/x",
            "-oProxyCommand=x",
            "ext::sh -c x",
            "ext::x",
            "fd::17",
            "ssh://-oProxyCommand=x/y",
            "ssh://git@-oProxyCommand=x/y",
            "host:-x",
            "chat.git",
            "../chat.git",
            "https://git.home/a\nb",
            "https://token@git.home/x",
            "https://me:secret@git.home/x",
            "ssh://me:secret@git.home/x",
            "http://git.home/x",
            "git://git.home/x",
            "ftp://git.home/x",
        ] {
            assert!(at(url).is_err(), "{url}");
        }
    }

    #[test]
    fn what_travels_openly_is_taken_only_with_signatures() {
        let signers = Some(Signers::Ssh("/etc/signers".into()));
        let remote = Remote::new("git://git.home/x", "main", Path::new("fraktalia.yaml"), signers).unwrap();
        assert!(remote.protocols().contains(":git"));
        assert!(!at("https://git.home/x").unwrap().protocols().contains("http:"));
    }

    #[test]
    fn a_secret_in_an_address_is_not_repeated() {
        let error = at("https://me:hunter2@git.home/x").unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    #[test]
    fn a_branch_is_a_name_and_a_manifest_lies_inside() {
        let of = |branch: &str, path: &str| Remote::new("/srv/x", branch, Path::new(path), None);
        for branch in ["main", "release/2026", "a-b_c.d"] {
            assert!(of(branch, "home/fraktalia.yaml").is_ok(), "{branch}");
        }
        for branch in ["", "-f", "a b", "a..b", "a:b", "+main", "/a", "a/", "a.lock", "@{-1}", "a/.b", "*"] {
            assert_eq!(of(branch, "fraktalia.yaml").is_ok(), branch == "+main", "{branch}");
        }
        for path in ["", "/etc/fraktalia.yaml", "../fraktalia.yaml", "a/../../b"] {
            assert!(of("main", path).is_err(), "{path}");
        }
    }
}

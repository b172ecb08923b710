//! Finds the text of a secret where its source says it is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fraktalia_model::{SecretSource, SecretText};
use tokio::process::Command;

/// How long a `command` may take.
const COMMAND_DEADLINE: Duration = Duration::from_secs(30);
/// Longer texts are not taken for a secret.
const MAX_BYTES: usize = 64 * 1024;

/// Reads secrets; relative paths start at the manifest's directory.
#[derive(Clone, Debug)]
pub struct Secrets {
    base: PathBuf,
}

/// A secret that could not be had. Never holds the secret itself.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("cannot read the secret file {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The environment variable is missing or no text.
    #[error("the environment variable {0} is not set")]
    Env(String),
    /// The program could not be run.
    #[error("cannot run `{program}` for a secret")]
    Command {
        /// Which.
        program: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The program ended with an error.
    #[error("`{program}` gave no secret: {status}")]
    CommandFailed {
        /// Which.
        program: String,
        /// How it ended.
        status: String,
    },
    /// There is nothing in it, or it is no text, or it is too long.
    #[error("the secret from {from} is {what}")]
    Unusable {
        /// Where it came from.
        from: String,
        /// What is wrong with it.
        what: &'static str,
    },
}

impl Secrets {
    /// Secrets of the manifest in the directory `base`.
    pub fn new(base: impl Into<PathBuf>) -> Self {
        Self { base: base.into() }
    }

    /// The absolute path of a file source.
    pub fn path(&self, file: &Path) -> PathBuf {
        self.base.join(file)
    }

    /// The text behind `source`.
    ///
    /// # Errors
    /// When it cannot be had; the error names the source and never the text.
    pub async fn resolve(&self, source: &SecretSource) -> Result<SecretText, SecretError> {
        let bytes = match source {
            SecretSource::File(file) => {
                let path = self.path(file);
                tokio::fs::read(&path).await.map_err(|source| SecretError::File { path, source })?
            }
            SecretSource::Env(name) => {
                std::env::var(name).map_err(|_| SecretError::Env(name.clone()))?.into_bytes()
            }
            SecretSource::Command(words) => self.run(words).await?,
        };
        usable(source, bytes)
    }

    async fn run(&self, words: &[String]) -> Result<Vec<u8>, SecretError> {
        let (program, arguments) = words
            .split_first()
            .ok_or(SecretError::Unusable { from: "an empty command".into(), what: "not there" })?;
        let child = Command::new(program)
            .args(arguments)
            .current_dir(&self.base)
            .stdin(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .kill_on_drop(true)
            .output();
        let failed = |status: String| SecretError::CommandFailed { program: program.clone(), status };
        let output = tokio::time::timeout(COMMAND_DEADLINE, child)
            .await
            .map_err(|_| failed(format!("no answer within {} s", COMMAND_DEADLINE.as_secs())))?
            .map_err(|source| SecretError::Command { program: program.clone(), source })?;
        if output.status.success() { Ok(output.stdout) } else { Err(failed(output.status.to_string())) }
    }
}

fn usable(source: &SecretSource, bytes: Vec<u8>) -> Result<SecretText, SecretError> {
    let unusable = |what| SecretError::Unusable { from: source.to_string(), what };
    if bytes.len() > MAX_BYTES {
        return Err(unusable("longer than 64 KiB"));
    }
    let text = String::from_utf8(bytes).map_err(|_| unusable("not UTF-8 text"))?;
    let text = text.trim_end_matches(['\n', '\r']);
    if text.is_empty() { Err(unusable("empty")) } else { Ok(SecretText::new(text)) }
}

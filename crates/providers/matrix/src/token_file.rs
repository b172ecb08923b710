//! Access tokens of fractals' own users: one file each, mode 0600, beside our state.

use std::io::Write;
use std::path::Path;

use fraktalia_engine::StepError;
use fraktalia_model::{AccountId, Outputs, ResourceId, SecretText, UserId};

use crate::client::Client;
use crate::error::{MatrixError, code};
use crate::spec::TokenSpec;

/// The token in the file, if there is one.
pub(crate) fn read(path: &Path) -> Option<SecretText> {
    let text = std::fs::read_to_string(path).ok()?;
    let text = text.trim_end();
    (!text.is_empty()).then(|| SecretText::new(text))
}

/// Writes the file as a whole or not at all, readable for us alone.
pub(crate) fn write(path: &Path, token: &SecretText) -> Result<(), StepError> {
    let failed = |error: std::io::Error| {
        StepError::in_doubt(format!("cannot write the token file {}", path.display())).because(error)
    };
    let directory = path.parent().unwrap_or_else(|| Path::new("/"));
    make_private(directory).map_err(failed)?;
    // A temporary file has mode 0600 from its first moment on.
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
    writeln!(file, "{}", token.expose()).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

fn make_private(directory: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// Removes the file. One that is gone already is fine.
pub(crate) fn remove(path: &Path) -> Result<(), StepError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StepError::in_doubt(format!("cannot remove the token file {}", path.display()))
                .because(error))
        }
        _ => Ok(()),
    }
}

/// Whether the homeserver takes the token as this user's.
pub(crate) async fn speaks_for(
    client: &Client,
    token: &SecretText,
    user: &UserId,
) -> Result<bool, MatrixError> {
    match client.whoami(Some(token)).await {
        Ok(whose) => Ok(whose == *user),
        Err(error) if error.is(code::UNKNOWN_TOKEN) || error.is(code::FORBIDDEN) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What a token yields: the account it is for, called like the fractal, and its user.
pub(crate) fn outputs(outputs: &mut Outputs, id: &ResourceId, spec: &TokenSpec) {
    outputs.set(id, &AccountId(spec.fractal.clone()));
    outputs.set(id, &spec.user);
}

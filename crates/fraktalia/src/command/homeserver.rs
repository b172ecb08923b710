//! The homeserver, for commands that ask it for something beside a plan.

use fraktalia_engine::Session;
use fraktalia_matrix::{Client, Limits, MatrixError};
use fraktalia_model::manifest::Matrix;

use crate::error::{Failure, chain};
use crate::exit::Exit;

/// The `matrix:` section of the manifest.
pub fn section(session: &Session) -> Result<&Matrix, Failure> {
    session.manifest().matrix.as_ref().ok_or_else(|| {
        Failure::usage(
            "the manifest names no homeserver",
            "give it a section `matrix:`; `fraktalia schema` has it",
        )
    })
}

/// A client with the rights of an admin.
pub async fn connect(session: &Session) -> Result<Client, Failure> {
    let matrix = section(session)?;
    let token = session.secrets().resolve(&matrix.admin_token).await;
    let token = token.map_err(|error| Failure::unseen(&error, None))?;
    let client = Client::new(&matrix.homeserver, token, Limits::default()).map_err(unseen)?;
    if client.is_admin().await.map_err(unseen)? {
        return Ok(client);
    }
    let me = client.me().await.map_err(unseen)?;
    Err(Failure::System {
        what: format!("{me} has no admin rights on {}", matrix.homeserver),
        hints: vec!["`matrix.admin_token` has to be the token of a server admin".into()],
        exit: Exit::OBSERVE,
    })
}

/// It could not be asked, and nothing was changed.
#[expect(clippy::needless_pass_by_value, reason = "it stands in `map_err`")]
pub fn unseen(error: MatrixError) -> Failure {
    Failure::unseen(&error, error.hint())
}

/// It did not do it, and something may have been changed.
pub fn failed(error: &MatrixError, next: String) -> Failure {
    let hints = error.hint().into_iter().chain([next]).collect();
    Failure::System { what: chain(error), hints, exit: Exit::FAILURE }
}

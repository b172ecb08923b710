//! Registration tokens: who has one may make an account.

use std::time::Duration;

use fraktalia_model::SecretText;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::users::secret;
use super::{Call, Client, admin_path, client_path, retry_after};
use crate::error::{MatrixError, code};

/// How long one waits to be told how people register; nothing depends on it but a warning.
const PATIENCE: Duration = Duration::from_secs(15);

/// What a homeserver asks of those who want an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// Each way to an account needs a token.
    ByToken,
    /// A token opens a way, and there are others without one.
    ByTokenOrOther,
    /// Nobody is asked for a token.
    WithoutToken,
    /// Nobody can register.
    Closed,
    /// Accounts live in an authentication service, or this homeserver does not say.
    Elsewhere,
}

/// A token as the homeserver keeps it.
#[derive(Clone, Debug, Deserialize)]
pub struct RegistrationToken {
    /// Its text.
    #[serde(deserialize_with = "secret")]
    pub token: SecretText,
    /// How many accounts it is good for; any number when absent.
    pub uses_allowed: Option<u64>,
    /// Registrations that have begun with it.
    #[serde(default)]
    pub pending: u64,
    /// Accounts that were made with it.
    #[serde(default)]
    pub completed: u64,
    /// When it ends, in milliseconds since 1970; never when absent.
    pub expiry_time: Option<u64>,
}

impl Client {
    /// All registration tokens, used and expired ones too.
    pub async fn registration_tokens(&self) -> Result<Vec<RegistrationToken>, MatrixError> {
        #[derive(Deserialize)]
        struct Answer {
            registration_tokens: Vec<RegistrationToken>,
        }
        let path = admin_path(&["v1", "registration_tokens"]);
        let answer: Answer = self.call(Call::get(path, "list registration tokens")).await?;
        Ok(answer.registration_tokens)
    }

    /// Makes a token that is good for `uses` accounts until `expires`, in milliseconds since 1970.
    pub async fn create_registration_token(
        &self,
        token: &SecretText,
        uses: u32,
        expires: u64,
    ) -> Result<(), MatrixError> {
        let path = admin_path(&["v1", "registration_tokens", "new"]);
        let body = json!({"token": token.expose(), "uses_allowed": uses, "expiry_time": expires});
        let made = self.tell(Call::post(path, body, "make a registration token")).await;
        made.map_err(|error| without(token, error))
    }

    /// Takes a token away. Says whether it was there.
    pub async fn delete_registration_token(&self, token: &SecretText) -> Result<bool, MatrixError> {
        let path = admin_path(&["v1", "registration_tokens", token.expose()]);
        match self.tell(Call::new(Method::DELETE, path, "take a registration token back")).await {
            Ok(()) => Ok(true),
            Err(error) if error.is(code::NOT_FOUND) => Ok(false),
            Err(error) => Err(without(token, error)),
        }
    }

    /// What the homeserver asks of those who want an account: it says so to whoever asks to register without anything.
    pub async fn registration(&self) -> Result<Registration, MatrixError> {
        let call = Call::post(client_path(&["register"]), json!({}), "ask how people register");
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.ask_to_register(&call).await {
                Err(MatrixError::RateLimited { retry_after, .. })
                    if Instant::now() + retry_after < deadline =>
                {
                    sleep(retry_after).await;
                }
                other => return other,
            }
        }
    }

    async fn ask_to_register(&self, call: &Call<'_>) -> Result<Registration, MatrixError> {
        // Without our own token: people have none, and with one Synapse looks for an application service.
        let request = self.http.post(format!("{}{}", self.base, call.path)).json(&json!({}));
        let request = request.timeout(self.patience(call));
        let response = request.send().await.map_err(|error| self.transport(call, error))?;
        let (status, patience) = (response.status(), retry_after(&response));
        let body = self.read(call, response).await?;
        if status == StatusCode::UNAUTHORIZED {
            return Ok(ways(&body));
        }
        match self.refusal(call, status, patience, &body) {
            error if error.is(code::FORBIDDEN) => Ok(Registration::Closed),
            error if error.is(code::UNRECOGNIZED) => Ok(Registration::Elsewhere),
            error => Err(error),
        }
    }

    /// Where the homeserver says that clients find it.
    pub async fn public_url(&self) -> Result<Option<String>, MatrixError> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(rename = "m.homeserver")]
            homeserver: Homeserver,
        }
        #[derive(Deserialize)]
        struct Homeserver {
            base_url: String,
        }
        let call = Call::get("/.well-known/matrix/client".into(), "ask where clients find the homeserver");
        match self.call::<Answer>(call).await {
            Ok(answer) => Ok(Some(answer.homeserver.base_url.trim_end_matches('/').to_owned())),
            // It does not say, or a proxy before it does not.
            Err(MatrixError::Refused { .. } | MatrixError::NotMatrix { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What the ways to an account have in common.
fn ways(body: &[u8]) -> Registration {
    #[derive(Deserialize)]
    struct Answer {
        flows: Vec<Flow>,
    }
    #[derive(Deserialize)]
    struct Flow {
        stages: Vec<String>,
    }
    let Ok(answer) = serde_json::from_slice::<Answer>(body) else { return Registration::Elsewhere };
    let by_token = |flow: &Flow| flow.stages.iter().any(|stage| stage == "m.login.registration_token");
    match answer.flows.iter().filter(|flow| by_token(flow)).count() {
        0 => Registration::WithoutToken,
        some if some == answer.flows.len() => Registration::ByToken,
        _ => Registration::ByTokenOrOther,
    }
}

/// The homeserver repeats a token in what it says about it, and that must not go where errors go.
fn without(token: &SecretText, error: MatrixError) -> MatrixError {
    match error {
        MatrixError::Refused { what, status, errcode, message } => {
            let message = message.replace(token.expose(), "(the token)");
            MatrixError::Refused { what, status, errcode, message }
        }
        MatrixError::Failed { what, status, errcode, message } => {
            let message = message.replace(token.expose(), "(the token)");
            MatrixError::Failed { what, status, errcode, message }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_ways_to_an_account_need_is_asked_of_everybody() {
        let flows = |stages: &[&[&str]]| {
            let flows: Vec<_> = stages.iter().map(|stages| json!({ "stages": stages })).collect();
            ways(json!({"flows": flows, "session": "x"}).to_string().as_bytes())
        };
        let token = "m.login.registration_token";
        assert_eq!(flows(&[&[token]]), Registration::ByToken);
        assert_eq!(flows(&[&[token, "m.login.email.identity"], &[token]]), Registration::ByToken);
        assert_eq!(flows(&[&[token], &["m.login.dummy"]]), Registration::ByTokenOrOther);
        assert_eq!(flows(&[&["m.login.dummy"]]), Registration::WithoutToken);
        assert_eq!(ways(b"<html>"), Registration::Elsewhere);
    }

    #[test]
    fn an_error_about_a_token_does_not_repeat_it() {
        let token = SecretText::new("ana-0123456789");
        let error = MatrixError::Refused {
            what: "make a registration token".into(),
            status: 400,
            errcode: "M_INVALID_PARAM".into(),
            message: "Token already exists: ana-0123456789".into(),
        };
        let text = without(&token, error).to_string();
        assert!(text.contains("(the token)") && !text.contains("0123456789"), "{text}");
    }
}

//! `init`: what can be said instead of being found or asked for.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueHint};
use fraktalia_model::SecretSource;

/// What `init --help` says at its end.
pub(super) const HELP: &str = "Examples:
  fraktalia init                           looks around, asks what it cannot find, writes fraktalia.yaml
  fraktalia init --yes                     asks nothing: takes what is found
  fraktalia init -f home/fraktalia.yaml --realm home --admin-token env:MATRIX_ADMIN_TOKEN

It looks for Synapse on port 8008 of this machine and where openclaw.json or homeserver.yaml say, for openclaw.json where
OpenClaw has it, and for a Docker engine at /var/run/docker.sock. Nothing is changed but in the manifest's own directory,
no file is overwritten, and no secret is written: where the admin token is to be in a file, an empty one is made that
nobody else can read.";

/// `init`
#[derive(Debug, Args)]
pub struct InitArgs {
    /// The scope of ownership: part of every marker that is left in a live system [default: home].
    #[arg(long)]
    pub realm: Option<String>,
    /// Base URL of Synapse.
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub homeserver: Option<String>,
    /// The part of Matrix ids after the colon.
    #[arg(long, value_name = "NAME")]
    pub server_name: Option<String>,
    /// The Matrix user that the gateway is logged in as.
    #[arg(long, value_name = "USER")]
    pub bot: Option<String>,
    /// The file that the OpenClaw gateway runs on.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub openclaw_config: Option<PathBuf>,
    /// The agent that answers wherever no other one does.
    #[arg(long, value_name = "AGENT")]
    pub catch_all: Option<String>,
    /// Where the access token of a Synapse administrator is: `file:PATH`, `env:NAME` or `command:PROGRAM WORDS`.
    #[arg(long, value_name = "SOURCE", default_value = "file:secrets/matrix-admin-token")]
    pub admin_token: String,
    /// Do not ask: take what is found and what is said here.
    #[arg(short, long)]
    pub yes: bool,
}

/// Where a secret is, as one word of the command line. Not read by the command line itself, which repeats what it does
/// not understand: somebody may have written the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSource(pub SecretSource);

impl FromStr for TokenSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            "write file:PATH, env:NAME or command:PROGRAM WORDS; the token itself is never given".to_owned()
        };
        let (kind, rest) = text.split_once(':').ok_or_else(wrong)?;
        if rest.trim().is_empty() {
            return Err(wrong());
        }
        Ok(Self(match kind {
            "file" => SecretSource::File(rest.into()),
            "env" => SecretSource::Env(rest.into()),
            "command" => SecretSource::Command(rest.split_whitespace().map(Into::into).collect()),
            _ => return Err(wrong()),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_named_and_a_token_itself_is_refused() {
        let source = |text: &str| text.parse().map(|TokenSource(source)| source);
        assert_eq!(source("env:ADMIN"), Ok(SecretSource::Env("ADMIN".into())));
        assert_eq!(
            source("command:pass show matrix"),
            Ok(SecretSource::Command(vec!["pass".into(), "show".into(), "matrix".into()]))
        );
        for wrong in ["syt_YWRtaW4_secret", "token:syt", "env:", "file: "] {
            let error = source(wrong).expect_err(wrong);
            assert!(!error.contains("syt"), "what may be a token is not repeated: {error}");
        }
    }
}

//! `watch`: how long it stays, how far it goes, and where it can be seen.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum, ValueHint};

use super::LogFormat;

/// What `watch --help` says at its end.
pub(super) const HELP: &str = "Examples:
  fraktalia watch                          says what drifts, and changes nothing
  fraktalia watch --policy safe            does what nobody notices and removes nothing
  fraktalia watch --policy full --every 1m
  fraktalia watch --git https://git.home/ops/chat.git --branch main --policy full
  fraktalia watch --notify matrix:ops      says in a room what happened
  fraktalia watch --log-format json | jq

It looks whenever the manifest or a file that it names is saved, whenever one of the systems says that something
happened, by the clock, and on SIGHUP. What happened only wakes it; what it does follows from what it then sees. A
manifest with errors is said once, and the last good one stays in force. What cannot be taken back is never done
unattended. A plan that fails three times is left alone until it changes, or until SIGHUP.

With --git the manifest is what is on the branch; nothing of it is read from this machine's files. What lives, and
secrets, have to be named by absolute paths or come from the environment. Whoever may push to the branch decides what
this does: --verify-signatures takes only commits that are signed by a key that you name. A commit with errors is said
once, and the last good one stays in force; it also does while the remote is away. docs/guide/gitops.md has more.

SIGTERM or Ctrl-C once: what is in flight is finished and taken back, and it ends. Twice: it stops at once, and
`fraktalia resume` or `fraktalia rollback` goes on from there. examples/systemd has the unit.";

/// `watch`
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// How far it goes by itself.
    #[arg(long, value_enum, default_value_t)]
    pub policy: WatchPolicy,
    /// Look at least this often: `30s`, `5m`, `1h`.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = span)]
    pub every: Duration,
    /// Where others may read how it is: `/healthz`, `/readyz`, `/metrics`, `/status`. A port alone is one of this machine.
    #[arg(long, value_name = "[ADDRESS:]PORT", value_parser = listen_at)]
    pub listen: Option<SocketAddr>,
    /// Say in a room what happened: `matrix:ROOM`, a key of the manifest, an alias or an id. The gateway's bot says it.
    #[arg(long, value_name = "matrix:ROOM", value_parser = matrix_room)]
    pub notify: Option<String>,
    /// Shape of what is said.
    #[arg(long, value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// Where the manifest comes from, if not from a file.
    #[command(flatten)]
    pub git: GitArgs,
}

/// The branch that a watch goes by.
#[derive(Debug, Args)]
#[command(next_help_heading = "From git")]
pub struct GitArgs {
    /// Go by what is on a branch of this repository: `https://`, `ssh://`, `USER@HOST:PATH` or an absolute path.
    #[arg(long = "git", value_name = "URL")]
    pub url: Option<String>,
    /// The branch.
    #[arg(long, value_name = "BRANCH", default_value = "main")]
    pub branch: String,
    /// Where the manifest lies in the repository.
    #[arg(long, value_name = "FILE", default_value = "fraktalia.yaml")]
    pub path: PathBuf,
    /// Ask the remote so often where the branch is.
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = span)]
    pub poll: Duration,
    /// Take only commits that are signed: by an SSH key in this file (`man ssh-keygen`, ALLOWED SIGNERS), or by a PGP key
    /// in this directory (`GNUPGHOME`).
    #[arg(long, value_name = "SIGNERS", value_hint = ValueHint::AnyPath, requires = "url")]
    pub verify_signatures: Option<PathBuf>,
}

/// How far a watch goes by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum WatchPolicy {
    /// It says what it sees, and changes nothing.
    #[default]
    Report,
    /// It does what nobody notices and what removes nothing.
    Safe,
    /// It does all that can be taken back.
    Full,
}

impl From<WatchPolicy> for fraktalia_engine::watch::Policy {
    fn from(wish: WatchPolicy) -> Self {
        match wish {
            WatchPolicy::Report => Self::Report,
            WatchPolicy::Safe => Self::Safe,
            WatchPolicy::Full => Self::Full,
        }
    }
}

/// `matrix:ops`
fn matrix_room(text: &str) -> Result<String, String> {
    match text.strip_prefix("matrix:") {
        Some(room) if !room.is_empty() && room.len() <= 255 => Ok(room.into()),
        _ => Err("write `matrix:` and a room: `matrix:ops`, `matrix:#ops:chat.home`".into()),
    }
}

/// `9465`, `0.0.0.0:9465`
fn listen_at(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse::<u16>() {
        return Ok(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    text.parse().map_err(|_| "write a port, or an address with one: `9465`, `10.0.0.5:9465`".into())
}

/// `30s`, `5m`, `1h`
fn span(text: &str) -> Result<Duration, String> {
    let wrong = || "write a number and s, m or h: `30s`, `5m`, `1h`".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "s" => Some(number),
        "m" => number.checked_mul(60),
        "h" => number.checked_mul(60 * 60),
        _ => None,
    };
    // Sooner than a second would be a loop, and later than a day no watch.
    match seconds.ok_or_else(wrong)? {
        seconds @ 1..=86_400 => Ok(Duration::from_secs(seconds)),
        _ => Err("between 1s and 24h".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_one_of_this_machine() {
        assert_eq!(listen_at("9465"), Ok("127.0.0.1:9465".parse().unwrap()));
        assert_eq!(listen_at("[::]:80"), Ok("[::]:80".parse().unwrap()));
        assert!(listen_at("localhost").is_err());
    }

    #[test]
    fn a_room_stands_behind_the_name_of_the_system() {
        assert_eq!(matrix_room("matrix:#ops:chat.home").as_deref(), Ok("#ops:chat.home"));
        assert!(matrix_room("ops").is_err() && matrix_room("matrix:").is_err());
    }

    #[test]
    fn a_span_of_time_has_a_unit_and_is_not_endless() {
        assert_eq!(span("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(span("2h"), Ok(Duration::from_hours(2)));
        for wrong in ["", "5", "m", "5d", "-1s", "0s", "25h", "18446744073709551615h", "5\u{fc}"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }
}

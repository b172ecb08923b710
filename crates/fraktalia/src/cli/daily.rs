//! `invite`, `reset`, `cleanup`: what operators do beside the manifest.

use std::time::Duration;

use clap::Args;
use fraktalia_matrix::invitation::Guest;

use super::Format;

/// What `invite --help` says at its end.
pub(super) const INVITE: &str = "Examples:
  fraktalia invite ana                     a text to send to Ana, with a token for one account
  fraktalia invite ana --expires 1d
  fraktalia invite --list                  who is invited, and whether they came
  fraktalia invite --revoke ana

The token is shown this once and kept nowhere; who has it can make an account, so send it where
only your friend reads. The list says for whom a token is, not the token. The homeserver asks for
tokens only with `enable_registration: true` and `registration_requires_token: true` in its
homeserver.yaml; `invite` says so when it does not.";

/// What `reset --help` says at its end.
pub(super) const RESET: &str = "Examples:
  fraktalia reset lounge                   media, history and sessions, after you typed the room's name
  fraktalia reset lounge --session         the agent forgets; what was written stays
  fraktalia reset lounge --yes lounge      for scripts

It first says what will be gone. Then, always in this order: the media that were sent in the
room, what was written in it, and what agents remember of it. Members, name, topic, picture,
power levels and our marker stay. It cannot be taken back. When it is interrupted, say it again:
it goes on with what is left. Rooms in `policy.protect` are refused.";

/// What `cleanup --help` says at its end.
pub(super) const CLEANUP: &str = "Examples:
  fraktalia cleanup                        lists what is left over, and asks
  fraktalia cleanup --format json          lists it for programs, and removes nothing
  fraktalia cleanup --yes

A leftover is something of ours that nothing uses any more: sessions and sandbox containers of
agents that are gone, sessions of rooms that no binding leads to, builds that lost their tag,
backups of old runs. What is not ours, or may be in use, is named with the reason and left alone.";

/// `invite`
#[derive(Debug, Args)]
pub struct InviteArgs {
    /// For whom: the beginning of the address that they will have, `ana` for `@ana:chat.home`.
    #[arg(value_name = "NAME", value_parser = Guest::parse, required_unless_present_any = ["list", "revoke"])]
    pub name: Option<Guest>,
    /// For how many accounts it is good.
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub uses: u32,
    /// How long it is good: `12h`, `7d`, `2w`.
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = lifetime)]
    pub expires: Duration,
    /// Where your friend reaches the homeserver. Default: what the homeserver says of itself (`public_baseurl`).
    #[arg(long, value_name = "URL", value_parser = address)]
    pub url: Option<String>,
    /// List who is invited.
    #[arg(long, conflicts_with_all = ["name", "revoke", "url"])]
    pub list: bool,
    /// Take back the invitations of a name, or one token.
    #[arg(long, value_name = "NAME|TOKEN", conflicts_with_all = ["name", "url"])]
    pub revoke: Option<String>,
    /// Shape of the answer.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// `reset`
#[derive(Debug, Args)]
pub struct ResetArgs {
    /// The room, by its key in the manifest.
    pub room: String,
    /// The media that were sent in it. Without any of these three: all of them.
    #[arg(long)]
    pub media: bool,
    /// What was written in it.
    #[arg(long)]
    pub history: bool,
    /// What agents remember of it.
    #[arg(long)]
    pub session: bool,
    /// Do not ask: the room's key once more.
    #[arg(short, long, value_name = "ROOM")]
    pub yes: Option<String>,
}

/// `cleanup`
#[derive(Debug, Args)]
pub struct CleanupArgs {
    /// Do not ask.
    #[arg(short, long)]
    pub yes: bool,
    /// Keep the backups of so many runs, the latest: `rollback` needs them.
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    pub keep_runs: usize,
    /// Shape of the list. With `json` nothing is removed unless --yes is said.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// `12h`, `7d`, `2w`
fn lifetime(text: &str) -> Result<Duration, String> {
    let wrong = || "write a number and m, h, d or w: `30m`, `12h`, `7d`, `2w`".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let minutes = match unit {
        "m" => Some(number),
        "h" => number.checked_mul(60),
        "d" => number.checked_mul(24 * 60),
        "w" => number.checked_mul(7 * 24 * 60),
        _ => return Err(wrong()),
    };
    // Nobody remembers an invitation of last year.
    match minutes {
        Some(minutes @ 1..=525_600) => Ok(Duration::from_mins(minutes)),
        _ => Err("between 1m and 365d".into()),
    }
}

/// An address that a client takes.
fn address(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    match rest {
        Some(host)
            if !host.is_empty() && !host.contains(|at: char| at.is_whitespace() || at.is_control()) =>
        {
            Ok(text.trim_end_matches('/').to_owned())
        }
        _ => Err("write it whole: `https://matrix.example.org`".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_has_a_unit_and_ends_within_a_year() {
        assert_eq!(lifetime("7d"), Ok(Duration::from_hours(7 * 24)));
        assert_eq!(lifetime("90m"), Ok(Duration::from_mins(90)));
        for wrong in ["", "7", "d", "-1d", "0d", "53w", "366d", "18446744073709551615w", "7\u{fc}", "7s"] {
            assert!(lifetime(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_address_is_a_whole_one() {
        assert_eq!(address("https://chat.home/"), Ok("https://chat.home".into()));
        for wrong in ["chat.home", "https://", "ftp://chat.home", "https://a b", "https://a\nb"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }
}

//! How the homeserver is: whether it answers, lets us do what we do, and knows the people and rooms that agents need.

mod rooms;
pub mod settings;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use fraktalia_engine::health::{BoundRoom, Checklist, Cure, Fix, Standing, chain};
use fraktalia_engine::{SecretError, Secrets};
use fraktalia_model::{RoomId, UserId};

use crate::client::lists::ListedRoom;
use crate::client::users::RateLimit;
use crate::client::{Client, Limits};
use crate::error::{MatrixError, code};
use crate::system::Matrix;

/// The release that all tests run against, as (major, minor), and as people write it.
const TESTED: ((u32, u32), &str) = ((1, 163), "1.163.2");

/// More rooms are not looked at.
const MOST_ROOMS: usize = 100_000;

/// How long we wait when nothing depends on the answer.
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(4),
    read: Duration::from_secs(8),
    request: Duration::from_secs(8),
    total: Duration::from_secs(12),
    settle: Duration::from_secs(0),
    body: 64 * 1024 * 1024,
    rooms_at_once: 100,
};

/// What the checks are about.
pub struct Exam<'a> {
    /// The gateway's user.
    pub bot: &'a UserId,
    /// The rooms that agents are to hear.
    pub bound: &'a [BoundRoom],
    /// Where the homeserver's own settings may be read.
    pub settings: &'a [PathBuf],
    /// Finds the text of a secret.
    pub secrets: &'a Secrets,
}

impl Matrix {
    /// Notes down how the homeserver is.
    pub async fn examine(&self, list: &Checklist, exam: &Exam<'_>) {
        let client = match self.for_exam(exam.secrets).await {
            Ok(client) => client,
            Err(error) => {
                failed(list, "matrix.token", "admin token", &error);
                return settings::examine(list, exam.settings, &self.server_name, None);
            }
        };
        let rooms =
            if self.is_usable(list, &client).await { self.inside(list, &client, exam).await } else { None };
        settings::examine(list, exam.settings, &self.server_name, rooms);
    }

    /// Lifts the rate limits of a user.
    ///
    /// # Errors
    /// When the homeserver does not.
    pub async fn lift_rate_limit(&self, user: &UserId, secrets: &Secrets) -> Result<(), MatrixError> {
        let none = RateLimit { messages_per_second: 0, burst_count: 0 };
        self.for_exam(secrets).await?.set_rate_limit(user, Some(none)).await
    }

    async fn for_exam(&self, secrets: &Secrets) -> Result<Client, MatrixError> {
        let token = secrets.resolve(&self.admin_token).await?;
        Client::new(&self.homeserver, token, LIMITS)
    }

    /// Whether the homeserver answers, and lets us in as an administrator.
    async fn is_usable(&self, list: &Checklist, client: &Client) -> bool {
        let me = match client.me().await {
            Ok(me) => me,
            Err(error @ MatrixError::Refused { .. }) => {
                list.ok("matrix.reach", "reachable", self.homeserver.as_str());
                failed(list, "matrix.token", "admin token", &error);
                return false;
            }
            Err(error) => {
                failed(list, "matrix.reach", "reachable", &error);
                return false;
            }
        };
        list.ok("matrix.reach", "reachable", self.homeserver.as_str());
        let server = me.0.split_once(':').map_or("", |(_, server)| server);
        if server != self.server_name {
            let text =
                format!("it is the homeserver of `{server}`, and the manifest says `{}`", self.server_name);
            let cure = Cure::edit(format!(
                "set `matrix.server_name` to `{server}`, or `matrix.homeserver` to the right one"
            ));
            list.note(list.failure("matrix.server-name", "server name", text).cure(cure));
        }
        match client.is_admin().await {
            Ok(true) => {
                list.ok("matrix.admin", "admin rights", me.0.as_str());
                true
            }
            Ok(false) => {
                no_admin(list, me);
                false
            }
            Err(error) if error.is(code::FORBIDDEN) => {
                no_admin(list, me);
                false
            }
            Err(error) => {
                failed(list, "matrix.admin", "admin rights", &error);
                false
            }
        }
    }

    /// What only an administrator sees. Yields how many rooms there are.
    async fn inside(&self, list: &Checklist, client: &Client, exam: &Exam<'_>) -> Option<usize> {
        let ((), (), (), (), rooms) = tokio::join!(
            version(list, client),
            own_limit(list, client),
            self.bot(list, client, exam.bot),
            delegated(list, client),
            client.all_rooms(MOST_ROOMS),
        );
        let rooms: BTreeMap<RoomId, ListedRoom> = match rooms {
            Ok(rooms) => rooms.into_iter().map(|room| (room.room_id.clone(), room)).collect(),
            Err(error) => {
                failed(list, "matrix.rooms", "rooms", &error);
                return None;
            }
        };
        rooms::examine(list, client, &rooms, exam, &self.server_name).await;
        Some(rooms.len())
    }

    /// The gateway's user: whether it can log in, and whether it is slowed down.
    async fn bot(&self, list: &Checklist, client: &Client, bot: &UserId) {
        let (code, title) = ("matrix.bot", "bot");
        if !bot.0.ends_with(&format!(":{}", self.server_name)) {
            let text = format!("{bot} lives on another homeserver");
            return list.note(list.unknown(code, title, text));
        }
        match client.account(bot).await {
            Ok(Some(account)) if account.deactivated => {
                let text = format!("{bot} is deactivated: the gateway cannot log in as it");
                let cure =
                    Cure::edit("activate it with a new password, or name another user as `matrix.bot`");
                return list.note(list.failure(code, title, text).cure(cure));
            }
            Ok(Some(_)) => list.ok(code, title, bot.0.as_str()),
            Ok(None) => {
                let text = format!("there is no user {bot}: the gateway cannot log in as it");
                let cure = Cure::edit("make it (`register_new_matrix_user`), or correct `matrix.bot`");
                return list.note(list.failure(code, title, text).cure(cure));
            }
            Err(error) => return failed(list, code, title, &error),
        }
        let why = "long answers, which are sent in many edits, come late";
        limit(list, client, bot, "matrix.bot-rate", "bot's rate", why).await;
    }
}

async fn own_limit(list: &Checklist, client: &Client) {
    let Ok(me) = client.me().await else { return };
    let why = "after some 10 rooms an apply waits a minute for each";
    limit(list, client, me, "matrix.rate", "rate limit", why).await;
}

async fn limit(list: &Checklist, client: &Client, user: &UserId, code: &str, title: &str, why: &str) {
    match client.rate_limit(user).await {
        Ok(Some(RateLimit { messages_per_second: 0, .. })) => {
            list.ok(code, title, format!("lifted for {user}"));
        }
        Ok(found) => {
            let found = match found {
                Some(limit) => format!("{user} may do {} things a second", limit.messages_per_second),
                None => format!("{user} is slowed down as everybody is"),
            };
            let check = list.warning(code, title, format!("{found}: {why}"));
            list.note(
                check
                    .cure(Cure::run("fraktalia doctor --fix"))
                    .fix(Fix::LiftRateLimit { user: user.clone() }),
            );
        }
        Err(error) => failed(list, code, title, &error),
    }
}

async fn version(list: &Checklist, client: &Client) {
    let (code, title) = ("matrix.version", "version");
    let found = match client.server_version().await {
        Ok(found) => found,
        Err(error) => return failed(list, code, title, &error),
    };
    let (known, tested) = TESTED;
    match numbers(&found) {
        Some(version) if version == known => list.ok(code, title, format!("Synapse {found}")),
        Some(version) if version > known => {
            list.ok(code, title, format!("Synapse {found}, newer than {tested}, which all is tested with"));
        }
        Some(_) => {
            let text = format!("Synapse {found} is older than {tested}, which all is tested with");
            list.note(list.warning(code, title, text).cure(Cure::edit("update it when that suits you")));
        }
        None => list.note(list.unknown(
            code,
            title,
            format!("`{found}` is no version of Synapse that we can read"),
        )),
    }
}

/// `1.163.2` as (1, 163)
fn numbers(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

async fn delegated(list: &Checklist, client: &Client) {
    if let Ok(true) = client.delegates_accounts().await {
        let text = "accounts live in an authentication service, where we can make neither users nor tokens";
        let cure =
            Cure::edit("make users there (mas-cli manage register-user); `account: own` is not possible");
        list.note(list.warning("matrix.delegated", "accounts", text).cure(cure));
    }
}

fn no_admin(list: &Checklist, me: &UserId) {
    let text = format!("{me} is no server admin");
    let cure = Cure::edit(
        "let `matrix.admin_token` be the token of an administrator (`register_new_matrix_user --admin`)",
    );
    list.note(list.failure("matrix.admin", "admin rights", text).cure(cure));
}

/// Notes down a call that brought nothing.
fn failed(list: &Checklist, code: &str, title: &str, error: &MatrixError) {
    let check = list.check(Standing::Failure, code, title, chain(error));
    list.note(match error {
        MatrixError::Token(SecretError::File { .. } | SecretError::Unusable { .. }) => {
            check.cure(Cure::edit("see `secrets` above"))
        }
        _ => check.hint(error.hint()),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        assert_eq!(numbers("1.163.2"), Some((1, 163)));
        assert_eq!(numbers("1.164.0rc1 (b=develop)"), Some((1, 164)));
        assert!(numbers("1.99.0") < numbers("1.163.0"));
        assert_eq!(numbers("develop"), None);
    }
}

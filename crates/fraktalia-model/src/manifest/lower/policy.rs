//! The admin room, and limits.

use std::path::{Path, PathBuf};

use super::matrix::is_own;
use super::{Declared, Lowering};
use crate::glob;
use crate::id::ResourceId;
use crate::manifest::raw;
use crate::manifest::{AdminRoom, Matrix, Policy, ProposalLimits, text};
use crate::output::UserId;

/// How long a proposal lives, in seconds.
const PROPOSAL_LIFE: u64 = 24 * 3600;
/// Who `fraktalia-admin` is.
pub(super) const DESK_USER: &str = "fraktalia";
/// Proposals a day, open at once, and messages a minute.
const PROPOSALS: (u32, u32, u32) = (3, 2, 6);
/// The ports that may be forwarded.
pub(in crate::manifest) const FORWARD_PORTS: (u16, u16) = (9000, 9099);

/// Whether the admin room's own user is one that comes with it.
pub(super) fn makes_user(raw: &raw::AdminRoom) -> bool {
    raw.user.as_ref().is_none_or(|named| named.value == DESK_USER)
}

impl Lowering<'_> {
    pub(super) fn admin_room(&mut self, raw: &raw::AdminRoom, matrix: Option<&Matrix>) -> AdminRoom {
        let expires = raw.expires.as_ref();
        let expires_s = expires.map_or(Some(PROPOSAL_LIFE), |text| text::duration(&text.value));
        if let (None, Some(text)) = (expires_s, expires) {
            let message = format!("`{}` is not a duration", text.value);
            let hint = "write `24h`, `30m`, `7d` or `1h30m`";
            self.findings.error("manifest.bad-duration", text.at, message, hint);
        }
        if !text::is_alias(&raw.room.value) {
            let message = format!("`{}` cannot be the key or alias of a room", raw.room.value);
            let hint = "write a key of `rooms`, or the part of an alias between `#` and `:`";
            self.findings.error("manifest.bad-alias", raw.room.at, message, hint);
        }
        let operators = self.operators(&raw.operators, matrix);
        let proposers = self.users_named(&raw.proposers);
        let user = self.desk_user().unwrap_or_else(|| UserId(String::new()));
        if self.is_agent(&user, matrix) || operators.iter().chain(&proposers).any(|other| *other == user) {
            let at = raw.user.as_ref().map_or(raw.at, |text| text.at);
            let message =
                format!("`{user}` would be `fraktalia-admin`, and proposes, approves or is an agent's");
            let hint = "give it a user of its own: leave `user` away, and `fraktalia` is made";
            self.findings.error("manifest.desk-user", at, message, hint);
        } else if self.may_be_a_person(&user, matrix, raw) {
            let at = raw.user.as_ref().map_or(raw.at, |text| text.at);
            let message =
                format!("`{user}` may be somebody's account, and `fraktalia-admin` sets its password");
            let hint = "say `bot: true` at it under `users`; or leave `user` away, and `fraktalia` is made";
            self.findings.error("manifest.desk-user", at, message, hint);
        }
        let commit = raw.commit.as_ref().is_some_and(|commit| commit.value);
        let write_to = raw.write_to.as_ref().map(|text| self.write_to(text));
        if let Some(commit) = raw.commit.as_ref().filter(|commit| commit.value && write_to.is_none()) {
            let message = "`commit` needs something to commit";
            let hint = "add `write_to:`, the directory where an approved proposal becomes a file";
            self.findings.error("manifest.commit-without-write-to", commit.at, message, hint);
        }
        if let Some(push) = raw.push.as_ref().filter(|push| push.value && !commit) {
            let message = "`push` needs something to push";
            self.findings.error("manifest.push-without-commit", push.at, message, "add `commit: true`");
        }
        AdminRoom {
            at: self.span(raw.at),
            room: raw.room.value.clone(),
            user,
            operators,
            proposers,
            write_to,
            commit,
            push: raw.push.as_ref().is_some_and(|push| push.value),
            expires_s: expires_s.unwrap_or(PROPOSAL_LIFE),
            allow: self.proposals(raw.allow.as_ref()),
        }
    }

    /// Where approved proposals are written. What is not read from there would be approved in vain.
    fn write_to(&mut self, text: &raw::Text) -> PathBuf {
        let dir = self.path(text);
        let shown = text.value.trim_end_matches('/');
        let wrong = match dir.strip_prefix(&self.base) {
            Err(_) => Some((
                format!("`{}` leads out of the manifest's directory", text.value),
                "name a directory below the manifest's".to_owned(),
            )),
            Ok(below) if !self.is_directory(below) => Some((
                format!("`{shown}` is no directory"),
                "name a directory; a link to one is not followed by `include`".to_owned(),
            )),
            // What includes it may stand in a file that could not be read.
            Ok(_) if self.findings.damaged => None,
            Ok(below) => {
                let covers = |pattern: &raw::Text| glob::covers(&pattern.value, below);
                let pattern = below.join("*.yaml");
                (!self.root.include.iter().any(covers)).then(|| {
                    let message =
                        format!("a file in `{shown}` would not be read: `include` does not cover it");
                    (message, format!("add `{}` to `include`", pattern.display()))
                })
            }
        };
        if let Some((message, hint)) = wrong {
            self.findings.error("manifest.write-to", text.at, message, hint);
        }
        dir
    }

    /// Whether a path below the manifest's directory is a directory, or can become one.
    fn is_directory(&self, below: &Path) -> bool {
        let mut dir = self.base.clone();
        below.iter().all(|part| {
            // What cannot be listed is reported where it is to be read.
            let listed = self.files.list(&dir).unwrap_or_default();
            dir.push(part);
            listed.iter().all(|entry| entry.dir || part != entry.name.as_str())
        })
    }

    /// Who `fraktalia-admin` is, where there is an admin room.
    pub(super) fn desk_user(&mut self) -> Option<UserId> {
        match &self.root.admin_room.as_ref()?.user {
            Some(named) => self.user(named),
            None => self.server.as_ref().map(|server| UserId(format!("@{DESK_USER}:{server}"))),
        }
    }

    /// Who may approve. Whoever can speak as an agent could otherwise approve what that agent proposed.
    fn operators(&mut self, named: &[raw::Text], matrix: Option<&Matrix>) -> Vec<UserId> {
        for text in named {
            // Named by localpart or full id; what is neither is reported below.
            let user = match (text.value.starts_with('@'), matrix) {
                (false, Some(matrix)) => matrix.local(&text.value),
                _ => UserId(text.value.clone()),
            };
            if self.is_agent(&user, matrix) {
                let message = format!("`{}` is an agent's user, and cannot approve", text.value);
                let hint = "name people; an agent belongs under `proposers`";
                self.findings.error("manifest.agent-as-operator", text.at, message, hint);
            }
        }
        self.users_named(named)
    }

    /// Whether the admin room's user is none that was made for a program.
    fn may_be_a_person(&self, user: &UserId, matrix: Option<&Matrix>, raw: &raw::AdminRoom) -> bool {
        // Whoever is not known was reported.
        let Some(matrix) = matrix.filter(|_| !user.0.is_empty()) else { return false };
        let declared =
            matrix.localpart(user).and_then(|name| self.root.users.iter().find(|(key, _)| key.value == name));
        match declared {
            Some((_, declared)) => !declared.bot.unwrap_or(false),
            None => !makes_user(raw),
        }
    }

    /// Whether an agent speaks as that user.
    fn is_agent(&self, user: &UserId, matrix: Option<&Matrix>) -> bool {
        let Some(matrix) = matrix else { return false };
        let named =
            |name: &str| self.root.fractals.iter().any(|(key, fractal)| key.value == name && is_own(fractal));
        matrix.bot == *user || matrix.localpart(user).is_some_and(named)
    }

    /// What is left out may not be asked for.
    fn proposals(&mut self, raw: Option<&raw::Allow>) -> ProposalLimits {
        let (per_day, open, per_minute) = PROPOSALS;
        let Some(raw) = raw else {
            let (models, sandboxes, members, keys) = Default::default();
            return ProposalLimits {
                models,
                sandboxes,
                members,
                forwards: 0,
                keys,
                per_day,
                open,
                per_minute,
            };
        };
        ProposalLimits {
            models: raw.models.iter().map(|text| text.value.clone()).collect(),
            sandboxes: raw
                .sandboxes
                .iter()
                .filter_map(|named| self.declared(named, Declared::Sandbox))
                .collect(),
            members: self.users_named(&raw.members),
            forwards: raw.forwards.unwrap_or(0),
            keys: raw.keys.iter().map(|word| word.0).collect(),
            per_day: raw.per_day.unwrap_or(per_day),
            open: raw.open.unwrap_or(open),
            per_minute: raw.per_minute.unwrap_or(per_minute),
        }
    }

    pub(super) fn policy(&mut self) -> Policy {
        let raw = self.root.policy.as_ref();
        let protect = raw.map_or(&[][..], |raw| &raw.protect);
        let limit = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        Policy {
            max_fractals: raw.and_then(|raw| raw.max_fractals.as_ref()).map(|number| limit(number.value)),
            forward_ports: raw
                .and_then(|raw| text::port_range(&raw.forward_ports.as_ref()?.value))
                .unwrap_or(FORWARD_PORTS),
            protect: protect.iter().filter_map(|text| self.resource(text)).collect(),
            max_removals: raw.and_then(|raw| raw.max_removals).map(limit),
        }
    }

    fn resource(&mut self, text: &raw::Text) -> Option<ResourceId> {
        let id = text.value.parse();
        if id.is_err() {
            let message = format!("`{}` is not the id of a resource", text.value);
            let hint = "write system/kind/name as plans show it: `matrix/room/lounge`";
            self.findings.error("manifest.bad-resource-id", text.at, message, hint);
        }
        id.ok()
    }
}

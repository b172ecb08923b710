//! The admin room, and limits.

use super::matrix::is_own;
use super::{Declared, Lowering};
use crate::id::ResourceId;
use crate::manifest::raw;
use crate::manifest::{AdminRoom, Matrix, Policy, ProposalLimits, text};
use crate::output::UserId;

/// How long a proposal lives, in seconds.
const PROPOSAL_LIFE: u64 = 24 * 3600;
/// Proposals a day, open at once, and messages a minute.
const PROPOSALS: (u32, u32, u32) = (3, 2, 6);
/// The ports that may be forwarded.
pub(in crate::manifest) const FORWARD_PORTS: (u16, u16) = (9000, 9099);

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
        let commit = raw.commit.unwrap_or(false);
        if let Some(push) = raw.push.as_ref().filter(|push| push.value && !commit) {
            let message = "`push` needs something to push";
            self.findings.error("manifest.push-without-commit", push.at, message, "add `commit: true`");
        }
        AdminRoom {
            at: self.span(raw.at),
            room: raw.room.value.clone(),
            operators: self.operators(&raw.operators, matrix),
            proposers: self.users_named(&raw.proposers),
            write_to: raw.write_to.as_ref().map(|text| self.path(text)),
            commit,
            push: raw.push.as_ref().is_some_and(|push| push.value),
            expires_s: expires_s.unwrap_or(PROPOSAL_LIFE),
            allow: self.proposals(raw.allow.as_ref()),
        }
    }

    /// Who may approve. Whoever can speak as an agent could otherwise approve what that agent proposed.
    fn operators(&mut self, named: &[raw::Text], matrix: Option<&Matrix>) -> Vec<UserId> {
        let own: Vec<String> = (self.root.fractals.iter())
            .filter(|(_, fractal)| is_own(fractal))
            .map(|(key, _)| key.value.clone())
            .collect();
        let is_agent = |user: &UserId| {
            matrix.is_some_and(|matrix| {
                matrix.bot == *user
                    || matrix.localpart(user).is_some_and(|name| own.iter().any(|key| key == name))
            })
        };
        for text in named {
            // Named by localpart or full id; what is neither is reported below.
            let user = match (text.value.starts_with('@'), matrix) {
                (false, Some(matrix)) => matrix.local(&text.value),
                _ => UserId(text.value.clone()),
            };
            if is_agent(&user) {
                let message = format!("`{}` is an agent's user, and cannot approve", text.value);
                let hint = "name people; an agent belongs under `proposers`";
                self.findings.error("manifest.agent-as-operator", text.at, message, hint);
            }
        }
        self.users_named(named)
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

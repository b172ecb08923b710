//! The admin room, and limits.

use super::{Declared, Lowering};
use crate::id::ResourceId;
use crate::manifest::raw;
use crate::manifest::{AdminRoom, Policy, ProposalLimits, text};

/// How long a proposal lives, in seconds.
const PROPOSAL_LIFE: u64 = 24 * 3600;
/// Proposals a day.
const PROPOSALS: u32 = 3;
/// The ports that may be forwarded.
pub(in crate::manifest) const FORWARD_PORTS: (u16, u16) = (9000, 9099);

impl Lowering<'_> {
    pub(super) fn admin_room(&mut self, raw: &raw::AdminRoom) -> AdminRoom {
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
        AdminRoom {
            at: self.span(raw.at),
            room: raw.room.value.clone(),
            operators: self.users_named(&raw.operators),
            proposers: self.users_named(&raw.proposers),
            write_to: raw.write_to.as_ref().map(|text| self.path(text)),
            commit: raw.commit.unwrap_or(false),
            expires_s: expires_s.unwrap_or(PROPOSAL_LIFE),
            allow: raw.allow.as_ref().map(|allow| self.proposals(allow)).unwrap_or_default(),
        }
    }

    fn proposals(&mut self, raw: &raw::Allow) -> ProposalLimits {
        ProposalLimits {
            models: raw.models.iter().map(|text| text.value.clone()).collect(),
            sandboxes: raw
                .sandboxes
                .iter()
                .filter_map(|named| self.declared(named, Declared::Sandbox))
                .collect(),
            members: self.users_named(&raw.members),
            forwards: raw.forwards.unwrap_or(0),
            per_day: raw.per_day.unwrap_or(PROPOSALS),
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

//! What holds at the desk: who may do what, and what is there already. Taken from the manifest anew whenever that
//! changes, and never stored: somebody who is no operator any more has none of an operator's rights left.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fraktalia_model::manifest::{ApiScope, ApiToken, Fractal, Peer, ProposalLimits};
use fraktalia_model::{Manifest, UserId};

use crate::ids::Moment;

/// The rules of the desk.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Our own user in the room. What it says is never a proposal nor a decision.
    pub ours: UserId,
    /// Who may approve, and ask.
    pub operators: BTreeSet<UserId>,
    /// Who may propose.
    pub proposers: BTreeSet<UserId>,
    /// How long a case lives, in seconds.
    pub expires_s: u64,
    /// The tokens of the API, by name.
    pub tokens: BTreeMap<String, Rights>,
    /// What a proposal may contain.
    pub allow: ProposalLimits,
    /// What is there already.
    pub known: Known,
}

/// What a token of the API may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    /// What.
    pub scopes: BTreeSet<ApiScope>,
    /// Until when.
    pub expires: Moment,
}

/// What the manifest holds that a proposal could clash with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    /// The name of our homeserver.
    pub server: String,
    /// Taken names, and what they are: fractals, rooms, aliases, users, agents, networks.
    pub names: BTreeMap<String, &'static str>,
    /// The fractals, and whether each was written by an approved proposal, as a file of its own.
    pub fractals: BTreeMap<String, bool>,
    /// Taken ports of the host, and the fractal that each leads to.
    pub ports: BTreeMap<u16, String>,
    /// First and last port that may be forwarded.
    pub range: (u16, u16),
    /// How many more fractals there may be.
    pub room_for: Option<usize>,
}

impl Policy {
    /// The rules that a manifest sets. `None` when it has no admin room, or no homeserver.
    pub fn of(manifest: &Manifest, ours: UserId) -> Option<Self> {
        let room = manifest.admin_room.as_ref()?;
        let server = manifest.matrix.as_ref()?.server_name.clone();
        Some(Self {
            ours,
            operators: room.operators.iter().cloned().collect(),
            proposers: room.proposers.iter().cloned().collect(),
            expires_s: room.expires_s,
            tokens: manifest.api.iter().flat_map(|api| &api.tokens).map(rights).collect(),
            allow: room.allow.clone(),
            known: Known::of(manifest, server),
        })
    }

    /// Whether a token may do something now.
    pub(crate) fn token_may(&self, token: &str, scope: ApiScope, now: Moment) -> bool {
        self.tokens.get(token).is_some_and(|rights| rights.scopes.contains(&scope) && now < rights.expires)
    }
}

fn rights((name, token): (&String, &ApiToken)) -> (String, Rights) {
    (name.clone(), Rights { scopes: token.scopes.clone(), expires: Moment(token.expires_ms) })
}

impl Known {
    fn of(manifest: &Manifest, server: String) -> Self {
        let mut names = BTreeMap::new();
        let mut take = |name: &str, what| {
            names.entry(name.to_ascii_lowercase()).or_insert(what);
        };
        manifest.fractals.keys().for_each(|key| take(key, "fractal"));
        for (key, room) in &manifest.rooms {
            take(key, "room");
            take(&room.alias, "room");
        }
        manifest.users.keys().for_each(|key| take(key, "user"));
        if let Some(matrix) = &manifest.matrix {
            let others = matrix.padding.iter().chain([&matrix.bot]);
            others.filter_map(|user| matrix.localpart(user)).for_each(|name| take(name, "user"));
        }
        let catch_all = manifest.openclaw.iter().filter_map(|openclaw| openclaw.catch_all.as_ref());
        let bound = manifest.bindings.iter().map(|binding| &binding.agent);
        catch_all.chain(bound).for_each(|agent| take(agent, "agent"));
        manifest.networks.keys().for_each(|key| take(key, "network"));
        for binding in &manifest.bindings {
            if let Peer::Room(room) = &binding.peer {
                take(room, "room");
            }
        }
        if let Some(room) = &manifest.admin_room {
            take(&room.room, "room");
        }
        // Where an approved proposal is written.
        let written = |key: &str, fractal: &Fractal| {
            let dir = manifest.admin_room.as_ref().and_then(|room| room.write_to.as_ref());
            let beside = manifest.path.parent().unwrap_or(Path::new(""));
            let from_base = fractal.at.file.strip_prefix(beside).unwrap_or(&fractal.at.file);
            dir.is_some_and(|dir| manifest.base.join(from_base) == dir.join(format!("{key}.yaml")))
        };
        let fractals =
            manifest.fractals.iter().map(|(key, fractal)| (key.clone(), written(key, fractal))).collect();
        let ports = manifest.forwards.iter().map(|forward| (forward.host_port, forward.fractal.clone()));
        Self {
            server,
            names,
            fractals,
            ports: ports.collect(),
            range: manifest.policy.forward_ports,
            room_for: (manifest.policy.max_fractals).map(|most| most.saturating_sub(manifest.fractals.len())),
        }
    }

    /// The full id of a user who is named by localpart or full id.
    pub(crate) fn user(&self, named: &str) -> UserId {
        UserId(if named.starts_with('@') { named.into() } else { format!("@{named}:{}", self.server) })
    }
}

//! Fractals, and what leads to them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Component, Path, PathBuf};

use super::matrix::is_own;
use super::{Declared, Lowering};
use crate::manifest::finding::{Located, Mark};
use crate::manifest::raw::{self, LongForward, Text};
use crate::manifest::{
    Account, Binding, Forward, Fractal, Host, KeepFile, Managed, Model, OnRemove, OpenClaw, Owner, Peer,
    Sandbox, SandboxMode, Workspace, WorkspaceFile, text,
};

/// Permission bits of a file in a workspace.
const FILE_MODE: u32 = 0o664;
/// Keys of an agent entry that have a key of their own in the manifest, or follow from it.
const MANAGED: [(&str, &str); 5] = [
    ("id", "the fractal's key is its id"),
    ("name", "use the fractal's `name`"),
    ("workspace", "use the fractal's `workspace.path`"),
    ("model", "use the fractal's `model`"),
    ("sandbox", "use the fractal's `sandbox` and declare it under `sandboxes`"),
];

impl Lowering<'_> {
    pub(super) fn fractals(
        &mut self,
        openclaw: Option<&OpenClaw>,
        sandboxes: &BTreeMap<String, Sandbox>,
        hosts: &BTreeMap<String, Host>,
    ) -> BTreeMap<String, Fractal> {
        let root = self.root;
        let mut fractals = BTreeMap::new();
        for (key, raw) in root.fractals.iter() {
            let sandbox = raw.sandbox.as_ref().and_then(|named| self.declared(named, Declared::Sandbox));
            let shared = sandbox
                .as_ref()
                .and_then(|sandbox| hosts.get(&sandboxes.get(sandbox)?.host)?.workspaces.as_ref())
                .map(|paths| paths.here.as_path());
            let below = shared.or(openclaw.map(|openclaw| openclaw.workspaces.as_path()));
            let fractal = self.fractal(key, raw, sandbox, below.unwrap_or(Path::new("/")));
            fractals.insert(key.value.clone(), fractal);
        }
        fractals
    }

    fn fractal(&mut self, key: &Text, raw: &raw::Fractal, sandbox: Option<String>, below: &Path) -> Fractal {
        for passed in &raw.openclaw.keys {
            if let Some((managed, instead)) = MANAGED.iter().find(|(managed, _)| *managed == passed.value) {
                let message =
                    format!("`{managed}` of an agent entry is not passed on: fraktalia sets it itself");
                self.findings.error("manifest.managed-key", passed.at, message, *instead);
            }
        }
        if sandbox.is_none()
            && raw.sandbox.is_none()
            && let Some(forward) = raw.forwards.first()
        {
            let message = format!("`{}` has forwards, and no sandbox that they could lead into", key.value);
            let hint = "give it a `sandbox`";
            self.findings.warning("manifest.forward-without-sandbox", forward.0.at, message, hint);
        }
        self.same_user(key, raw, sandbox.as_deref());
        let text = |text: &Option<Text>| text.as_ref().map(|text| text.value.clone());
        Fractal {
            at: self.span(key.at),
            key: key.value.clone(),
            name: name(key, raw),
            managed: managed(raw),
            purpose: text(&raw.purpose),
            persona: text(&raw.persona),
            model: raw.model.as_ref().map(|model| Model {
                primary: model.primary.value.clone(),
                fallbacks: model.fallbacks.iter().map(|text| text.value.clone()).collect(),
            }),
            account: if is_own(raw) { Account::Own } else { Account::Shared },
            auto_reply: raw.auto_reply.unwrap_or(true),
            network: self.network_name(key, raw).filter(|_| sandbox.is_some()),
            sandbox,
            workspace: self.workspace(key, raw.workspace.as_ref(), below),
            openclaw: raw.openclaw.map.clone(),
            on_remove: raw.on_remove.map_or(OnRemove::Delete, |word| word.0),
        }
    }

    fn workspace(&mut self, key: &Text, raw: Option<&raw::Workspace>, below: &Path) -> Workspace {
        let Some(raw) = raw else {
            return Workspace {
                path: below.join(&key.value),
                owner: None,
                files: BTreeMap::new(),
                on_remove: OnRemove::Keep,
            };
        };
        let mut files = BTreeMap::new();
        for (path, file) in raw.files.iter() {
            if let Some(file) = self.workspace_file(path, file) {
                files.insert(path.value.clone(), file);
            }
        }
        Workspace {
            path: match &raw.path {
                Some(path) => self.path(path),
                None => below.join(&key.value),
            },
            owner: raw.owner.as_ref().and_then(|owner| self.owner(owner)),
            files,
            on_remove: raw.on_remove.map_or(OnRemove::Keep, |word| word.0),
        }
    }

    /// What the agent's shell makes belongs to the sandbox's user; when that is not who owns the workspace, one of the
    /// two cannot write, or not read, what the other wrote.
    fn same_user(&mut self, key: &Text, raw: &raw::Fractal, sandbox: Option<&str>) {
        let Some(owner) = raw.workspace.as_ref().and_then(|workspace| workspace.owner.as_ref()) else {
            return;
        };
        let declared = self.root.sandboxes.iter().find(|(key, _)| Some(key.value.as_str()) == sandbox);
        let Some((named, sandbox)) = declared else { return };
        let Some(user) = &sandbox.user else { return };
        let off = sandbox.mode.as_ref().is_some_and(|mode| mode.0 == SandboxMode::Off);
        let differ = |(one, other): (Owner, Owner)| one != other;
        if off || !text::owner(&owner.value).zip(text::owner(&user.value)).is_some_and(differ) {
            return;
        }
        let message = format!(
            "the workspace of `{}` belongs to {}, and its shell in the sandbox `{}` runs as {}",
            key.value, owner.value, named.value, user.value
        );
        let hint = format!("give both the same numbers: `owner: \"{}\"`", user.value);
        self.findings.warning("manifest.other-user", owner.at, message, hint);
    }

    fn owner(&mut self, text: &Text) -> Option<Owner> {
        let owner = text::owner(&text.value);
        if owner.is_none() {
            self.bad_owner(text);
        }
        owner
    }

    fn workspace_file(&mut self, path: &Text, raw: &raw::WorkspaceFile) -> Option<WorkspaceFile> {
        if !is_inside(&path.value) {
            let message = format!("`{}` is not a path inside of the workspace", path.value);
            let hint = "write it without `/` at its start, without `..`, `.` and empty parts";
            self.findings.error("manifest.bad-path", path.at, message, hint);
        }
        let mode = match &raw.mode {
            None => Some(FILE_MODE),
            Some(word) => self.mode(&word.0),
        };
        let content = match (&raw.source, &raw.content) {
            (Some(source), None) => self.text_of(source),
            (None, Some(content)) => Some(content.value.clone()),
            (Some(source), Some(content)) => {
                let message = format!("`{}` has both `source` and `content`", path.value);
                let hint = "keep one of the two";
                self.findings.clash("manifest.file-text", content.at, source.at, message, hint);
                None
            }
            (None, None) => {
                if !self.findings.damaged {
                    let message = format!("`{}` has neither `source` nor `content`", path.value);
                    let hint = "name a file with `source`, or write the text under `content`";
                    self.findings.error("manifest.file-text", path.at, message, hint);
                }
                None
            }
        };
        Some(WorkspaceFile {
            at: self.span(path.at),
            content: content?,
            keep: raw.keep.map_or(KeepFile::Seed, |word| word.0),
            mode: mode?,
        })
    }

    fn mode(&mut self, text: &Text) -> Option<u32> {
        let mode = text::mode(&text.value);
        if mode.is_none() {
            let message = format!("`{}` are not permission bits", text.value);
            let hint = "write them in octal, in quotes: `\"0664\"`";
            self.findings.error("manifest.bad-mode", text.at, message, hint);
        }
        mode
    }

    fn text_of(&mut self, source: &Text) -> Option<String> {
        let (path, bytes) = self.referenced(source)?;
        let text = String::from_utf8(bytes).ok();
        if text.is_none() {
            let message = format!("the file `{}` is not text in UTF-8", path.display());
            let hint = "files of a workspace are texts that the agent reads; save it as UTF-8";
            self.findings.error("manifest.encoding", source.at, message, hint);
        }
        text
    }

    /// Bindings of fractals to their own rooms, then those that are written out.
    pub(super) fn bindings(&mut self) -> Vec<Binding> {
        let root = self.root;
        let mut bindings = Vec::with_capacity(root.fractals.0.len() + root.bindings.len());
        let mut taken: BTreeMap<(Peer, Option<String>), Mark> = BTreeMap::new();
        let own: BTreeMap<&str, bool> =
            root.fractals.iter().map(|(key, raw)| (key.value.as_str(), is_own(raw))).collect();
        let account_of = |agent: &str| own.get(agent).copied().unwrap_or(false).then(|| agent.to_owned());
        for (key, _) in root.fractals.iter() {
            let binding = Binding {
                at: self.span(key.at),
                agent: key.value.clone(),
                peer: Peer::Room(key.value.clone()),
                account_of: account_of(&key.value),
                fractal: Some(key.value.clone()),
            };
            taken.insert((binding.peer.clone(), binding.account_of.clone()), key.at);
            bindings.push(binding);
        }
        for raw in &root.bindings {
            let Some(peer) = self.peer(raw) else { continue };
            self.check_agent_id(&raw.agent);
            let account_of = account_of(&raw.agent.value);
            if let Some(first) = taken.insert((peer.clone(), account_of.clone()), raw.agent.at) {
                let message = format!("`{peer}` is bound already: the second binding would never be used");
                let hint = "leave one of the two away; the first that matches gets every message";
                self.findings.clash("manifest.bound-twice", raw.agent.at, first, message, hint);
            }
            bindings.push(Binding {
                at: self.span(raw.agent.at),
                agent: raw.agent.value.clone(),
                peer,
                account_of,
                fractal: None,
            });
        }
        bindings
    }

    fn peer(&mut self, raw: &raw::Binding) -> Option<Peer> {
        match (&raw.room, &raw.direct) {
            (Some(room), None) => self.declared(room, Declared::Room).map(Peer::Room),
            (None, Some(user)) => self.user(user).map(Peer::Direct),
            (room, _) => {
                let at = Self::at_of(room.as_ref(), raw.agent.at);
                let message = "a binding routes either a room or what one user writes directly";
                let hint = "give one of `room` and `direct`";
                if room.is_some() || !self.findings.damaged {
                    self.findings.error("manifest.binding-peer", at, message, hint);
                }
                None
            }
        }
    }

    /// Every forwarded port: those at fractals, then those that are written out.
    pub(super) fn forwards(&mut self) -> Vec<Forward> {
        let root = self.root;
        let mut forwards = Vec::new();
        for (key, raw) in root.fractals.iter() {
            for forward in &raw.forwards {
                forwards.extend(self.forward(&forward.0, &key.value));
            }
        }
        for raw in &root.forwards {
            let Some(fractal) = self.declared(&raw.fractal, Declared::Fractal) else {
                continue;
            };
            let forward = LongForward {
                at: raw.at,
                host_port: raw.host_port.clone(),
                port: raw.port.clone(),
                listen: raw.listen.clone(),
            };
            forwards.extend(self.forward(&forward, &fractal));
        }
        forwards
    }

    fn forward(&mut self, raw: &LongForward, fractal: &str) -> Option<Forward> {
        let port = raw.port.as_ref().unwrap_or(&raw.host_port);
        if port.value == 0 {
            let hint = "write the port that the agent's program listens on";
            self.findings.error("manifest.bad-port", port.at, "0 is not a port", hint);
        }
        let listen = match &raw.listen {
            // Nobody but this machine, unless the manifest says so.
            None => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Some(text) => self.address(text)?,
        };
        Some(Forward {
            at: self.span(raw.host_port.at),
            host_port: raw.host_port.value,
            fractal: fractal.into(),
            port: port.value,
            listen,
        })
    }
}

/// What people call a fractal: its name, or its key with a capital.
pub(super) fn name(key: &Located<String>, raw: &raw::Fractal) -> String {
    if let Some(name) = &raw.name {
        return name.value.clone();
    }
    let mut letters = key.value.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// What is asked for of what has a default.
fn managed(raw: &raw::Fractal) -> Managed {
    if has_defaults(raw) {
        return Managed::ALL;
    }
    let workspace = raw.workspace.as_ref();
    Managed {
        name: raw.name.is_some(),
        identity: false,
        workspace: workspace.is_some_and(|workspace| workspace.path.is_some()),
        files: false,
        auto_reply: raw.auto_reply.is_some(),
    }
}

/// Whether what a fractal leaves out has a default.
pub(super) fn has_defaults(raw: &raw::Fractal) -> bool {
    raw.defaults.unwrap_or(true)
}

/// Whether a relative path cannot lead out, and has one spelling only.
fn is_inside(path: &str) -> bool {
    !path.is_empty()
        && !path.contains(['\0', '\\'])
        && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
        && PathBuf::from(path).components().all(|part| matches!(part, Component::Normal(_)))
}

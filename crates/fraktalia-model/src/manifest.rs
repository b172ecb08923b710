//! What a person asks for: the manifest, read, checked and complete.
//!
//! This is the form that the systems lower into resources: names are resolved to full ids, defaults are filled
//! in, referenced files are read. A field that is an `Option` here and `None` is not managed.

mod check;
mod docker;
pub mod edit;
mod finding;
mod fragment;
mod lower;
mod parse;
mod raw;
mod read;
mod schema;
mod suggest;
pub(crate) mod text;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::{Map, Value as Json};

use crate::note::Span;
use crate::output::{RoomId, UserId};
use crate::secret::SecretSource;

pub use docker::{
    Build, HelperKind, Host, HostPaths, HostTls, Image, Network, Opening, Protocol, Sandbox, SandboxMode,
    WorkspaceAccess,
};
pub use fragment::{Asked, Fragment, FragmentBounds, Quoted, ReadFragment, Written, read_fragment};
pub use lower::content_hash;
pub use parse::{FILE_LIMIT, Loaded, Sources, load};
pub use schema::schema;
pub use suggest::nearest;

/// A whole manifest, includes and all.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The file that was named, as it was named.
    pub path: PathBuf,
    /// The absolute directory of that file; every relative path of the manifest starts here.
    pub base: PathBuf,
    /// SHA-256 (hex) over all files that were read, in a fixed order.
    pub fingerprint: String,
    /// The scope of ownership.
    pub realm: String,
    /// The homeserver. Present whenever users, rooms, bindings or fractals are.
    pub matrix: Option<Matrix>,
    /// The gateway's configuration. Present whenever bindings or fractals are.
    pub openclaw: Option<OpenClaw>,
    /// Docker hosts by name. `local` is always in it.
    pub hosts: BTreeMap<String, Host>,
    /// Local Matrix users by localpart. A fractal's own user (`account: own`) is in it too.
    pub users: BTreeMap<String, User>,
    /// Rooms and spaces by key, those of fractals included, under the fractal's key.
    pub rooms: BTreeMap<String, Room>,
    /// Sandbox networks by name.
    pub networks: BTreeMap<String, Network>,
    /// Sandbox definitions by key.
    pub sandboxes: BTreeMap<String, Sandbox>,
    /// Fractals by key.
    pub fractals: BTreeMap<String, Fractal>,
    /// Every binding, those of fractals to their own rooms first.
    pub bindings: Vec<Binding>,
    /// Forwarded ports, those of fractals included.
    pub forwards: Vec<Forward>,
    /// The room where agents propose.
    pub admin_room: Option<AdminRoom>,
    /// The Fractal API.
    pub api: Option<Api>,
    /// Limits.
    pub policy: Policy,
}

/// `matrix:`
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    /// Place of the section.
    pub at: Span,
    /// Base URL without a slash at its end.
    pub homeserver: String,
    /// The part after the colon of local ids.
    pub server_name: String,
    /// Access token of a server admin: our own user.
    pub admin_token: SecretSource,
    /// The gateway's Matrix user.
    pub bot: UserId,
    /// Users who are joined where a bound room would have fewer than three members.
    pub padding: Vec<UserId>,
}

impl Matrix {
    /// The full id of a local user.
    pub fn local(&self, localpart: &str) -> UserId {
        UserId(format!("@{localpart}:{}", self.server_name))
    }

    /// The localpart of a user of our own homeserver, `None` for a remote one.
    pub fn localpart<'a>(&self, user: &'a UserId) -> Option<&'a str> {
        let (localpart, server) = user.0.strip_prefix('@')?.split_once(':')?;
        (server == self.server_name).then_some(localpart)
    }
}

/// `openclaw:`
#[derive(Clone, Debug, PartialEq)]
pub struct OpenClaw {
    /// Place of the section.
    pub at: Span,
    /// Absolute path of `openclaw.json`.
    pub config: PathBuf,
    /// The OpenClaw program, a name on `PATH` or an absolute path, to validate a candidate with.
    pub cli: Option<PathBuf>,
    /// The running gateway, to confirm the applied configuration with.
    pub gateway: Option<Gateway>,
    /// The agent for every unbound room.
    pub catch_all: Option<String>,
    /// Absolute directory under which workspaces live by default, as the gateway sees it.
    pub workspaces: PathBuf,
    /// Which shape of agent table to write where the file has none yet.
    pub dialect: Option<Dialect>,
}

/// `openclaw.gateway:`
#[derive(Clone, Debug, PartialEq)]
pub struct Gateway {
    /// `ws://` or `wss://`.
    pub url: String,
    /// The gateway's token.
    pub token: Option<SecretSource>,
}

/// The two shapes of the agent table of `openclaw.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// `agents.list`, an array (before 2026.8).
    List,
    /// `agents.entries`, a map.
    Entries,
}

/// A local Matrix user.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// Place of the declaration.
    pub at: Span,
    /// The full id.
    pub id: UserId,
    /// The global display name.
    pub display_name: Option<String>,
    /// Used once, when the user is created.
    pub password: Option<SecretSource>,
    /// Whether it is a bot.
    pub bot: bool,
    /// What happens when it leaves the manifest: `Keep` by default, `Deactivate` when asked for.
    pub on_remove: OnRemove,
    /// The fractal whose own user it is.
    pub owned_by: Option<String>,
}

/// What happens to a thing that leaves the manifest.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum OnRemove {
    /// It stays, and is no longer ours.
    Keep,
    /// It is put out of use in a way that keeps what people wrote: rooms lose our members and their alias.
    Retire,
    /// It is deleted for good where that is harmless: agents, bindings, networks.
    Delete,
    /// It is deleted together with what people wrote in it. Cannot be undone.
    Purge,
    /// A user is deactivated. Cannot be undone.
    Deactivate,
}

/// A room or a space.
#[derive(Clone, Debug, PartialEq)]
pub struct Room {
    /// Place of the declaration.
    pub at: Span,
    /// The key in the manifest.
    pub key: String,
    /// The fractal whose own room it is.
    pub fractal: Option<String>,
    /// Whether an agent of the manifest is bound to it, so that it needs three joined members.
    pub bound: bool,
    /// A space instead of a room.
    pub space: bool,
    /// `m.room.name`
    pub name: Option<String>,
    /// `m.room.topic`
    pub topic: Option<String>,
    /// The room that is meant, where the manifest names it by its id.
    pub id: Option<RoomId>,
    /// The realm whose marker such a room may still carry.
    pub from_realm: Option<String>,
    /// Localpart of the canonical alias: `lounge` for `#lounge:chat.home`. The key where none is asked for.
    pub alias: String,
    /// Whether the alias is asked for: always, but for a room that is named by its id.
    pub aliased: bool,
    /// Absolute path of a picture, and its SHA-256 (hex).
    pub avatar: Option<LocalFile>,
    /// Who is in it: declared members, then the bot or the fractal's own user where the room is bound or has a
    /// fractal, then padding where there would be fewer than three. No user twice; our own admin user is not in
    /// it unless the manifest says so.
    pub members: Vec<Member>,
    /// What happens to members whom the manifest does not name.
    pub members_policy: MembersPolicy,
    /// `m.room.join_rules`
    pub join_rule: Option<JoinRule>,
    /// `m.room.history_visibility`
    pub history: Option<HistoryVisibility>,
    /// Whether it is end-to-end encrypted. Can be switched on, never off.
    pub encrypted: Option<bool>,
    /// Levels of users; only those named are managed.
    pub power_levels: BTreeMap<UserId, i64>,
    /// The key of the space it is in.
    pub parent: Option<String>,
    /// `Retire` by default; `Keep`, `Purge`.
    pub on_remove: OnRemove,
}

impl Room {
    /// What leads to it: its id where the manifest names it by that, its alias otherwise.
    pub fn address(&self, matrix: &Matrix) -> String {
        self.id.as_ref().map_or_else(|| self.full_alias(matrix), |id| id.0.clone())
    }

    /// What people call it: its alias, or what else there is where none is asked for.
    pub fn shown(&self, matrix: &Matrix) -> String {
        match (&self.id, &self.name) {
            (Some(_), Some(name)) if !self.aliased => name.clone(),
            (Some(id), None) if !self.aliased => id.0.clone(),
            _ => self.full_alias(matrix),
        }
    }

    fn full_alias(&self, matrix: &Matrix) -> String {
        format!("#{}:{}", self.alias, matrix.server_name)
    }
}

/// Somebody who is to be in a room.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// The display name in this room only: the fractal's name for its bot.
    pub display_name: Option<String>,
    /// Why they are in it.
    pub role: MemberRole,
}

/// Why somebody is in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberRole {
    /// The manifest names them.
    Named,
    /// They speak for the agent.
    Agent,
    /// They make up the number.
    Padding,
}

/// A file beside the manifest, known by its content.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalFile {
    /// Absolute path.
    pub path: PathBuf,
    /// SHA-256 of the content, hex.
    pub sha256: String,
}

/// `members_policy`
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum MembersPolicy {
    /// Nobody is ever put out.
    #[default]
    AtLeast,
    /// Others are kicked, and who left is joined again.
    Exact,
}

/// `join_rule`
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JoinRule {
    /// Anybody.
    Public,
    /// Who is invited.
    Invite,
    /// Who asks and is let in.
    Knock,
    /// Members of the space the room is in.
    Restricted,
}

/// `history`
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HistoryVisibility {
    /// Members see all, also from before they came.
    Shared,
    /// From their invitation on.
    Invited,
    /// From their join on.
    Joined,
    /// Everybody, members or not.
    WorldReadable,
}

/// A fractal. Its room stands under the same key in [`Manifest::rooms`].
#[derive(Clone, Debug, PartialEq)]
pub struct Fractal {
    /// Place of the declaration.
    pub at: Span,
    /// The key in the manifest, and the id of the agent.
    pub key: String,
    /// What people call it; the key with a capital by default.
    pub name: String,
    /// Which of its fields are asked for even where the manifest leaves them out.
    pub managed: Managed,
    /// What it is for, one sentence.
    pub purpose: Option<String>,
    /// How it behaves.
    pub persona: Option<String>,
    /// Its models; the gateway's default when absent.
    pub model: Option<Model>,
    /// Who speaks for it in Matrix.
    pub account: Account,
    /// Whether it answers without being mentioned.
    pub auto_reply: bool,
    /// The key of its sandbox.
    pub sandbox: Option<String>,
    /// The name of the network that its containers are on.
    pub network: Option<String>,
    /// Its workspace.
    pub workspace: Workspace,
    /// Any other key of its agent entry.
    pub openclaw: Map<String, Json>,
    /// What happens to its agent, bindings and group when it leaves the manifest: `Delete`, or `Keep`.
    pub on_remove: OnRemove,
}

/// Fields of a fractal that have a default. With `defaults: false` only those are asked for that the manifest names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "five fields that have nothing to do with each other")]
pub struct Managed {
    /// Its name in the agent entry.
    pub name: bool,
    /// Its name as the agent's identity, as the bot's name in its room, and as the name of the room.
    pub identity: bool,
    /// The path of its workspace in the agent entry.
    pub workspace: bool,
    /// The directory of its workspace and the files that are generated there.
    pub files: bool,
    /// Whether it answers without being mentioned.
    pub auto_reply: bool,
}

impl Managed {
    /// What holds where nothing else is said.
    pub const ALL: Self = Self { name: true, identity: true, workspace: true, files: true, auto_reply: true };
}

/// The models of an agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// `provider/model`
    pub primary: String,
    /// Tried in order when the first fails.
    pub fallbacks: Vec<String>,
}

/// Who speaks for a fractal.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Account {
    /// The gateway's bot.
    #[default]
    Shared,
    /// A Matrix user of its own, with the fractal's key as localpart.
    Own,
}

/// A fractal's workspace.
#[derive(Clone, Debug, PartialEq)]
pub struct Workspace {
    /// Absolute path as the gateway sees it.
    pub path: PathBuf,
    /// Numeric owner, or the user of this process when absent.
    pub owner: Option<Owner>,
    /// Files by path inside the workspace, as the manifest declares them; generated ones are not in it.
    pub files: BTreeMap<String, WorkspaceFile>,
    /// `Keep` by default; `Purge` deletes the directory.
    pub on_remove: OnRemove,
}

/// Numeric user and group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// A declared file of a workspace.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkspaceFile {
    /// Place of the declaration.
    pub at: Span,
    /// The text, read from `source` where that was given.
    pub content: String,
    /// Whether it is written once or kept as written.
    pub keep: KeepFile,
    /// Permission bits, `0o664` by default.
    pub mode: u32,
}

/// `keep`
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum KeepFile {
    /// Written once, then the agent's own.
    #[default]
    Seed,
    /// Kept as the manifest says.
    Sync,
}

/// Routes what is said somewhere to an agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    /// Place of the declaration.
    pub at: Span,
    /// The agent's id. It may be one that the manifest does not manage.
    pub agent: String,
    /// What is routed.
    pub peer: Peer,
    /// The Matrix account it is about, by the fractal that owns it; the gateway's default account when absent.
    pub account_of: Option<String>,
    /// The fractal whose own room it is about.
    pub fractal: Option<String>,
}

/// What a binding routes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// A room, by key.
    Room(String),
    /// Direct messages of a user.
    Direct(UserId),
}

impl std::fmt::Display for Peer {
    /// `room/lounge`, `direct/@ana:chat.home`: the second half of a binding's name.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Room(key) => write!(f, "room/{key}"),
            Self::Direct(user) => write!(f, "direct/{user}"),
        }
    }
}

/// A forwarded port.
#[derive(Clone, Debug, PartialEq)]
pub struct Forward {
    /// Place of the declaration.
    pub at: Span,
    /// The port on the host.
    pub host_port: u16,
    /// The fractal whose container is meant.
    pub fractal: String,
    /// The port in the container.
    pub port: u16,
    /// The address to listen on.
    pub listen: std::net::IpAddr,
}

/// `admin_room:`
#[derive(Clone, Debug, PartialEq)]
pub struct AdminRoom {
    /// Place of the section.
    pub at: Span,
    /// The key or alias localpart of the room.
    pub room: String,
    /// Who `fraktalia-admin` is there.
    pub user: UserId,
    /// Who may approve.
    pub operators: Vec<UserId>,
    /// Who may propose.
    pub proposers: Vec<UserId>,
    /// Absolute directory where approved proposals are written.
    pub write_to: Option<PathBuf>,
    /// Whether they are committed.
    pub commit: bool,
    /// Whether the commit is pushed.
    pub push: bool,
    /// How long a proposal lives, in seconds.
    pub expires_s: u64,
    /// What a proposal may contain.
    pub allow: ProposalLimits,
}

/// `admin_room.allow:`
#[derive(Clone, Debug, PartialEq)]
pub struct ProposalLimits {
    /// Models that may be asked for.
    pub models: Vec<String>,
    /// Sandboxes that may be asked for.
    pub sandboxes: Vec<String>,
    /// Members that may be named.
    pub members: Vec<UserId>,
    /// Forwards in one proposal.
    pub forwards: u32,
    /// Keys that may be written down beyond those that always may.
    pub keys: Vec<Proposable>,
    /// Proposals in 24 hours, by proposer.
    pub per_day: u32,
    /// Proposals that wait for an answer at once, by proposer.
    pub open: u32,
    /// Messages in a minute that are read, by sender.
    pub per_minute: u32,
}

/// `admin_room.allow.keys`: what a proposal may write down only where the manifest says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Proposable {
    /// `account`
    Account,
    /// `forwards[].listen`
    Listen,
    /// `room.alias`
    RoomAlias,
    /// `room.avatar`
    RoomAvatar,
    /// `room.encrypted`
    RoomEncrypted,
    /// `room.history`
    RoomHistory,
    /// `room.in`
    RoomIn,
    /// `room.join_rule`
    RoomJoinRule,
    /// `workspace.files.*.keep`
    FileKeep,
    /// `workspace.files.*.mode`
    FileMode,
    /// `workspace.files.*.source`
    FileSource,
    /// `workspace.owner`
    WorkspaceOwner,
    /// `workspace.path`
    WorkspacePath,
}

/// `api:`
#[derive(Clone, Debug, PartialEq)]
pub struct Api {
    /// Place of the section.
    pub at: Span,
    /// Where it listens.
    pub listen: std::net::SocketAddr,
    /// Its tokens by name.
    pub tokens: BTreeMap<String, ApiToken>,
}

/// `api.tokens.*:`
#[derive(Clone, Debug, PartialEq)]
pub struct ApiToken {
    /// Place of the declaration.
    pub at: Span,
    /// Where the token is found.
    pub token: SecretSource,
    /// What it may do.
    pub scopes: BTreeSet<ApiScope>,
    /// Until when, in milliseconds since 1970.
    pub expires_ms: u64,
    /// Requests in a minute.
    pub per_minute: u32,
}

/// `api.tokens.*.scopes`
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ApiScope {
    /// List fractals and proposals.
    Read,
    /// Propose.
    Propose,
    /// Make and remove fractals without anybody's answer.
    Apply,
}

/// `policy:`
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// More fractals than this are an error.
    pub max_fractals: Option<usize>,
    /// First and last port that may be forwarded.
    pub forward_ports: (u16, u16),
    /// Never deleted by us, also when they left the manifest.
    pub protect: Vec<crate::id::ResourceId>,
    /// A plan that removes more needs `--allow-removals`.
    pub max_removals: Option<usize>,
}

//! Values with a form of their own: closed lists of words, sources of secrets, short and long forms.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{LongForward, Models, Text};
use crate::manifest::finding::Located;
use crate::manifest::read::{FromNode, Reader, choices, section, word};
use crate::manifest::yaml::{Content, Node, Plain, plain};
use crate::manifest::{
    Account, ApiScope, Dialect, HelperKind, HistoryVisibility, JoinRule, KeepFile, MembersPolicy, OnRemove,
    Proposable, SandboxMode, WorkspaceAccess,
};
use crate::secret::SecretSource;

choices! {
    /// The shape of the agent table.
    DialectWord -> Dialect {
        "list" => Dialect::List, "`agents.list`, an array: OpenClaw before 2026.8.";
        "entries" => Dialect::Entries, "`agents.entries`, a mapping.";
    }
    /// Who holds the rules of a host's networks and its forwarded ports.
    HelperWord -> HelperKind {
        "container" => HelperKind::Container, "A container that fraktalia brings there and keeps up to date.";
        "service" => HelperKind::Service, "A service of the host, which somebody installs and updates.";
    }
    /// What happens to a user who leaves the manifest.
    UserOnRemove -> OnRemove {
        "keep" => OnRemove::Keep, "The user stays.";
        "deactivate" => OnRemove::Deactivate, "The user is deactivated. Cannot be undone.";
    }
    /// What happens to a room that leaves the manifest.
    RoomOnRemove -> OnRemove {
        "retire" => OnRemove::Retire, "Our members leave, the alias is freed, the history stays readable to who is in it.";
        "keep" => OnRemove::Keep, "The room stays as it is.";
        "purge" => OnRemove::Purge, "The room and all that was said in it are deleted. Cannot be undone.";
    }
    /// What happens to the agent of a fractal that leaves the manifest.
    FractalOnRemove -> OnRemove {
        "delete" => OnRemove::Delete, "Agent, bindings and group settings go.";
        "keep" => OnRemove::Keep, "They stay.";
    }
    /// What happens to the workspace of a fractal that leaves the manifest.
    WorkspaceOnRemove -> OnRemove {
        "keep" => OnRemove::Keep, "The directory stays.";
        "purge" => OnRemove::Purge, "The directory is deleted.";
    }
    /// What happens to members whom the manifest does not name.
    MembersPolicyWord -> MembersPolicy {
        "at-least" => MembersPolicy::AtLeast, "Nobody is ever put out.";
        "exact" => MembersPolicy::Exact, "Others are kicked, and who left is joined again.";
    }
    /// Who can enter.
    JoinRuleWord -> JoinRule {
        "public" => JoinRule::Public, "Anybody.";
        "invite" => JoinRule::Invite, "Who is invited.";
        "knock" => JoinRule::Knock, "Who asks and is let in.";
        "restricted" => JoinRule::Restricted, "Members of the space that the room is in.";
    }
    /// Who can read what was said.
    HistoryWord -> HistoryVisibility {
        "shared" => HistoryVisibility::Shared, "Members see all, also from before they came.";
        "invited" => HistoryVisibility::Invited, "Members see what was said since their invitation.";
        "joined" => HistoryVisibility::Joined, "Members see what was said since they came.";
        "world_readable" => HistoryVisibility::WorldReadable, "Everybody, members or not.";
    }
    /// Which sessions are sandboxed.
    SandboxModeWord -> SandboxMode {
        "off" => SandboxMode::Off, "None.";
        "non-main" => SandboxMode::NonMain, "All but the main session.";
        "all" => SandboxMode::All, "Every session.";
    }
    /// What the container may do with the workspace.
    WorkspaceAccessWord -> WorkspaceAccess {
        "none" => WorkspaceAccess::None, "It is not mounted.";
        "ro" => WorkspaceAccess::Ro, "Read.";
        "rw" => WorkspaceAccess::Rw, "Read and write.";
    }
    /// Who speaks for a fractal.
    AccountWord -> Account {
        "shared" => Account::Shared, "The gateway's bot.";
        "own" => Account::Own, "A Matrix user of its own, called as the fractal's key.";
    }
    /// What a proposal may write down beyond what it always may.
    ProposableWord -> Proposable {
        "account" => Proposable::Account, "Whether the agent has a Matrix user of its own.";
        "forwards.listen" => Proposable::Listen, "Other addresses of the host than 127.0.0.1.";
        "room.alias" => Proposable::RoomAlias, "An address of the room other than the fractal's key.";
        "room.encrypted" => Proposable::RoomEncrypted, "End-to-end encryption of the room.";
        "room.history" => Proposable::RoomHistory, "Who can read what was said.";
        "room.in" => Proposable::RoomIn, "The space that the room is in.";
        "room.join_rule" => Proposable::RoomJoinRule, "Who can enter.";
        "room.avatar" => Proposable::RoomAvatar, "A picture: a path on this machine.";
        "workspace.files.keep" => Proposable::FileKeep, "Whether a file is kept as it is written.";
        "workspace.files.mode" => Proposable::FileMode, "Permission bits of a file.";
        "workspace.files.source" => Proposable::FileSource, "A file's text from a path on this machine.";
        "workspace.owner" => Proposable::WorkspaceOwner, "Numeric user and group of the files.";
        "workspace.path" => Proposable::WorkspacePath, "The directory of the workspace on this machine.";
    }
    /// What a token of the Fractal API may do.
    ScopeWord -> ApiScope {
        "read" => ApiScope::Read, "List fractals and proposals.";
        "propose" => ApiScope::Propose, "Propose a fractal, or the removal of one: operators answer in the admin room.";
        "apply" => ApiScope::Apply, "Make and remove fractals without anybody's answer. Stronger than `propose`.";
    }
    /// Who a file of a workspace belongs to after it was written.
    KeepWord -> KeepFile {
        "seed" => KeepFile::Seed, "Written once, then the agent's own.";
        "sync" => KeepFile::Sync, "Kept as it is written here.";
    }
}

/// A text, a number or a truth value, taken as it is written: a build argument.
#[derive(Clone, Debug)]
pub(crate) struct Word(pub Text);

impl FromNode for Word {
    const EXPECTED: &'static str = "a text or a number";

    fn from_node(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = word::<Self>(node, reader)?;
        Some(Self(Located { at: node.at, value: text.into() }))
    }
}

impl JsonSchema for Word {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Word".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

/// Where a secret is found. What stands in the place of a source is masked in all that is shown.
#[derive(Clone, Debug)]
pub(crate) struct Secret(pub Located<SecretSource>);

section! {
    /// Where a secret is found: one of the three.
    SecretPlace {
        /// A file, relative to the manifest; the newline at its end does not count.
        file: Option<Text>,
        /// An environment variable.
        env: Option<Text>,
        /// A program and its arguments; what it prints is the secret.
        command: Vec<Text>,
    }
}

const SECRET_HINT: &str = "write `{ file: path }`, `{ env: NAME }` or `{ command: [program, argument] }`";

impl FromNode for Secret {
    const EXPECTED: &'static str = "the source of a secret";

    fn from_node(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let place = match &node.content {
            Content::Map(entries) => {
                // Whatever stands under a key that does not name a source may be the secret.
                let stray =
                    entries.iter().filter(|(key, _)| !SecretPlace::KEYS.contains(&key.value.as_str()));
                let masked = stray.map(|(_, value)| (value.at.file, value.bytes.clone()));
                reader.findings.masked.extend(masked);
                let damaged = reader.findings.errors();
                let place = SecretPlace::from_node(node, reader)?;
                if reader.findings.errors() > damaged {
                    return None;
                }
                place
            }
            Content::Null => {
                reader.mismatch::<Self>(node);
                return None;
            }
            Content::Scalar { .. } | Content::List(_) => {
                reader.findings.masked.push((node.at.file, node.bytes.clone()));
                let hint = format!("{SECRET_HINT}, and change this one: it has been written down");
                reader.wrong("manifest.literal-secret", node.at, "holds a secret itself", hint);
                return None;
            }
        };
        let command: Vec<String> = place.command.into_iter().map(|word| word.value).collect();
        let source = match (place.file, place.env, command.is_empty()) {
            (Some(file), None, true) => SecretSource::File(file.value.into()),
            (None, Some(env), true) => SecretSource::Env(env.value),
            (None, None, false) => SecretSource::Command(command),
            _ => {
                reader.wrong("manifest.secret-source", node.at, "needs exactly one source", SECRET_HINT);
                return None;
            }
        };
        Some(Self(Located { at: place.at, value: source }))
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = SecretPlace::json_schema(generator);
        schema.insert("minProperties".into(), 1.into());
        schema.insert("maxProperties".into(), 1.into());
        schema
    }
}

/// `provider/model`, or a primary model and fallbacks.
#[derive(Clone, Debug)]
pub(crate) struct ModelChoice {
    /// The model that is asked first.
    pub primary: Text,
    /// Tried in order.
    pub fallbacks: Vec<Text>,
}

impl FromNode for ModelChoice {
    const EXPECTED: &'static str = "a text `provider/model`, or a mapping with `primary` and `fallbacks`";

    fn from_node(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.content {
            Content::Map(_) => Models::from_node(node, reader)
                .map(|models| Self { primary: models.primary, fallbacks: models.fallbacks }),
            Content::Scalar { text, .. } => {
                Some(Self { primary: Located { at: node.at, value: text.clone() }, fallbacks: Vec::new() })
            }
            _ => {
                reader.mismatch::<Self>(node);
                None
            }
        }
    }
}

impl JsonSchema for ModelChoice {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ModelChoice".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let long = generator.subschema_for::<Models>();
        json_schema!({ "anyOf": [{ "type": "string" }, long] })
    }
}

/// `9000`, or a mapping when the two ports differ.
#[derive(Clone, Debug)]
pub(crate) struct OwnForward(pub LongForward);

impl FromNode for OwnForward {
    const EXPECTED: &'static str = "a port number, or a mapping with `host_port` and `port`";

    fn from_node(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.content {
            Content::Map(_) => LongForward::from_node(node, reader).map(Self),
            Content::Scalar { text, plain: true } if matches!(plain(text), Plain::Int(_)) => {
                let host_port = Located::<u16>::from_node(node, reader)?;
                Some(Self(LongForward { at: node.at, host_port, port: None, listen: None }))
            }
            _ => {
                reader.mismatch::<Self>(node);
                None
            }
        }
    }
}

impl JsonSchema for OwnForward {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OwnForward".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let short = generator.subschema_for::<u16>();
        let long = generator.subschema_for::<LongForward>();
        json_schema!({ "anyOf": [short, long] })
    }
}

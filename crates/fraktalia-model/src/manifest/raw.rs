//! What a person writes: the whole vocabulary, with the words that editors show.

mod words;

use super::finding::Located;
use super::read::{Entries, Passed, section};

pub(crate) use self::words::{
    AccountWord, DialectWord, FractalOnRemove, HelperWord, HistoryWord, JoinRuleWord, KeepWord,
    MembersPolicyWord, ModelChoice, OwnForward, ProposableWord, RoomOnRemove, SandboxModeWord, ScopeWord,
    Secret, UserOnRemove, Word, WorkspaceAccessWord, WorkspaceOnRemove,
};

/// A text and its place.
pub(crate) type Text = Located<String>;

section! {
    /// What is wanted of a chat with agents: people, rooms, agents, and where they run.
    Root {
        /// Version of this vocabulary: 1.
        version: Option<Located<u32>>,
        /// Scope of ownership: part of every marker that is left in a live system. Two manifests that manage the
        /// same systems need different realms.
        realm: Option<Text>,
        /// Further files, relative to the manifest; `*`, `?` and `**` are understood. Each adds to the mappings and
        /// lists; a key given twice is an error.
        include: Vec<Text>,
        /// The Matrix homeserver.
        matrix: Option<Matrix>,
        /// The OpenClaw gateway.
        openclaw: Option<OpenClaw>,
        /// Docker hosts by name. `local` is always there.
        hosts: Entries<Host>,
        /// Matrix users of the homeserver, by the part of their id before the colon.
        users: Entries<User>,
        /// Rooms without a fractal of their own, and spaces, by key.
        rooms: Entries<Room>,
        /// Docker networks for sandboxes, by name.
        networks: Entries<Network>,
        /// How agents' shells run, by key.
        sandboxes: Entries<Sandbox>,
        /// Agents with a room and a workspace of their own. The key is the agent's id.
        fractals: Entries<Fractal>,
        /// Bindings beyond a fractal's own room.
        bindings: Vec<Binding>,
        /// Host ports that lead into a fractal's sandbox.
        forwards: Vec<Forward>,
        /// The room where agents propose and operators approve.
        admin_room: Option<AdminRoom>,
        /// The Fractal API: programs propose and ask over HTTP. Needs `admin_room`, where operators answer.
        api: Option<Api>,
        /// Limits.
        policy: Option<Policy>,
    }
}

section! {
    /// The Matrix homeserver: Synapse, with its admin API.
    Matrix {
        /// Base URL of the homeserver: `http://127.0.0.1:8008`.
        homeserver: Text,
        /// The part of ids after the colon: `chat.home`.
        server_name: Text,
        /// Access token of a server admin. A source, never the token itself.
        admin_token: Secret,
        /// The Matrix user of the OpenClaw gateway: `@agent:chat.home`.
        bot: Text,
        /// Users who are joined where a room with an agent would have fewer than three members.
        padding: Vec<Text>,
    }
}

section! {
    /// The OpenClaw gateway.
    OpenClaw {
        /// Its configuration file: `~/.openclaw/openclaw.json`.
        config: Text,
        /// The OpenClaw program. With it, a candidate is validated before it is written.
        cli: Option<Text>,
        /// The running gateway. With it, a change counts only once the gateway runs on it.
        gateway: Option<Gateway>,
        /// The agent for every room without a binding. Its binding stays the last.
        catch_all: Option<Text>,
        /// The directory of workspaces: a fractal's is below, under its key. By default `workspaces` beside the
        /// configuration file.
        workspaces: Option<Text>,
        /// The shape of the agent table, for a configuration that has none yet.
        dialect: Option<DialectWord>,
    }
}

section! {
    /// The WebSocket of the running gateway.
    Gateway {
        /// `ws://` or `wss://`, with the port.
        url: Text,
        /// The gateway's token. A source, never the token itself.
        token: Option<Secret>,
    }
}

section! {
    /// A Docker engine.
    Host {
        /// `unix:///path`, `tcp://address:port` or `ssh://name`.
        docker: Text,
        /// Client certificates for a `tcp://` engine.
        tls: Option<Tls>,
        /// Where the workspaces of agents on this host are.
        workspaces: Option<HostWorkspaces>,
        /// Who holds the rules of its networks and its forwarded ports. Default: `container`.
        helper: Option<HelperWord>,
    }
}

section! {
    /// Certificates as PEM files, relative to the manifest.
    Tls {
        /// The authority that signed the engine's certificate.
        ca: Text,
        /// Our certificate.
        cert: Text,
        /// Its key.
        key: Text,
    }
}

section! {
    /// The same directory as two machines see it.
    HostWorkspaces {
        /// As the gateway sees it.
        here: Text,
        /// As the Docker engine sees it.
        there: Text,
    }
}

section! {
    /// A local Matrix user.
    User {
        /// What others see.
        display_name: Option<Text>,
        /// Used once, when the user is created. A source, never the password itself.
        password: Option<Secret>,
        /// Whether it is a bot. Default: no.
        bot: Option<bool>,
        /// What happens when it leaves the manifest. Default: `keep`.
        on_remove: Option<UserOnRemove>,
    }
}

section! {
    /// A room or a space. What is left out is not managed.
    Room {
        /// A space instead of a room. Default: no.
        space: Option<Located<bool>>,
        /// What people see. A fractal's room is called as the fractal is.
        name: Option<Text>,
        /// What it is about. A fractal's room has the fractal's purpose.
        topic: Option<Text>,
        /// The id of a room that is there already: `!...`. It is taken as it is, whoever made it, and never made anew;
        /// its alias is then managed only where `alias` says so.
        id: Option<Text>,
        /// The realm that a room with an `id` is taken over from, where it carries another realm's marker.
        from_realm: Option<Text>,
        /// The part of its address before the colon. Default: the key.
        alias: Option<Text>,
        /// A picture, relative to the manifest.
        avatar: Option<Text>,
        /// Who is in it: keys of `users`, or full ids.
        members: Option<Located<Vec<Text>>>,
        /// What happens to people in it whom the manifest does not name. Default: `at-least`.
        members_policy: Option<MembersPolicyWord>,
        /// Who can enter.
        join_rule: Option<JoinRuleWord>,
        /// Who can read what was said.
        history: Option<HistoryWord>,
        /// End-to-end encryption. It can be switched on, never off.
        encrypted: Option<bool>,
        /// Power levels by user; those of others are left as they are.
        power_levels: Entries<i64>,
        /// The space it is in: a key of `rooms` with `space: true`.
        r#in: Option<Text>,
        /// What happens when it leaves the manifest. Default: `retire`.
        on_remove: Option<RoomOnRemove>,
    }
}

section! {
    /// A Docker network for sandboxes.
    Network {
        /// The key of its host. Default: `local`.
        host: Option<Text>,
        /// One network of its own for each fractal whose sandbox names this one, called `KEY-FRACTAL`. Default: no,
        /// they share one, and reach each other in it.
        each_fractal: Option<bool>,
        /// IPv4 subnet: `172.30.77.0/24`. Default: one of 32 addresses in 10.208.0.0/12 that follows from the
        /// network's name.
        subnet: Option<Text>,
        /// Whether containers reach the internet. Default: yes.
        internet: Option<bool>,
        /// What else they reach, `address:port/protocol`. Private addresses are closed but for these.
        allow: Vec<Text>,
        /// Resolvers of the containers.
        dns: Vec<Text>,
    }
}

section! {
    /// How an agent's shell runs.
    Sandbox {
        /// The key of its host. Default: `local`.
        host: Option<Text>,
        /// The image of the container.
        image: Option<Image>,
        /// A key of `networks`; without one the container has no network.
        network: Option<Text>,
        /// Numeric user and group: `"996:1100"`.
        user: Option<Text>,
        /// Which sessions are sandboxed. Default: `all`.
        mode: Option<SandboxModeWord>,
        /// What the container may do with the workspace.
        workspace_access: Option<WorkspaceAccessWord>,
        /// Whether its root file system is read-only.
        read_only_root: Option<Located<bool>>,
        /// Memory limit as Docker writes it: `8g`.
        memory: Option<Text>,
        /// CPU limit: `4`, `0.5`.
        cpus: Option<Located<f64>>,
    }
}

section! {
    /// A sandbox image.
    Image {
        /// Name and tag: `agent-sandbox:latest`.
        tag: Text,
        /// How it is built; without this it has to be there.
        build: Option<Build>,
    }
}

section! {
    /// How an image is built.
    Build {
        /// Directory with a `Dockerfile`, relative to the manifest.
        context: Text,
        /// Build arguments.
        args: Entries<Word>,
    }
}

section! {
    /// An agent with a room and a workspace of its own.
    Fractal {
        /// Whether what is left out has a default. `false`: it is not managed, as is right for an agent that was there
        /// before. Default: `true`.
        defaults: Option<bool>,
        /// What people call it. Default: the key with a capital.
        name: Option<Text>,
        /// What it is for, one sentence.
        purpose: Option<Text>,
        /// How it behaves.
        persona: Option<Text>,
        /// Its model: `provider/model`, or a primary one and fallbacks. Default: the gateway's.
        model: Option<ModelChoice>,
        /// Who is in its room: keys of `users`, or full ids.
        members: Option<Located<Vec<Text>>>,
        /// Its room: any key of a room.
        room: Option<Room>,
        /// Who speaks for it in Matrix. Default: `shared`.
        account: Option<AccountWord>,
        /// Whether it answers without being mentioned. Default: yes.
        auto_reply: Option<bool>,
        /// A key of `sandboxes`.
        sandbox: Option<Text>,
        /// Its files.
        workspace: Option<Workspace>,
        /// Host ports that lead into its sandbox.
        forwards: Vec<OwnForward>,
        /// Any other key of its entry in `openclaw.json`, as OpenClaw has it.
        openclaw: Passed,
        /// What happens to its agent and bindings when it leaves the manifest. Default: `delete`.
        on_remove: Option<FractalOnRemove>,
    }
}

section! {
    /// A primary model and what is tried when it fails.
    Models {
        /// `provider/model`
        primary: Text,
        /// Tried in order.
        fallbacks: Vec<Text>,
    }
}

section! {
    /// A fractal's files.
    Workspace {
        /// Its directory. Default: the fractal's key, below `openclaw.workspaces` or the `here` of its host.
        path: Option<Text>,
        /// Numeric user and group of the files: `"996:1100"`. Default: who runs fraktalia.
        owner: Option<Text>,
        /// Files by their path in the workspace.
        files: Entries<WorkspaceFile>,
        /// What happens to the directory when the fractal leaves the manifest. Default: `keep`.
        on_remove: Option<WorkspaceOnRemove>,
    }
}

section! {
    /// A file of a workspace: its text, or where that stands.
    WorkspaceFile {
        /// A file with the text, relative to the manifest.
        source: Option<Text>,
        /// The text.
        content: Option<Text>,
        /// Whether it is written once or kept as written here. Default: `seed`.
        keep: Option<KeepWord>,
        /// Permission bits in octal: `"0664"`, the default.
        mode: Option<Word>,
    }
}

section! {
    /// Routes what is said in a room, or what a user writes directly, to an agent.
    Binding {
        /// A fractal, or any other agent of the gateway.
        agent: Text,
        /// A key of `rooms` or `fractals`.
        room: Option<Text>,
        /// A key of `users`, or a full id.
        direct: Option<Text>,
    }
}

section! {
    /// A host port that leads into a fractal's sandbox.
    Forward {
        /// The port on the host.
        host_port: Located<u16>,
        /// A key of `fractals`.
        fractal: Text,
        /// The port in the container. Default: the same.
        port: Option<Located<u16>>,
        /// The address to listen on. Default: `127.0.0.1`.
        listen: Option<Text>,
    }
}

section! {
    /// A host port that leads into the sandbox of the fractal that it stands at.
    LongForward {
        /// The port on the host.
        host_port: Located<u16>,
        /// The port in the container. Default: the same.
        port: Option<Located<u16>>,
        /// The address to listen on. Default: `127.0.0.1`.
        listen: Option<Text>,
    }
}

section! {
    /// The room where agents propose and operators approve.
    AdminRoom {
        /// A key of `rooms`, or the alias of another room.
        room: Text,
        /// Who `fraktalia-admin` is there: a user with `bot: true`, since its password is set. Default: `fraktalia`, who is made
        /// and joined.
        user: Option<Text>,
        /// Who may approve: keys of `users`, or full ids. People: an agent's own user is refused.
        operators: Vec<Text>,
        /// Who may propose: keys of `users`, or full ids.
        proposers: Vec<Text>,
        /// Directory where an approved proposal becomes a file, relative to the manifest and covered by `include`.
        write_to: Option<Text>,
        /// Whether that file is committed to git. Needs `write_to`. Default: no.
        commit: Option<Located<bool>>,
        /// Whether the commit is pushed to where its branch comes from. Needs `commit`. Default: no.
        push: Option<Located<bool>>,
        /// How long a proposal lives: `24h` (the default), `30m`, `7d`.
        expires: Option<Text>,
        /// What a proposal may ask for. What is left out may not be asked for.
        allow: Option<Allow>,
    }
}

section! {
    /// What a proposal may ask for.
    Allow {
        /// Models.
        models: Vec<Text>,
        /// Keys of `sandboxes`.
        sandboxes: Vec<Text>,
        /// Members: keys of `users`, or full ids.
        members: Vec<Text>,
        /// Forwards in one proposal. Default: none.
        forwards: Option<u32>,
        /// What else than `name`, `purpose`, `persona`, `model`, `members`, `auto_reply`, `sandbox`, `forwards`,
        /// `room.name`, `room.topic` and files with their text a proposal may write down.
        keys: Vec<ProposableWord>,
        /// Proposals in 24 hours of one proposer. Default: 3.
        per_day: Option<u32>,
        /// Proposals of one proposer that wait for an answer at once. Default: 2.
        open: Option<u32>,
        /// Messages in a minute that are read of one person; after more, none for ten minutes. Default: 6.
        per_minute: Option<u32>,
    }
}

section! {
    /// The Fractal API: programs propose and ask over HTTP.
    Api {
        /// Address and port. Default: `127.0.0.1:8787`, this machine only.
        listen: Option<Text>,
        /// Who may ask: tokens by a name that the room and the audit show.
        tokens: Entries<ApiToken>,
    }
}

section! {
    /// A token of the Fractal API.
    ApiToken {
        /// The token, at least 20 characters. A source, never the token itself.
        token: Secret,
        /// What it may do.
        scopes: Vec<ScopeWord>,
        /// Until when it counts: `2027-01-31`, the end of that day in UTC, or a time as RFC 3339 writes it.
        expires: Text,
        /// Requests in a minute. Default: 60.
        per_minute: Option<Located<u32>>,
    }
}

section! {
    /// Limits.
    Policy {
        /// More fractals than this are an error.
        max_fractals: Option<Located<u32>>,
        /// First and last port that may be forwarded. Default: `9000-9099`.
        forward_ports: Option<Text>,
        /// Resources that are never deleted by us, `system/kind/name`.
        protect: Vec<Text>,
        /// A plan that removes more needs `--allow-removals`.
        max_removals: Option<u32>,
    }
}

impl Network {
    /// Whether each fractal has one of these for itself.
    pub(crate) fn is_each_fractals(&self) -> bool {
        self.each_fractal.unwrap_or(false)
    }
}

impl Root {
    /// The key of the network that the sandbox of a fractal names.
    pub(crate) fn network_key(&self, fractal: &Fractal) -> Option<&str> {
        let sandbox = fractal.sandbox.as_ref()?;
        let sandbox = self.sandboxes.iter().find(|(key, _)| key.value == sandbox.value)?.1;
        Some(&sandbox.network.as_ref()?.value)
    }
}

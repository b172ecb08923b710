//! The manifest of the demonstration.

/// A fractal of the demonstration, and what Ana asks it.
pub struct Scene {
    /// Its key, which is its room's alias too.
    pub fractal: &'static str,
    /// What to say in its room.
    pub question: &'static str,
}

/// The conversations.
pub const SCENES: [Scene; 2] = [
    Scene { fractal: "gardener", question: "Hello! Who are you, and what are you here for?" },
    Scene { fractal: "cook", question: "What is in the larder, and what is your machine called?" },
];

/// What the stand-in model makes of a question with this word: a command in the agent's sandbox.
pub const TRIGGER: &str = "larder";
/// See [`TRIGGER`].
pub const COMMAND: &str = "cat larder.txt; hostname";

/// What is wanted: the part that a person would write.
pub const WISHES: &str = "\
users:
  ana: { display_name: Ana, password: { file: secrets/ana-password } }
  ben: { display_name: Ben }

networks:
  kitchen-net: {}                   # the internet, and nothing of this machine or its neighbours

sandboxes:
  kitchen:                          # each command runs in a container
    image: { tag: \"fraktalia-test/busybox:latest\" }
    network: kitchen-net
    mode: all
    workspace_access: rw

fractals:
  gardener:
    name: Gardener
    purpose: I look after the garden plan and say what to sow this week.
    members: [ana, ben]
    auto_reply: true
  cook:
    name: Cook
    purpose: I know what is in the larder and make a meal of it.
    members: [ana, ben]
    auto_reply: true
    sandbox: kitchen
    workspace:
      files:
        larder.txt: { content: \"Six eggs, a pumpkin, rosemary.\\n\" }
";

/// What is wanted where the admin room is shown.
pub const ADMIN_WISHES: &str = "\
include: [fractals/*.yaml]

users:
  ana: { display_name: Ana, password: { file: secrets/ana-password } }
  ben: { display_name: Ben }

rooms:
  admin: { encrypted: true, members: [ana, ben, \"@agent:chat.demo\"] }

fractals:
  gardener:
    name: Gardener
    purpose: I look after the garden plan and say what to sow this week.
    members: [ana, ben]
    auto_reply: true
    workspace:
      files:                        # teaches it how to propose well
        skills/propose-a-fractal/SKILL.md: { source: SKILL.md }

admin_room:
  room: admin
  operators: [ana]
  proposers: [\"@agent:chat.demo\"]
  write_to: fractals/
  commit: true
  allow: { members: [ana, ben] }
";

/// What makes the stand-in model propose.
pub const HERBS: &str = "herbs";
/// What it proposes.
pub const PROPOSAL: &str = "\
The people here ask about herbs again and again. Somebody should know them.
```yaml
fractals:
  herbalist:
    name: Herbalist
    purpose: I know which herbs grow where, and what they are good for.
    members: [ana, ben]
    auto_reply: true
```
";

/// Where the systems are.
pub struct Addresses<'a> {
    /// Base URL of the homeserver.
    pub homeserver: &'a str,
    /// Its name.
    pub server_name: &'a str,
    /// The gateway's Matrix user.
    pub bot: &'a str,
    /// The gateway's WebSocket.
    pub gateway: &'a str,
    /// The agent for every unbound room.
    pub catch_all: &'a str,
}

/// The whole file. Its paths are relative to the folder that it lies in.
pub fn text(at: &Addresses<'_>, wishes: &str) -> String {
    let Addresses { homeserver, server_name, bot, gateway, catch_all } = at;
    format!(
        "version: 1\n\
         realm: demo\n\
         \n\
         matrix:\n  \
           homeserver: {homeserver}\n  \
           server_name: {server_name}\n  \
           admin_token: {{ file: secrets/matrix-admin-token }}\n  \
           bot: \"{bot}\"\n\
         \n\
         openclaw:\n  \
           config: gateway/openclaw.json\n  \
           cli: gateway/openclaw\n  \
           gateway: {{ url: \"{gateway}\", token: {{ file: secrets/gateway-token }} }}\n  \
           catch_all: {catch_all}\n  \
           workspaces: gateway/workspaces\n\
         \n\
         {wishes}"
    )
}

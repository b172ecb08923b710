//! The manifest of the demonstration.

/// The fractals in it, which are the aliases of their rooms too.
pub const FRACTALS: [&str; 2] = ["gardener", "cook"];

/// What is wanted: the part that a person would write.
pub const WISHES: &str = "\
users:
  ana: { display_name: Ana, password: { file: secrets/ana-password } }
  ben: { display_name: Ben }

fractals:
  gardener:
    name: Gardener
    purpose: Looks after the garden plan and says what to sow this week.
    members: [ana, ben]
    auto_reply: true
  cook:
    name: Cook
    purpose: Knows what is in the larder and makes a meal of it.
    members: [ana, ben]
    auto_reply: true
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
pub fn text(at: &Addresses<'_>) -> String {
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
         {WISHES}"
    )
}

//! What people want, and what they made by hand.
//!
//! A world has `users` (display names by localpart), `rooms` (by alias), `agents` of the gateway, `bindings`,
//! `files` below the workspaces, and the engine's `networks`, `images` and `containers`; beyond those, whether a
//! `gateway` runs, which `dialect` its file has, and whether our state is `lost` between the two manifests.

use serde_json::{Map, Value as Json, json};

use super::rng::Rng;

const USERS: [&str; 4] = ["ana", "ben", "carl", "dora"];
const SPACES: [&str; 2] = ["house", "estate"];
const ROOMS: [&str; 3] = ["lounge", "lab", "attic"];
const FRACTALS: [&str; 3] = ["cook", "gardener", "smith"];
const NETWORKS: [&str; 2] = ["green", "red"];
const SANDBOXES: [&str; 2] = ["standard", "strict"];
const IMAGES: [&str; 2] = ["agents/plain:latest", "agents/tools:2"];
const TEXTS: [&str; 4] = ["For everybody", "Beds & seeds: all", "#1 \"quoted\"", "Grüße, 日本"];
const FILES: [&str; 3] = ["AGENTS.md", "USER.md", "notes/plan.md"];
/// An agent that somebody else made.
const BY_HAND: &str = "felix";

/// Fields, each with what it is given with a chance.
struct Fields<'a>(Map<String, Json>, &'a mut Rng);

impl<'a> Fields<'a> {
    fn new(rng: &'a mut Rng) -> Self {
        Self(Map::new(), rng)
    }

    fn maybe(mut self, chance: usize, key: &str, draw: impl FnOnce(&mut Rng) -> Json) -> Self {
        if self.1.percent(chance) {
            let value = draw(self.1);
            if !value.is_null() {
                self.0.insert(key.into(), value);
            }
        }
        self
    }

    fn done(self) -> Json {
        Json::Object(self.0)
    }
}

fn one_of(all: &'static [&'static str]) -> impl FnOnce(&mut Rng) -> Json {
    move |rng| json!(rng.pick(all))
}

fn always<T: Into<Json>>(value: T) -> impl FnOnce(&mut Rng) -> Json {
    move |_| value.into()
}

fn entries(
    rng: &mut Rng,
    keys: &[&str],
    chance: usize,
    mut draw: impl FnMut(&mut Rng, &str) -> Json,
) -> Json {
    let keys = rng.some(keys, chance);
    Json::Object(keys.into_iter().map(|key| (key.to_owned(), draw(rng, key))).collect())
}

/// A manifest, without the sections that say where the systems are. It need not make sense.
pub(super) fn manifest(rng: &mut Rng) -> Json {
    let networks = entries(rng, &NETWORKS, 50, network);
    let sandboxes = entries(rng, &SANDBOXES, 60, sandbox);
    let mut rooms = entries(rng, &SPACES, 40, |rng, key| room(rng, key, true));
    let more = entries(rng, &ROOMS, 45, |rng, key| room(rng, key, false));
    if let (Some(rooms), Json::Object(more)) = (rooms.as_object_mut(), more) {
        rooms.extend(more);
    }
    json!({
        "users": entries(rng, &USERS, 80, |rng, _| user(rng)),
        "rooms": rooms,
        "networks": networks,
        "sandboxes": sandboxes,
        "fractals": entries(rng, &FRACTALS, 50, fractal),
        "bindings": bindings(rng),
        "policy": Fields::new(rng)
            .maybe(15, "protect", |rng| json!([format!("matrix/room/{}", rng.pick(&ROOMS))]))
            .done(),
    })
}

fn user(rng: &mut Rng) -> Json {
    Fields::new(rng)
        .maybe(50, "display_name", one_of(&["Ana", "Ben B.", "Çelik"]))
        .maybe(15, "bot", always(true))
        .maybe(20, "password", always(json!({ "file": "secrets/password" })))
        .maybe(6, "on_remove", always("deactivate"))
        .done()
}

fn members(rng: &mut Rng) -> Json {
    let mut members = rng.some(&USERS, 50);
    if rng.percent(8) {
        members.push("@far:elsewhere.org");
    }
    json!(members)
}

fn room_fields<'a>(rng: &'a mut Rng, key: &str) -> Fields<'a> {
    let space = SPACES[usize::from(key == "house")];
    // A space is in one that comes before it, so that no two are in each other.
    let fits = key != "house";
    Fields::new(rng)
        .maybe(60, "topic", one_of(&TEXTS))
        .maybe(15, "alias", always(format!("the-{key}")))
        .maybe(15, "members_policy", always("exact"))
        .maybe(30, "join_rule", one_of(&["public", "invite", "knock"]))
        .maybe(30, "history", one_of(&["shared", "invited", "joined", "world_readable"]))
        .maybe(8, "encrypted", always(true))
        .maybe(25, "power_levels", |rng| json!({ *rng.pick(&USERS): *rng.pick(&[10, 50, 100]) }))
        .maybe(if fits { 40 } else { 0 }, "in", |_| json!(if key == "estate" { "house" } else { space }))
        .maybe(15, "on_remove", one_of(&["keep", "keep", "purge"]))
}

fn room(rng: &mut Rng, key: &str, space: bool) -> Json {
    room_fields(rng, key)
        .maybe(if space { 100 } else { 0 }, "space", always(true))
        .maybe(60, "name", one_of(&TEXTS))
        .maybe(70, "members", members)
        .done()
}

fn network(rng: &mut Rng, key: &str) -> Json {
    let third = 20 + NETWORKS.iter().position(|name| *name == key).unwrap_or_default();
    Fields::new(rng)
        .maybe(30, "each_fractal", always(true))
        .maybe(50, "internet", |rng| json!(rng.percent(50)))
        .maybe(40, "allow", |rng| json!(rng.some(&["192.168.1.40:22/tcp", "192.168.1.1:53/udp"], 60)))
        .maybe(30, "dns", always(json!(["9.9.9.9"])))
        .maybe(40, "subnet", |rng| json!(format!("10.239.{third}.{}/27", rng.below(4) * 32)))
        .done()
}

fn sandbox(rng: &mut Rng, _: &str) -> Json {
    Fields::new(rng)
        .maybe(90, "image", |rng| json!({ "tag": rng.pick(&IMAGES) }))
        .maybe(70, "network", one_of(&NETWORKS))
        .maybe(60, "user", always("996:1100"))
        .maybe(30, "mode", one_of(&["all", "non-main", "off"]))
        .maybe(50, "workspace_access", one_of(&["none", "ro", "rw"]))
        .maybe(50, "read_only_root", always(true))
        .maybe(40, "memory", one_of(&["256m", "1g"]))
        .maybe(40, "cpus", |rng| json!(*rng.pick(&[0.5, 1.0, 2.0])))
        .done()
}

fn fractal(rng: &mut Rng, key: &str) -> Json {
    let number = FRACTALS.iter().position(|name| *name == key).unwrap_or_default();
    Fields::new(rng)
        .maybe(40, "name", one_of(&TEXTS))
        .maybe(70, "purpose", one_of(&["Cooks.", "Looks after the garden: beds, seeds."]))
        .maybe(40, "persona", always("You are patient.\nYou ask before you dig.\n"))
        .maybe(50, "model", |rng| {
            if rng.percent(50) {
                return json!("anthropic/claude-sonnet-4-5");
            }
            json!({ "primary": "a/b", "fallbacks": rng.some(&["c/d", "e/f"], 50) })
        })
        .maybe(70, "members", members)
        .maybe(50, "room", |rng| room_fields(rng, key).done())
        .maybe(35, "account", always("own"))
        .maybe(20, "auto_reply", always(false))
        .maybe(60, "sandbox", one_of(&SANDBOXES))
        .maybe(50, "workspace", workspace)
        .maybe(40, "forwards", |rng| forwards(rng, 9000 + number * 10))
        .maybe(20, "openclaw", always(json!({ "tools": { "deny": ["browser"] } })))
        .maybe(10, "on_remove", always("keep"))
        .done()
}

fn workspace(rng: &mut Rng) -> Json {
    let file = |rng: &mut Rng, _: &str| {
        Fields::new(rng)
            .maybe(100, "content", one_of(&TEXTS))
            .maybe(50, "keep", one_of(&["seed", "sync"]))
            .maybe(30, "mode", one_of(&["0600", "0644"]))
            .done()
    };
    Fields::new(rng)
        .maybe(90, "files", |rng| entries(rng, &FILES, 50, file))
        .maybe(6, "on_remove", always("purge"))
        .done()
}

fn forwards(rng: &mut Rng, from: usize) -> Json {
    let long = json!({ "host_port": from + 1, "port": 3000 + rng.below(3) });
    json!(rng.some(&[json!(from), long], 60))
}

fn bindings(rng: &mut Rng) -> Json {
    let mut all = Vec::new();
    for room in rng.some(&ROOMS, 35) {
        all.push(json!({ "agent": agent(rng), "room": room }));
    }
    for user in rng.some(&USERS, 10) {
        all.push(json!({ "agent": agent(rng), "direct": user }));
    }
    json!(all)
}

fn agent(rng: &mut Rng) -> &'static str {
    if rng.percent(40) { BY_HAND } else { rng.pick::<&str>(&FRACTALS) }
}

/// What is there before: mostly what nobody asks us for, and now and then something under a name that is wanted.
pub(super) fn world(rng: &mut Rng) -> Json {
    let mut agents = json!({ BY_HAND: "/srv/felix" });
    if rng.percent(8) {
        agents[*rng.pick(&FRACTALS)] = json!("/srv/elsewhere");
    }
    json!({
        "users": entries(rng, &USERS, 25, |rng, _| json!(rng.pick(&["Ana", "Somebody"]))),
        "rooms": world_rooms(rng),
        "agents": agents,
        "bindings": rng.some(&["den", "shed"], 40),
        "files": world_files(rng),
        "networks": entries(rng, &["theirs", "green"], 25, |_, key| json!(if key == "green" { "172.25.9.0/24" } else { "172.25.8.0/24" })),
        "images": rng.some(&IMAGES, 95),
        "containers": rng.some(&["theirs-1", "theirs-2"], 30),
        "gateway": rng.percent(30),
        "dialect": rng.pick(&["list", "entries"]),
        "lost": rng.percent(10),
        "twice": rng.percent(50),
    })
}

fn world_rooms(rng: &mut Rng) -> Json {
    let mut rooms = entries(
        rng,
        &["den", "shed"],
        60,
        |rng, _| json!({ "topic": rng.pick(&TEXTS), "members": rng.some(&["zoe", "yan"], 60) }),
    );
    if rng.percent(12) {
        rooms[*rng.pick(&ROOMS)] = json!({ "topic": "under a wished alias" });
    }
    rooms
}

fn world_files(rng: &mut Rng) -> Json {
    let mut files = Map::new();
    for fractal in rng.some(&FRACTALS, 30) {
        files.insert(format!("{fractal}/MEMORY.md"), json!("What the agent wrote.\n"));
        if rng.percent(30) {
            files.insert(format!("{fractal}/{}", rng.pick(&FILES)), json!("From before.\n"));
        }
    }
    Json::Object(files)
}

//! A manifest of any number of fractals. The same number gives the same text.

use std::fmt::Write as _;

/// People who are in the rooms, three to each with the gateway's user.
const PEOPLE: [&str; 8] = ["ana", "ben", "carl", "dora", "emil", "fay", "gus", "hedi"];
/// What a fractal looks after, so that texts differ.
const CARES: [&str; 6] = ["garden plan", "larder", "workshop", "archive", "calendar", "accounts"];

/// Where the systems are.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// Scope of ownership.
    pub realm: String,
    /// Base URL of the homeserver.
    pub homeserver: String,
    /// Its name.
    pub server_name: String,
    /// The gateway's Matrix user.
    pub bot: String,
}

/// What the manifest asks for.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// How many fractals.
    pub fractals: usize,
    /// The image of one sandbox that all of them share, on one network; `None` without Docker.
    pub image: Option<String>,
    /// A tool that every agent is denied: another word, other agent entries.
    pub denied: &'static str,
    /// The policy for members: `at-least` or `exact`.
    pub members: &'static str,
}

impl Fleet {
    /// Without sandboxes.
    pub fn of(fractals: usize) -> Self {
        Self { fractals, image: None, denied: "browser", members: "at-least" }
    }
}

/// The key of a fractal, which is the local part of its room's alias and the name of its workspace too.
pub fn key(number: usize) -> String {
    format!("f{number:05}")
}

/// The local parts of those who are in a fractal's room besides the gateway's user.
pub fn members(number: usize) -> [&'static str; 2] {
    let first = number % PEOPLE.len();
    let second = (first + 1 + (number / PEOPLE.len()) % (PEOPLE.len() - 1)) % PEOPLE.len();
    [PEOPLE[first], PEOPLE[second]]
}

/// What a fractal's room says of itself.
pub fn topic(number: usize) -> String {
    format!("Number {number}: all about the {}", CARES[number % CARES.len()])
}

/// The text of a file that is kept as it is written.
pub fn house_rules(number: usize) -> String {
    let [first, second] = members(number);
    format!("You work for {first} and {second}.\nNever promise what you have not checked.\n")
}

/// The whole file. Its paths are relative to the folder that it lies in.
pub fn text(at: &Addresses, fleet: &Fleet) -> String {
    let mut text = head(at, fleet);
    for name in PEOPLE {
        let _ = writeln!(text, "  {name}: {{ display_name: {}{} }}", name[..1].to_uppercase(), &name[1..]);
    }
    if let Some(image) = &fleet.image {
        let realm = &at.realm;
        let _ = write!(
            text,
            "networks:\n  {realm}: {{ each_fractal: false }}\nsandboxes:\n  shared:\n    image: {{ tag: \"{image}\" }}\n    \
             network: {realm}\n    mode: all\n    workspace_access: rw\n"
        );
    }
    text.push_str("fractals:\n");
    for number in 0..fleet.fractals {
        fractal(&mut text, fleet, number);
    }
    text
}

fn head(at: &Addresses, fleet: &Fleet) -> String {
    let Addresses { realm, homeserver, server_name, bot } = at;
    let most = fleet.fractals.max(1);
    format!(
        "version: 1\nrealm: {realm}\n\
         matrix:\n  homeserver: {homeserver}\n  server_name: {server_name}\n  \
         admin_token: {{ file: secrets/admin }}\n  bot: \"{bot}\"\n\
         openclaw:\n  config: gateway/openclaw.json\n  catch_all: felix\n  workspaces: workspaces\n\
         policy: {{ max_fractals: {most}, max_removals: {} }}\nusers:\n",
        // Enough for all of it, when the sandboxes of a whole fleet are taken back.
        most * 10,
    )
}

fn fractal(text: &mut String, fleet: &Fleet, number: usize) {
    let [first, second] = members(number);
    let (key, topic, denied, policy) = (key(number), topic(number), fleet.denied, fleet.members);
    let cares = CARES[number % CARES.len()];
    let rules = house_rules(number).replace('\n', "\\n");
    let _ = write!(
        text,
        "  {key}:\n    name: Fractal {number}\n    purpose: Looks after the {cares}.\n    \
         members: [{first}, {second}]\n    room: {{ topic: \"{topic}\", members_policy: {policy} }}\n    \
         openclaw: {{ tools: {{ deny: [{denied}] }} }}\n    \
         workspace:\n      files:\n        \
         HOUSE.md: {{ content: \"{rules}\", keep: sync }}\n        \
         USER.md: {{ content: \"{first} and {second}.\\n\" }}\n"
    );
    if fleet.image.is_some() {
        text.push_str("    sandbox: shared\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn addresses() -> Addresses {
        Addresses {
            realm: "bench".to_owned(),
            homeserver: "http://127.0.0.1:1".to_owned(),
            server_name: "chat.bench".to_owned(),
            bot: "@agent:chat.bench".to_owned(),
        }
    }

    #[test]
    fn the_same_number_gives_the_same_text_and_another_wish_another_one() {
        let text = |fleet| super::text(&addresses(), &fleet);
        assert_eq!(text(Fleet::of(30)), text(Fleet::of(30)));
        assert_ne!(text(Fleet::of(30)), text(Fleet { denied: "canvas", ..Fleet::of(30) }));
    }

    #[test]
    fn two_different_people_are_in_each_room() {
        assert!((0..1000).map(members).all(|[first, second]| first != second));
    }

    #[test]
    fn the_program_accepts_it_with_sandboxes_and_without() {
        let program = fraktalia_testkit::real::fraktalia_bin()
            .or_else(|_| crate::test::build_program())
            .expect("the program is built");
        for image in [None, Some("busybox:latest".to_owned())] {
            let folder = tempfile::tempdir().expect("a folder");
            let fleet = Fleet { image, ..Fleet::of(120) };
            let path = folder.path().join("fraktalia.yaml");
            std::fs::write(&path, text(&addresses(), &fleet)).expect("written");
            std::fs::create_dir(folder.path().join("secrets")).expect("made");
            std::fs::write(folder.path().join("secrets/admin"), "a token").expect("written");
            let output =
                Command::new(&program).arg("check").current_dir(folder.path()).output().expect("starts");
            let (out, err) =
                (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(output.status.success(), "{out}\n{err}");
        }
    }
}

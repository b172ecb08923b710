//! The text of a new manifest, and whether it is a good one.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use fraktalia_engine::load::DiskFiles;
use fraktalia_model::{FileError, Files, Listed, Loaded, SecretSource};

/// What goes into it. What is not known is left for a person to fill in.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The scope of ownership.
    pub realm: String,
    /// Base URL of the homeserver.
    pub homeserver: Option<String>,
    /// The part of ids after the colon.
    pub server_name: Option<String>,
    /// Where the admin token is.
    pub admin_token: SecretSource,
    /// The gateway's user.
    pub bot: Option<String>,
    /// The gateway's file.
    pub config: Option<String>,
    /// Whether the `openclaw` program is there.
    pub cli: bool,
    /// Where the gateway is, the variable that has its token, and whether both are there now.
    pub gateway: Option<(String, String, bool)>,
    /// The agent for all other rooms.
    pub catch_all: Option<String>,
    /// Who the gateway runs as, where there is an engine for sandboxes: `996:1100`.
    pub user: Option<String>,
}

/// The column in which comments stand.
const COMMENTS: usize = 46;

impl Draft {
    /// Whether the homeserver is known well enough to be written down.
    fn has_matrix(&self) -> bool {
        self.homeserver.is_some() && self.server_name.is_some() && self.bot.is_some()
    }

    /// The manifest.
    pub fn text(&self) -> String {
        let mut text = String::from(
            "# yaml-language-server: $schema=./manifest.schema.json\n#\n\
             # What fraktalia keeps as it stands here: `fraktalia plan` shows what would change, `fraktalia apply` does it.\n\
             # A key that is left out is not managed. `fraktalia check` says what is wrong, with the place.\n\n",
        );
        line(&mut text, "", "version: 1", "of this vocabulary");
        line(
            &mut text,
            "",
            &format!("realm: {}", scalar(&self.realm)),
            "part of every mark that is left in a live system",
        );
        self.matrix(&mut text);
        self.openclaw(&mut text);
        text.push_str(EXAMPLE);
        self.sandbox(&mut text);
        text.push_str(POLICY);
        text
    }

    fn matrix(&self, text: &mut String) {
        // A section that is not complete would keep everything else from being used.
        let off = if self.has_matrix() { "" } else { "# " };
        let known = |value: &Option<String>, else_: &str| scalar(value.as_deref().unwrap_or(else_));
        text.push('\n');
        if !off.is_empty() {
            text.push_str("# Fill in what was not found, and take the `# ` away:\n");
        }
        line(text, off, "matrix:", "");
        let homeserver = known(&self.homeserver, "http://127.0.0.1:8008");
        line(text, off, &format!("  homeserver: {homeserver}"), "base URL of Synapse");
        let server = known(&self.server_name, "chat.home");
        line(text, off, &format!("  server_name: {server}"), "the part of ids after the colon");
        line(text, off, "  # Of a Synapse administrator. Where it is, and never the token itself:", "");
        line(text, off, &format!("  admin_token: {}", source(&self.admin_token)), "");
        line(
            text,
            off,
            &format!("  bot: {}", known(&self.bot, "@agent:chat.home")),
            "whom the gateway is logged in as",
        );
        let padding =
            format!("  # padding: [\"@warden:{}\"]", self.server_name.as_deref().unwrap_or("chat.home"));
        line(text, off, &padding, "joins rooms of fewer than three");
    }

    fn openclaw(&self, text: &mut String) {
        let off = if self.config.is_some() { "" } else { "# " };
        let config = scalar(self.config.as_deref().unwrap_or("~/.openclaw/openclaw.json"));
        text.push('\n');
        line(text, off, "openclaw:", "");
        line(text, off, &format!("  config: {config}"), "edited in place; what is not ours stays");
        let cli = if self.cli { "  cli: openclaw" } else { "  # cli: openclaw" };
        line(text, off, cli, "validates a change before it is written");
        let usual = ("ws://127.0.0.1:18789".to_owned(), "OPENCLAW_GATEWAY_TOKEN".to_owned(), false);
        let (url, variable, usable) = self.gateway.as_ref().unwrap_or(&usual);
        let mark = if *usable { "" } else { "# " };
        line(text, off, &format!("  {mark}gateway:"), "confirms that it runs on the change");
        line(text, off, &format!("  {mark}  url: \"{url}\""), "");
        line(text, off, &format!("  {mark}  token: {{ env: {variable} }}"), "");
        match &self.catch_all {
            Some(agent) => {
                line(
                    text,
                    off,
                    &format!("  catch_all: {}", scalar(agent)),
                    "answers wherever nobody else does",
                );
            }
            None => line(text, off, "  # catch_all: felix", "the agent for all other rooms"),
        }
    }

    fn sandbox(&self, text: &mut String) {
        let Some(user) = &self.user else { return };
        let _ = write!(
            text,
            "\n# Where agents' commands run: a container on a network that is closed but for the internet. Name it at the\n\
             # fractal: `sandbox: standard`.\n#\n\
             # networks:\n#   sandbox-net: {{ each_fractal: true }}\n\
             # sandboxes:\n#   standard:\n#     image: {{ tag: \"agent-sandbox:latest\" }}\n#     network: sandbox-net\n\
             #     user: \"{user}\"          # who owns openclaw.json: what agents write stays readable to the gateway\n\
             #     workspace_access: rw\n"
        );
    }

    /// What there is to say about it, read as the file that it will be.
    pub fn check(&self, path: &Path) -> Loaded {
        let files = Drafted { path: path.into(), text: self.text(), disk: DiskFiles::new() };
        fraktalia_model::manifest::load(path, &files)
    }
}

const EXAMPLE: &str = "
# A fractal: an agent with a room, a workspace and a persona of its own. Take the `# ` away, and `fraktalia plan` shows
# what that would make.
#
# users:                                       # local users; one that is not there yet is made
#   ana: { display_name: Ana }
#   ben: {}
#
# fractals:
#   gardener:
#     purpose: Looks after the garden plan.
#     persona: |
#       You are patient and practical. You ask before you dig.
#     members: [ana, ben]                      # of its room, #gardener; the bot is added
";

const POLICY: &str = "
policy:
  max_fractals: 25
  forward_ports: 9000-9099
  max_removals: 3                              # a plan that removes more needs --allow-removals
";

/// A line with its comment.
fn line(text: &mut String, off: &str, content: &str, comment: &str) {
    let content = format!("{off}{content}");
    if comment.is_empty() {
        let _ = writeln!(text, "{content}");
    } else {
        let _ = writeln!(text, "{content:<COMMENTS$} # {comment}");
    }
}

/// A text as YAML reads it back, without quotes where none are needed.
fn scalar(text: &str) -> String {
    let first = |c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '~');
    let rest = |c: char| c.is_ascii_alphanumeric() || "/._-:".contains(c);
    let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "~"];
    let plain = text.starts_with(first)
        && text.chars().skip(1).all(rest)
        && !text.ends_with(':')
        && !words.contains(&&*text.to_ascii_lowercase());
    // A JSON string is a YAML one in double quotes.
    if plain { text.into() } else { serde_json::Value::from(text).to_string() }
}

fn source(source: &SecretSource) -> String {
    match source {
        SecretSource::File(path) => format!("{{ file: {} }}", flow(&path.to_string_lossy())),
        SecretSource::Env(name) => format!("{{ env: {} }}", flow(name)),
        SecretSource::Command(words) => {
            format!("{{ command: [{}] }}", words.iter().map(|word| flow(word)).collect::<Vec<_>>().join(", "))
        }
    }
}

/// Inside of braces: there a colon needs quotes.
fn flow(text: &str) -> String {
    if text.contains(':') { serde_json::Value::from(text).to_string() } else { scalar(text) }
}

/// The disk, with one file more.
struct Drafted {
    path: PathBuf,
    text: String,
    disk: DiskFiles,
}

impl Files for Drafted {
    fn absolute(&self, path: &Path) -> Result<PathBuf, FileError> {
        self.disk.absolute(path)
    }

    fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
        let drafted = self.disk.absolute(&self.path)? == self.disk.absolute(path)?;
        if drafted { Ok(self.text.clone().into_bytes()) } else { self.disk.read(path, limit) }
    }

    fn list(&self, dir: &Path) -> Result<Vec<Listed>, FileError> {
        self.disk.list(dir)
    }

    fn hash_context(&self, dir: &Path) -> Result<String, FileError> {
        self.disk.hash_context(dir)
    }

    fn home(&self) -> Option<PathBuf> {
        self.disk.home()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing() -> Draft {
        Draft {
            realm: "home".into(),
            homeserver: None,
            server_name: None,
            admin_token: SecretSource::File("secrets/matrix-admin-token".into()),
            bot: None,
            config: None,
            cli: false,
            gateway: None,
            catch_all: None,
            user: None,
        }
    }

    fn all() -> Draft {
        Draft {
            homeserver: Some("http://127.0.0.1:8008".into()),
            server_name: Some("chat.home".into()),
            bot: Some("@agent:chat.home".into()),
            config: Some("~/.openclaw/openclaw.json".into()),
            cli: true,
            gateway: Some(("ws://127.0.0.1:18789".into(), "OPENCLAW_GATEWAY_TOKEN".into(), true)),
            catch_all: Some("felix".into()),
            user: Some("996:1100".into()),
            ..nothing()
        }
    }

    /// The text with what is commented out taken in, prose left out.
    fn taken_in(text: &str) -> String {
        let prose = |line: &str| {
            let rest = line.trim_start_matches("# ");
            let schema = rest.contains("$schema");
            line.starts_with('#')
                && (schema
                    || rest.starts_with(char::is_uppercase)
                    || !rest.contains(':')
                    || rest.contains('`'))
        };
        let lines = text.lines().filter(|line| !prose(line) || line.contains("You are"));
        let lines = lines.map(|line| line.strip_prefix("# ").or(line.strip_prefix('#')).unwrap_or(line));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn what_was_found_stands_in_it_and_what_was_not_is_left_to_fill_in() {
        insta::assert_snapshot!("found", all().text());
        insta::assert_snapshot!("not_found", nothing().text());
    }

    #[test]
    fn both_pass_the_check_and_so_does_the_example_in_them() {
        for draft in [all(), nothing()] {
            let loaded = draft.check(Path::new("/srv/fraktalia.yaml"));
            assert!(loaded.manifest.is_some(), "{:?}\n{}", loaded.notes, draft.text());
            assert!(loaded.notes.is_empty(), "{:?}", loaded.notes);
        }
        let text = taken_in(&all().text());
        let files =
            Drafted { path: "/srv/fraktalia.yaml".into(), text: text.clone(), disk: DiskFiles::new() };
        let loaded = fraktalia_model::manifest::load(Path::new("/srv/fraktalia.yaml"), &files);
        let manifest = loaded.manifest.unwrap_or_else(|| panic!("{:?}\n{text}", loaded.notes));
        assert!(
            manifest.fractals.contains_key("gardener") && manifest.sandboxes.contains_key("standard"),
            "{text}"
        );
    }

    #[test]
    fn hostile_words_stay_one_value() {
        for text in ["a: b", "x\ny: 1", "\"", "true", "123", "@a:b", "${HOME}", "- x", "a #b", "é"] {
            let yaml = format!("realm: {}\n", scalar(text));
            assert_eq!(yaml.lines().count(), 1, "{yaml}");
            let draft = Draft { server_name: Some(text.into()), ..all() };
            let loaded = draft.check(Path::new("/srv/fraktalia.yaml"));
            assert!(
                loaded.notes.iter().all(|note| note.code != "manifest.yaml"),
                "{text}: {:?}",
                loaded.notes
            );
        }
    }
}

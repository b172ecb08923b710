//! An admin room with people and agents in it, and the program that sits there.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use fraktalia_room::testing::{Device, Message};
use fraktalia_testkit::git::Repository;
use fraktalia_tests::{PASSWORD, SERVER, Stage, With};
use tokio::process::{Child, Command};

/// The agent whose user proposes.
pub const AGENT: &str = "@agent:chat.stage";

/// What every scene wishes.
const WISHES: &str = "\
include: [fractals/*.yaml]
users:
  ana: { display_name: Ana, password: { file: secrets/password } }
  ben: { display_name: Ben, password: { file: secrets/password } }
  eve: { display_name: Eve, password: { file: secrets/password } }
rooms:
  admin: { encrypted: true, history: shared, members: [ana, ben, eve, '@agent:chat.stage'] }
admin_room:
  room: admin
  operators: [ana, ben]
  proposers: ['@agent:chat.stage']
  write_to: fractals/
  commit: true
  push: true
";

/// What a proposal may ask for, unless a test says otherwise.
pub const ALLOW: &str = "  allow: { members: [ana, ben], per_day: 9, open: 4, per_minute: 60 }\n";

/// All of it.
pub struct Scene {
    pub stage: Stage,
    pub tree: Repository,
    admin: Option<Child>,
    starts: usize,
}

impl Scene {
    /// The realm is applied, and nobody sits in the room yet. `None` where real systems are not wanted.
    pub async fn set(with: With, more: &str) -> Option<Self> {
        let stage = Stage::set(with).await?;
        let tree = Repository::new(stage.dir());
        stage.manifest(&format!("{WISHES}{more}"));
        // The manifest is in git, and what belongs to the stage is not.
        let text = stage.manifest_for_anywhere(&format!("{WISHES}{more}"));
        tree.write("fraktalia.yaml", &text);
        tree.write("fractals/README.md", "What was approved is written here.\n");
        tree.write(
            "SKILL.md",
            include_str!("../../../../examples/admin-room/skills/propose-a-fractal/SKILL.md"),
        );
        tree.push("The realm");
        tree.git(&["branch", "--quiet", "--set-upstream-to=origin/main"]);
        let scene = Self { stage, tree, admin: None, starts: 0 };
        let _ = scene.fraktalia(&["apply", "--yes"]).await.expect(0);
        Some(scene)
    }

    /// The same, with the program in the room.
    pub async fn open(with: With, more: &str) -> Option<Self> {
        let mut scene = Self::set(with, more).await?;
        scene.start().await;
        Some(scene)
    }

    /// Runs `fraktalia` on the manifest of the work tree.
    pub async fn fraktalia(&self, args: &[&str]) -> fraktalia_tests::Ran {
        let manifest = self.tree.path("fraktalia.yaml");
        let manifest = manifest.to_str().expect("a path");
        self.stage.run(&[args, &["-f", manifest]].concat()).await
    }

    /// Starts the program, and waits until it sits in the room.
    pub async fn start(&mut self) {
        self.spawn();
        self.until_log("sits in #admin:chat.stage").await;
    }

    /// Starts the program.
    pub fn spawn(&mut self) {
        self.starts += 1;
        let log = std::fs::File::create(self.log_path()).expect("a log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_fraktalia-admin"));
        command.arg("-f").arg(self.tree.path("fraktalia.yaml")).arg("--state").arg(self.stage.path("state"));
        command.arg("--program").arg(self.stage.program());
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.stage.path("home")).env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
        self.admin = Some(command.spawn().expect("the program starts"));
    }

    fn log_path(&self) -> PathBuf {
        self.stage.path(&format!("admin.{}.log", self.starts))
    }

    /// What the program has said since it was started.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Waits until the program has said something.
    pub async fn until_log(&mut self, text: &str) {
        loop {
            if self.log().contains(text) {
                return;
            }
            if let Some(admin) = &mut self.admin
                && let Some(status) = admin.try_wait().expect("its status")
            {
                panic!("it ended with {status} before it said {text:?}:\n{}", self.log());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Kills the program as a crash does.
    pub async fn kill(&mut self) {
        let mut admin = self.admin.take().expect("it runs");
        admin.kill().await.expect("it is killed");
    }

    /// Waits until the program ends by itself; its exit code.
    pub async fn ended(&mut self) -> Option<i32> {
        let mut admin = self.admin.take().expect("it runs");
        admin.wait().await.expect("it ends").code()
    }

    /// Ends the program as a service manager does; its exit code.
    pub async fn stop(&mut self) -> Option<i32> {
        self.signal("TERM");
        self.ended().await
    }

    /// Sends the program a signal.
    pub fn signal(&self, name: &str) {
        let pid = self.admin.as_ref().and_then(Child::id).expect("it runs");
        let kill = std::process::Command::new("kill").args(["-s", name, &pid.to_string()]).status();
        assert!(kill.expect("kill runs").success());
    }

    /// A person's device in the admin room, with an identity that signs it.
    pub async fn person(&self, name: &str) -> Device {
        self.device(name, PASSWORD).await
    }

    /// The agent's device in the admin room. Not for a scene with a gateway, which has that user.
    pub async fn agent(&self) -> Device {
        self.device("agent", "bot-password").await
    }

    async fn device(&self, name: &str, password: &str) -> Device {
        let mut device =
            Device::log_in(&self.stage.synapse.base_url(), name, password).await.expect("a device");
        device.bootstrap_cross_signing().await.expect("an identity");
        device.join(&self.room().await).await.expect("in the room");
        device
    }

    /// The id of the admin room.
    pub async fn room(&self) -> String {
        self.stage.room("admin").await.expect("the admin room is there")
    }

    /// The subjects of all commits of the branch, latest first.
    pub fn subjects(&self) -> Vec<String> {
        self.tree.git(&["log", "--format=%s"]).lines().map(String::from).collect()
    }

    /// How many runs there were.
    pub async fn runs(&self) -> usize {
        let history = self.fraktalia(&["history", "--format", "json"]).await.expect(0);
        let history: serde_json::Value = serde_json::from_str(&history.stdout).expect("JSON");
        history["runs"].as_array().expect("runs").len()
    }
}

/// A proposal of a fractal with that key.
pub fn proposal(key: &str) -> String {
    format!(
        "Somebody should know herbs.\n```yaml\nfractals:\n  {key}:\n    purpose: Knows herbs.\n    members: [ana, ben]\n```\n"
    )
}

/// The next message of the program in which `text` stands.
pub async fn said(device: &mut Device, text: &str) -> Message {
    let desk = format!("@fraktalia:{SERVER}");
    let heard = std::sync::Mutex::new(Vec::new());
    let which = |message: &Message| {
        heard.lock().expect("one thread").push(format!("{}: {}", message.by, message.body()));
        message.by == desk && message.body().contains(text)
    };
    let found = device.next_message(which).await;
    let heard = heard.lock().expect("one thread").join("\n\n");
    let message = found.unwrap_or_else(|error| panic!("nobody said {text:?}: {error}; but:\n{heard}"));
    assert!(message.encrypted, "what is said in the room is encrypted: {message:?}");
    message
}

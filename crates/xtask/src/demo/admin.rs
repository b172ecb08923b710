//! The admin room at work.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::bench::{Bench, PASSWORD};
use super::folder::{make_folder, write};
use super::manifest::{self, Scene};
use crate::error::{Context as _, TaskError};
use crate::{say, test};

const SKILL: &str = include_str!("../../../../examples/admin-room/skills/propose-a-fractal/SKILL.md");
/// How long something in the room may take before the demonstration has failed.
const LIMIT: Duration = Duration::from_mins(3);
const ASKING: &str = "We talk about herbs every day. Should somebody not know about herbs?";

/// What is built for it.
pub struct Programs {
    /// `fraktalia`
    pub fraktalia: PathBuf,
    admin: PathBuf,
    person: PathBuf,
}

impl Programs {
    /// Builds them.
    pub fn build() -> Result<Self, TaskError> {
        Ok(Self {
            fraktalia: test::build_program()?,
            admin: test::build(&["--package", "fraktalia-admin"])?,
            person: test::build(&[
                "--package",
                "fraktalia-room",
                "--features",
                "testing",
                "--example",
                "person",
            ])?,
        })
    }
}

/// From a manifest to an agent that another one has proposed.
pub async fn show(bench: &Bench, programs: &Programs) -> Result<(), TaskError> {
    prepare(bench).await?;
    say::part(2, "What we want", "fraktalia.yaml, without its connection settings:");
    say::line(manifest::ADMIN_WISHES);
    bench.fraktalia(&["apply", "--yes"]).await?;

    say::part(
        3,
        "Somebody sits in the admin room",
        "A program of its own, and Ana with her encrypted client.",
    );
    let ana = bench.ana().await?;
    let room = ana.resolve(&Bench::alias("admin")).await?.unwrap_or_default();
    say::command("fraktalia-admin");
    let admin = start_admin(bench, programs)?;
    until_it_sits(bench, &admin).await?;
    let mut client = Client::start(bench, programs, &room)?;

    say::part(4, "An agent proposes", "Ana asks it in its own room; what it does then is up to it.");
    bench.model().call_tool_on(manifest::HERBS, "tool_call", json!({ "id": "message", "args": {
        "action": "send", "channel": "matrix", "target": Bench::alias("admin"), "message": manifest::PROPOSAL,
    }}));
    super::converse(bench, &ana, &Scene { fractal: "gardener", question: ASKING }).await?;
    say::faint(&format!("\n{}", Bench::alias("admin")));
    let plan = client.until(|message| message.body.contains("Operators answer")).await?;

    say::part(5, "Ana approves", "Her own reaction to that message counts, and nothing else.");
    say::said("Ana", "✅");
    client.ask(&json!({ "react": plan.event, "with": "✅" })).await?;
    client.until(|message| message.body.starts_with("Done")).await?;

    say::part(6, "Talk to the new one", "");
    let herbalist = Scene { fractal: "herbalist", question: "Hello! Who are you?" };
    super::converse(bench, &ana, &herbalist).await?;

    say::part(7, "Who did what", "In git, and in a history that shows when somebody changes it.");
    git(bench.dir(), &["log", "--format=%h %an: %s"]).await?;
    bench.fraktalia(&["history"]).await?;
    bench.fraktalia(&["history", "--verify"]).await?;

    say::part(8, "And back", "Operators can ask in the room as well.");
    say::said("Ana", "!rollback");
    client.ask(&json!({ "say": "!rollback" })).await?;
    let plan = client.until(|message| message.body.contains("Operators answer")).await?;
    say::said("Ana", "✅");
    client.ask(&json!({ "react": plan.event, "with": "✅" })).await?;
    client.until(|message| message.body.starts_with("Done")).await?;
    drop(admin);
    Ok(())
}

/// The manifest lies in git, and nothing else of the folder does.
async fn prepare(bench: &Bench) -> Result<(), TaskError> {
    let dir = bench.dir();
    write(&dir.join("SKILL.md"), SKILL)?;
    make_folder(&dir.join("fractals"))?;
    for args in [
        &["init", "--quiet", "--initial-branch=main"][..],
        &["add", "fraktalia.yaml", "SKILL.md"],
        &[
            "-c",
            "user.name=Ana",
            "-c",
            "user.email=ana@chat.demo",
            "commit",
            "--quiet",
            "--message",
            "What we want",
        ],
    ] {
        git(dir, args).await?;
    }
    Ok(())
}

async fn git(dir: &Path, args: &[&str]) -> Result<(), TaskError> {
    let what = || format!("git {}", args.join(" "));
    let mut command = Command::new("git");
    command.args(args).current_dir(dir).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_PAGER", "cat");
    let output = command.stdin(Stdio::null()).output().await.context(what)?;
    say::line(String::from_utf8_lossy(&output.stdout).trim_end());
    if output.status.success() {
        Ok(())
    } else {
        Err(TaskError::Ended { what: what(), status: output.status.to_string() })
    }
}

fn start_admin(bench: &Bench, programs: &Programs) -> Result<Child, TaskError> {
    let what = || "start fraktalia-admin".to_owned();
    let log = std::fs::File::create(bench.dir().join("admin.log")).context(what)?;
    let mut command = Command::new(&programs.admin);
    command
        .arg("--program")
        .arg(&programs.fraktalia)
        .env("FRAKTALIA_STATE", "state")
        .current_dir(bench.dir());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
    command.spawn().context(what)
}

async fn until_it_sits(bench: &Bench, _admin: &Child) -> Result<(), TaskError> {
    let sits = async {
        loop {
            let log = std::fs::read_to_string(bench.dir().join("admin.log")).unwrap_or_default();
            if let Some(line) = log.lines().find(|line| line.contains(" sits in ")) {
                let words = line.split_once("fraktalia_admin").map_or(line, |(_, words)| words);
                return words.trim_start_matches(|c: char| c != '@').to_owned();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let line = tokio::time::timeout(LIMIT, sits).await;
    let line = line.map_err(|_| TaskError::Found("fraktalia-admin did not enter the room".to_owned()))?;
    say::done("admin", &line, None);
    Ok(())
}

/// Ana's encrypted client.
struct Client {
    _child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

/// What somebody said.
#[derive(Deserialize)]
struct Message {
    event: String,
    by: String,
    kind: String,
    body: String,
    edit: bool,
}

impl Client {
    fn start(bench: &Bench, programs: &Programs, room: &str) -> Result<Self, TaskError> {
        let what = || "start Ana's client".to_owned();
        let log = std::fs::File::create(bench.dir().join("ana.log")).context(what)?;
        let mut command = Command::new(&programs.person);
        command.args([&bench.homeserver(), "ana", room]).env("MATRIX_PASSWORD", PASSWORD).kill_on_drop(true);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).spawn().context(what)?;
        let missing = || TaskError::Found("Ana's client has no pipes".to_owned());
        let (stdin, stdout) =
            (child.stdin.take().ok_or_else(missing)?, child.stdout.take().ok_or_else(missing)?);
        Ok(Self { _child: child, stdin, lines: BufReader::new(stdout).lines() })
    }

    async fn ask(&mut self, what: &Value) -> Result<(), TaskError> {
        let line = format!("{what}\n");
        self.stdin.write_all(line.as_bytes()).await.context(|| "tell Ana's client".to_owned())
    }

    /// Tells what is said in the room, up to the message for which `which` holds.
    async fn until(&mut self, which: impl Fn(&Message) -> bool) -> Result<Message, TaskError> {
        let found = async {
            while let Some(line) = self.lines.next_line().await.context(|| "hear Ana's client".to_owned())? {
                let Ok(message) = serde_json::from_str::<Message>(&line) else { continue };
                if message.kind != "m.room.message" {
                    continue;
                }
                let name = message.by.split(':').next().unwrap_or_default().trim_start_matches('@');
                match (message.edit, name) {
                    (true, _) => say::begun(&message.body),
                    (false, "ana") => {}
                    (false, name) => say::said(name, &message.body),
                }
                if which(&message) {
                    return Ok(message);
                }
            }
            Err(TaskError::Found("Ana's client has ended".to_owned()))
        };
        let late = |_| TaskError::Found("what was waited for did not come".to_owned());
        tokio::time::timeout(LIMIT, found).await.map_err(late)?
    }
}

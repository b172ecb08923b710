//! A watch that runs, of which we read each line.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Instant;

use fraktalia_tests::Stage;
use serde_json::Value as Json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// `fraktalia watch --log-format json`.
pub struct Watch {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// All that it has said, for when a story fails.
    pub said: Vec<Json>,
}

impl Watch {
    pub fn start(stage: &Stage, args: &[&str]) -> Self {
        Self::start_with(stage, args, &[])
    }

    pub fn start_with(stage: &Stage, args: &[&str], environment: &[(&str, &str)]) -> Self {
        let args = [&["watch", "--log-format", "json"][..], args].concat();
        let mut child = stage.start_with(&args, environment);
        let lines = BufReader::new(child.stdout.take().expect("its data are ours")).lines();
        Self { child, lines, said: Vec::new() }
    }

    pub fn id(&self) -> u32 {
        self.child.id().expect("it still runs")
    }

    /// The next line for which `which` holds.
    pub async fn until(&mut self, which: impl Fn(&Json) -> bool) -> Json {
        while let Some(line) = self.lines.next_line().await.expect("it talks") {
            let line: Json = serde_json::from_str(&line).expect("each line is a document");
            // To be read when a story waits for something that never comes.
            eprintln!("{line}");
            self.said.push(line.clone());
            if which(&line) {
                return line;
            }
        }
        let mut talk = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut talk).await.expect("its talk is text");
        }
        let said: Vec<String> = self.said.iter().map(ToString::to_string).collect();
        panic!("it ended and never said that:\n{}\n{talk}", said.join("\n"));
    }

    pub async fn happening(&mut self, name: &str) -> Json {
        self.until(|line| line["happening"] == name).await
    }

    /// The next look that finds all in order.
    pub async fn in_sync(&mut self) -> Json {
        self.until(|line| line["happening"] == "looked" && line["in_sync"] == true).await
    }

    /// Waits until the events of these systems are heard, and for the look that follows.
    pub async fn hears(&mut self, systems: &[&str]) {
        let mut open: BTreeSet<&str> = systems.iter().copied().collect();
        while !open.is_empty() {
            let line = self.happening("heard").await;
            open.remove(line["system"].as_str().unwrap_or_default());
        }
        self.asked_to_look().await;
    }

    /// Asks for a look, and waits for it: whatever rang before is answered by it.
    pub async fn asked_to_look(&mut self) -> Json {
        self.signal("-HUP").await;
        self.until(|line| woken_by(line).contains(&"SIGHUP".to_owned())).await
    }

    /// The next look that finds `change`, a part of an id; prints how long after `began` that was.
    pub async fn finds(&mut self, change: &str, began: Instant) -> Json {
        let line = self.until(|line| changes(line).iter().any(|(id, _)| id.contains(change))).await;
        println!(
            "{change}: said {} ms after it was done, {} ms after the last event; the look took {} ms; {}",
            began.elapsed().as_millis(),
            line["since_event_ms"],
            line["took_ms"],
            line["causes"],
        );
        line
    }

    pub async fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.id().to_string()]).stdin(Stdio::null()).status();
        assert!(sent.await.expect("kill runs").success());
    }

    /// Asks it to end; its exit code, and what it said until then.
    pub async fn end(mut self) -> (Option<i32>, Vec<Json>) {
        self.signal("-TERM").await;
        self.wait().await
    }

    /// Waits until it has ended.
    pub async fn wait(&mut self) -> (Option<i32>, Vec<Json>) {
        while let Some(line) = self.lines.next_line().await.expect("it talks") {
            self.said.push(serde_json::from_str(&line).expect("each line is a document"));
        }
        let status = self.child.wait().await.expect("it ends");
        (status.code(), std::mem::take(&mut self.said))
    }
}

/// Ids and standings of a look.
pub fn changes(line: &Json) -> Vec<(String, String)> {
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let all = line["changes"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().map(|change| (text(&change["id"]), text(&change["standing"]))).collect()
}

/// Who woke it.
pub fn woken_by(line: &Json) -> Vec<String> {
    let all = line["causes"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().map(|cause| cause["who"].as_str().unwrap_or_default().to_owned()).collect()
}

//! Asks the OpenClaw program what it makes of a candidate.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value as Json;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

use crate::error::FileError;

/// A call takes 2 to 6 s, up to 30 s on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(90);
/// Longer answers are cut off.
const MAX_OUTPUT: u64 = 1 << 20;
/// More issues than this help nobody.
const MAX_ISSUES: usize = 8;

/// Runs `<program> config validate --json` on the file at `candidate`. The path travels in the environment.
pub(crate) async fn validate(program: &Path, candidate: &Path, deadline: Duration) -> Result<(), FileError> {
    let output = run(program, &["config", "validate", "--json"], Some(candidate), deadline).await?;
    // Plugins may write lines of their own before the answer.
    let start = output.text.find('{').unwrap_or(0);
    let answer: Json = serde_json::from_str(output.text[start..].trim()).unwrap_or_default();
    match answer["valid"].as_bool() {
        Some(true) if output.success => Ok(()),
        Some(false) => Err(FileError::Invalid { issues: issues(&answer["issues"]) }),
        _ => Err(failed(program, format!("ended with {} and said nothing of use", output.status))),
    }
}

/// What `<program> --version` prints.
pub(crate) async fn version(program: &Path, deadline: Duration) -> Result<String, FileError> {
    Ok(run(program, &["--version"], None, deadline).await?.text)
}

/// `path: message` for each issue, as OpenClaw reports them in `issues`.
pub(crate) fn issues(issues: &Json) -> Vec<String> {
    let issues = issues.as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |issue: &Json| {
        let (path, message) =
            (issue["path"].as_str().unwrap_or(""), issue["message"].as_str().unwrap_or("invalid"));
        if path.is_empty() { message.to_owned() } else { format!("{path}: {message}") }
    };
    let mut texts: Vec<String> = issues.iter().take(MAX_ISSUES).map(text).collect();
    if issues.len() > MAX_ISSUES {
        texts.push(format!("and {} more", issues.len() - MAX_ISSUES));
    }
    if texts.is_empty() {
        texts.push("it does not say why".into());
    }
    texts
}

struct Output {
    text: String,
    success: bool,
    status: String,
}

fn failed(program: &Path, what: String) -> FileError {
    FileError::Validator { program: program.display().to_string(), what }
}

async fn run(
    program: &Path,
    words: &[&str],
    config: Option<&Path>,
    deadline: Duration,
) -> Result<Output, FileError> {
    let mut command = Command::new(program);
    // A group of its own: the program is a script that starts others, and a deadline has to end all of them.
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
    command.kill_on_drop(true);
    if let Some(config) = config {
        command.env("OPENCLAW_CONFIG_PATH", config);
    }
    let mut child =
        command.spawn().map_err(|error| failed(program, format!("cannot be started: {error}")))?;
    let answer = tokio::time::timeout(deadline, collect(&mut child)).await;
    match answer {
        Ok(Ok(output)) => Ok(output),
        Ok(Err(error)) => Err(failed(program, format!("could not be read: {error}"))),
        Err(_) => {
            kill_group(&child);
            Err(failed(program, format!("gave no answer within {} s", deadline.as_secs())))
        }
    }
}

async fn collect(child: &mut Child) -> std::io::Result<Output> {
    let mut bytes = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(MAX_OUTPUT).read_to_end(&mut bytes).await?;
    }
    let status = child.wait().await?;
    Ok(Output {
        text: String::from_utf8_lossy(&bytes).into_owned(),
        success: status.success(),
        status: status.to_string(),
    })
}

fn kill_group(child: &Child) {
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(group) = group {
        // It may have ended by itself meanwhile.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;

    fn program(body: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("openclaw");
        // A file that was open for writing in this process cannot be run while another thread forks.
        let script = dir.path().join("body");
        std::fs::write(&script, body).expect("written");
        let made = std::process::Command::new("/bin/sh")
            .args(["-c", "{ echo '#!/bin/sh'; cat \"$1\"; } > \"$2\"; chmod 755 \"$2\"", "sh"])
            .args([&script, &path])
            .status();
        assert!(made.expect("a shell").success());
        assert_eq!(std::fs::metadata(&path).expect("meta").permissions().mode() & 0o777, 0o755);
        (dir, path)
    }

    async fn ask(body: &str, deadline: Duration) -> Result<(), FileError> {
        let (_dir, program) = program(body);
        validate(&program, Path::new("/candidate.json"), deadline).await
    }

    #[tokio::test]
    async fn the_path_travels_in_the_environment_alone() {
        let body = "[ \"$*\" = 'config validate --json' ] && [ \"$OPENCLAW_CONFIG_PATH\" = /candidate.json ] && echo '{\"valid\":true}'";
        ask(body, DEADLINE).await.expect("valid");
    }

    #[tokio::test]
    async fn issues_are_passed_on_with_their_paths() {
        let body = "echo '{\"valid\":false,\"issues\":[{\"path\":\"agents\",\"message\":\"Invalid input\"}]}'; exit 1";
        let error = ask(body, DEADLINE).await.expect_err("invalid");
        assert_eq!(
            error.to_string(),
            "OpenClaw does not accept the new openclaw.json: agents: Invalid input"
        );
    }

    #[tokio::test]
    async fn a_program_that_says_nothing_of_use_is_no_consent() {
        for body in ["exit 0", "echo '{\"valid\":true}'; exit 3", "echo ok", "kill -9 $$"] {
            let error = ask(body, DEADLINE).await.expect_err(body);
            assert!(matches!(error, FileError::Validator { .. }), "{body}: {error}");
        }
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_ended_with_all_it_started() {
        let (dir, program) = program("sleep 1000 & echo $! > \"$0.child\"; wait");
        let child = dir.path().join("openclaw.child");
        let waiting = validate(&program, Path::new("/candidate.json"), Duration::from_millis(700));
        let error = waiting.await.expect_err("hangs");
        assert!(error.to_string().contains("gave no answer"), "{error}");
        let pid = std::fs::read_to_string(child).expect("a child").trim().to_owned();
        let gone = async {
            // A killed process that nobody has collected yet counts as gone.
            while std::fs::read_to_string(format!("/proc/{pid}/stat"))
                .is_ok_and(|stat| !stat.contains(") Z "))
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), gone).await.expect("the child is gone");
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let error =
            validate(Path::new("/nowhere/openclaw"), Path::new("/c"), DEADLINE).await.expect_err("absent");
        assert!(
            error.to_string().starts_with("`/nowhere/openclaw config validate` cannot be started"),
            "{error}"
        );
    }
}

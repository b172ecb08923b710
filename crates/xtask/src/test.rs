//! `cargo xtask test`: every test, with the real systems there.

mod count;

use std::io::{BufRead, BufReader, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use fraktalia_testkit::real::docker::BUSYBOX;
use fraktalia_testkit::real::install::Component;
use fraktalia_testkit::real::{Cache, Docker};

use crate::error::{Context as _, TaskError};
use crate::{install, say};
use count::{Count, Runner};

/// Installs what is missing, runs the tests, and ends with one line: `N passed, N failed, N skipped`.
pub async fn run(cache: &Cache, filter: Option<&str>) -> Result<(), TaskError> {
    install::components(cache, &Component::USUAL)?;
    let docker = Docker::ensure(cache).await?;
    docker.base_image(cache, BUSYBOX).await?;
    let program = build_program()?;
    let mut count = Count::default();
    let mut outcome;
    if has_nextest() {
        outcome = watch(Runner::Nextest, nextest(filter), cache, &program, &mut count)?;
        if filter.is_none() && outcome.success() {
            // nextest leaves the examples in the documentation out.
            outcome = watch(Runner::Libtest, doc_tests(), cache, &program, &mut count)?;
        }
    } else {
        outcome = watch(Runner::Libtest, cargo_test(filter), cache, &program, &mut count)?;
    }
    docker.stop().await?;
    say::plain(&count.to_string());
    if outcome.success() && count.failed == 0 && count.passed > 0 {
        return Ok(());
    }
    Err(TaskError::Ended { what: "the tests".to_owned(), status: outcome.to_string() })
}

/// Builds `fraktalia` and gives its path.
pub fn build_program() -> Result<PathBuf, TaskError> {
    build(&["--package", "fraktalia"])
}

/// Builds one program of the workspace, which the arguments say, and gives its path.
pub fn build(which: &[&str]) -> Result<PathBuf, TaskError> {
    let mut build = cargo();
    build.args(["build", "--quiet", "--message-format", "json-render-diagnostics"]).args(which);
    let output = build.stderr(Stdio::inherit()).output().context(|| "start cargo build".to_owned())?;
    if !output.status.success() {
        return Err(TaskError::Ended { what: "cargo build".to_owned(), status: output.status.to_string() });
    }
    let messages = cargo_metadata::Message::parse_stream(output.stdout.as_slice());
    let program = messages.filter_map(Result::ok).find_map(|message| match message {
        cargo_metadata::Message::CompilerArtifact(artifact) => artifact.executable,
        _ => None,
    });
    let missing = || TaskError::Found("cargo build made no program".to_owned());
    program.map(PathBuf::from).ok_or_else(missing)
}

/// The cargo that runs us.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn has_nextest() -> bool {
    let version = cargo().args(["nextest", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

fn nextest(filter: Option<&str>) -> Command {
    let mut command = cargo();
    command.args(["nextest", "run", "--workspace", "--no-fail-fast", "--status-level", "slow"]);
    command.args(["--final-status-level", "fail", "--color", color()]).args(filter);
    command
}

fn cargo_test(filter: Option<&str>) -> Command {
    let mut command = cargo();
    command.args(["test", "--workspace", "--no-fail-fast", "--color", color()]).args(filter);
    command
}

fn doc_tests() -> Command {
    let mut command = cargo();
    command.args(["test", "--doc", "--workspace", "--no-fail-fast", "--quiet", "--color", color()]);
    command
}

fn color() -> &'static str {
    if std::io::stdout().is_terminal() { "always" } else { "never" }
}

/// Runs a test runner, passes its output on, and counts what it reports. Both streams become one, since nextest
/// writes to one of them and cargo to the other.
fn watch(
    runner: Runner,
    mut command: Command,
    cache: &Cache,
    program: &Path,
    count: &mut Count,
) -> Result<ExitStatus, TaskError> {
    let (reader, writer) = std::io::pipe().context(|| "make a pipe".to_owned())?;
    let errors = writer.try_clone().context(|| "make a pipe".to_owned())?;
    command.env("FRAKTALIA_REAL", "1").env("FRAKTALIA_CACHE", cache.root()).env("FRAKTALIA_BIN", program);
    command.stdin(Stdio::null()).stdout(writer).stderr(errors);
    let mut child = command.spawn().context(|| "start cargo".to_owned())?;
    // The command still holds the writing end, and the pipe would never come to its end.
    drop(command);
    for line in BufReader::new(reader).lines() {
        let line = line.context(|| "read the output of the tests".to_owned())?;
        say::plain(&line);
        count.read(runner, &line);
    }
    child.wait().context(|| "wait for the tests".to_owned())
}

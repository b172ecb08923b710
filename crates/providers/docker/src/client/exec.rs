//! Running a command in a container that runs.

use std::time::Duration;

use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, StartExecResults};
use futures_util::StreamExt as _;
use tokio::io::AsyncWriteExt as _;

use super::Client;
use super::transport::Room;
use crate::error::DockerError;

/// What a command came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecOutput {
    /// Its exit code.
    pub code: i64,
    /// What it wrote to its standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to its standard error.
    pub stderr: Vec<u8>,
}

impl Client {
    /// Runs `argv` in a container, hands it `stdin` and closes that, and waits for its end. No shell is involved.
    ///
    /// # Errors
    /// When the engine refuses, the command does not end in time, or it writes more than `limit` bytes in all: what
    /// runs there is not ended by that.
    pub async fn exec(
        &self,
        container: &str,
        argv: &[&str],
        stdin: &[u8],
        limit: usize,
    ) -> Result<ExecOutput, DockerError> {
        let what = format!("run {} in {container}", argv.first().unwrap_or(&"nothing"));
        match tokio::time::timeout(self.deadline, self.run(container, argv, stdin, limit, &what)).await {
            Ok(output) => output,
            Err(_) => Err(self.late(&what, self.deadline)),
        }
    }

    async fn run(
        &self,
        container: &str,
        argv: &[&str],
        stdin: &[u8],
        limit: usize,
        what: &str,
    ) -> Result<ExecOutput, DockerError> {
        let failed = |error| self.failed(&error, what);
        let options = CreateExecOptions {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(argv.iter().map(|part| (*part).to_owned()).collect()),
            ..CreateExecOptions::default()
        };
        let exec = self.docker.create_exec(container, options).await.map_err(failed)?;
        let room = Room(limit as u64 + HEADERS);
        let measured = self.docker.clone().with_request_modifier(move |mut request| {
            request.extensions_mut().insert(room);
            request
        });
        let started = measured.start_exec(&exec.id, None).await.map_err(failed)?;
        let StartExecResults::Attached { mut output, mut input } = started else {
            return Err(self.lost(what, "it gave no streams"));
        };
        let write = async {
            // A command that does not read all of it is its own affair: its exit code tells.
            let _ = input.write_all(stdin).await;
            let _ = input.shutdown().await;
        };
        let read = async {
            let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
            while let Some(piece) = output.next().await {
                match piece.map_err(failed)? {
                    LogOutput::StdErr { message } => stderr.extend_from_slice(&message),
                    LogOutput::StdOut { message } | LogOutput::Console { message } => {
                        stdout.extend_from_slice(&message);
                    }
                    LogOutput::StdIn { .. } => {}
                }
                if stdout.len() + stderr.len() > limit {
                    return Err(self.lost(what, &format!("it is longer than {limit} bytes")));
                }
            }
            Ok((stdout, stderr))
        };
        let ((), output) = futures_util::future::join(write, read).await;
        let (stdout, stderr) = output?;
        let code = self.exit_code(&exec.id, what).await?;
        Ok(ExecOutput { code, stdout, stderr })
    }

    /// The streams end a moment before the engine has taken note of the end.
    async fn exit_code(&self, exec: &str, what: &str) -> Result<i64, DockerError> {
        loop {
            let found = self.docker.inspect_exec(exec).await.map_err(|error| self.failed(&error, what))?;
            if found.running != Some(true) {
                return found.exit_code.ok_or_else(|| self.lost(what, "it gave no exit code"));
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    pub(crate) fn lost(&self, what: &str, why: &str) -> DockerError {
        DockerError::Lost { endpoint: self.endpoint.to_string(), what: what.into(), why: why.into() }
    }
}

/// Headers of the answer, and of each piece of output.
const HEADERS: u64 = 1 << 20;
/// When an exit code is asked for again; the deadline of the call ends that.
const AGAIN: Duration = Duration::from_millis(20);

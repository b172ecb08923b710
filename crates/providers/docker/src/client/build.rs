//! Building an image: a tar goes in, lines of output come back.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::time::Duration;

use bollard::body_try_stream;
use bollard::errors::Error as Bollard;
use bollard::query_parameters::BuildImageOptionsBuilder;
use futures_util::{Stream, StreamExt as _, stream};
use tokio::io::AsyncReadExt as _;

use super::Client;
use crate::error::{DockerError, bounded, plain};
use crate::labels::Labels;

/// How many lines of a failed build are shown.
const LAST_LINES: usize = 20;
/// What of a line is shown; some tools draw their progress without ever ending a line.
const LONGEST_LINE: usize = 400;
/// What of the engine's own words about a failure is shown.
const LONGEST_WHY: usize = 2000;
/// A build that says nothing for so long hangs.
const SILENCE: Duration = Duration::from_mins(15);

/// An image to be built.
#[derive(Clone, Debug)]
pub struct BuildRequest<'a> {
    /// `name:tag`
    pub tag: &'a str,
    /// Build arguments.
    pub args: HashMap<String, String>,
    /// Labels of the image.
    pub labels: Labels,
}

/// A build that failed.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The engine could not be asked.
    #[error(transparent)]
    Docker(#[from] DockerError),
    /// A step of the Dockerfile failed.
    #[error("building {tag} failed: {why}\n{}", indented(.last))]
    Failed {
        /// What was built.
        tag: String,
        /// The engine's own words.
        why: String,
        /// The last lines of its output.
        last: Vec<String>,
    },
}

fn indented(lines: &[String]) -> String {
    lines.iter().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

impl Client {
    /// Builds an image from a tar of its context, and hands each line of output to `say`.
    ///
    /// # Errors
    /// When the engine cannot be asked, or a step of the build fails.
    pub async fn build(
        &self,
        request: BuildRequest<'_>,
        context: File,
        say: impl Fn(&str),
    ) -> Result<(), BuildError> {
        let what = format!("build the image {}", request.tag);
        let options = BuildImageOptionsBuilder::new()
            .dockerfile("Dockerfile")
            .t(request.tag)
            .rm(true)
            .forcerm(true)
            .buildargs(&request.args)
            .labels(&request.labels)
            .build();
        // The engine only answers once the first step is done, so the deadline is that of a step.
        let docker = self.docker.clone().with_timeout(SILENCE);
        let mut output =
            std::pin::pin!(docker.build_image(options, None, Some(body_try_stream(pieces(context)))));
        let mut log = Log::default();
        loop {
            let next = tokio::time::timeout(SILENCE, output.next()).await;
            let Ok(next) = next else {
                return Err(self.late(&what, SILENCE).into());
            };
            match next {
                None => return Ok(()),
                Some(Ok(info)) => {
                    for line in
                        log.take(info.stream.as_deref().or(info.status.as_deref()).unwrap_or_default())
                    {
                        say(&line);
                    }
                }
                Some(Err(Bollard::DockerStreamError { error })) => {
                    let last = log.finish();
                    return Err(BuildError::Failed {
                        tag: request.tag.into(),
                        why: bounded(&error, LONGEST_WHY),
                        last,
                    });
                }
                Some(Err(error)) => return Err(self.failed(&error, &what).into()),
            }
        }
    }
}

/// The file in pieces. Generic, because the type of the pieces is of a crate that only bollard names.
fn pieces<B: From<Vec<u8>>>(file: File) -> impl Stream<Item = std::io::Result<B>> + Send {
    stream::unfold(Some(tokio::fs::File::from_std(file)), |file| async move {
        let mut file = file?;
        let mut piece = vec![0; 64 << 10];
        match file.read(&mut piece).await {
            Ok(0) => None,
            Ok(read) => {
                piece.truncate(read);
                Some((Ok(piece.into()), Some(file)))
            }
            Err(error) => Some((Err(error), None)),
        }
    })
}

/// Whole lines out of pieces of output, and the last of them.
#[derive(Default)]
struct Log {
    open: String,
    last: VecDeque<String>,
}

impl Log {
    /// Takes a piece and gives the lines that it completes.
    fn take(&mut self, piece: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for part in piece.split_inclusive(['\n', '\r']) {
            if self.open.len() < LONGEST_LINE {
                self.open.push_str(part);
            }
            if part.ends_with(['\n', '\r']) {
                lines.extend(self.close());
            }
        }
        lines
    }

    fn close(&mut self) -> Option<String> {
        let line: String = plain(&std::mem::take(&mut self.open)).chars().take(LONGEST_LINE).collect();
        if line.is_empty() {
            return None;
        }
        if self.last.len() == LAST_LINES {
            self.last.pop_front();
        }
        self.last.push_back(line.clone());
        Some(line)
    }

    fn finish(mut self) -> Vec<String> {
        self.close();
        self.last.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_output_become_whole_lines() {
        let mut log = Log::default();
        assert_eq!(log.take("Step 1/2 : FR"), Vec::<String>::new());
        assert_eq!(log.take("OM x\n ---> 123\nget"), ["Step 1/2 : FROM x", " ---> 123"]);
        assert_eq!(log.finish(), ["Step 1/2 : FROM x", " ---> 123", "get"]);
    }

    #[test]
    fn only_the_last_lines_are_kept_however_long_the_output() {
        let mut log = Log::default();
        for number in 0..1_000 {
            log.take(&format!("line {number}\n"));
        }
        log.take(&"x".repeat(1 << 20));
        let last = log.finish();
        assert_eq!((last.len(), last[0].as_str()), (LAST_LINES, "line 981"));
        assert!(last.iter().all(|line| line.len() <= LONGEST_LINE));
    }

    #[test]
    fn output_cannot_steer_the_terminal() {
        assert_eq!(plain("\u{1b}[91mred\u{1b}[0m\u{7}\u{1b}]0;title"), "red]0;title");
    }
}

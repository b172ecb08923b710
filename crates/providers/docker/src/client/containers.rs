//! Containers of our own, and the volumes that they keep things in.

use bollard::container::LogOutput;
use bollard::models::{ContainerCreateBody, Volume, VolumeCreateRequest};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, LogsOptionsBuilder, RemoveVolumeOptions, StartContainerOptions,
};
use futures_util::StreamExt as _;

use super::{Client, gone, there};
use crate::error::{DockerError, bounded};
use crate::labels::Labels;

/// What of a log is shown.
const LAST_LINES: usize = 20;
/// What of it is read.
const LOG: usize = 64 << 10;
const LONGEST_LINE: usize = 400;

impl Client {
    /// Makes a container, which does not run yet, and gives its id.
    pub async fn create_container(
        &self,
        name: &str,
        body: ContainerCreateBody,
    ) -> Result<String, DockerError> {
        let what = format!("make the container {name}");
        let options = CreateContainerOptionsBuilder::new().name(name).build();
        self.call(&what, self.docker.create_container(Some(options), body)).await.map(|made| made.id)
    }

    /// Starts a container.
    pub async fn start_container(&self, id: &str, name: &str) -> Result<(), DockerError> {
        let what = format!("start the container {name}");
        self.call(&what, self.docker.start_container(id, None::<StartContainerOptions>)).await
    }

    /// The last lines of what a container wrote.
    pub async fn last_lines(&self, id: &str, name: &str) -> Result<Vec<String>, DockerError> {
        let options =
            LogsOptionsBuilder::new().stdout(true).stderr(true).tail(&LAST_LINES.to_string()).build();
        let read = async {
            let mut log = Vec::new();
            let mut pieces = std::pin::pin!(self.docker.logs(id, Some(options)));
            while let Some(piece) = pieces.next().await {
                match piece? {
                    LogOutput::StdOut { message }
                    | LogOutput::StdErr { message }
                    | LogOutput::Console { message } => {
                        log.extend_from_slice(&message);
                    }
                    LogOutput::StdIn { .. } => {}
                }
                if log.len() > LOG {
                    break;
                }
            }
            Ok(log)
        };
        let log = self.call(&format!("show the log of {name}"), read).await?;
        let lines = String::from_utf8_lossy(&log);
        let lines: Vec<String> = lines.lines().map(|line| bounded(line, LONGEST_LINE)).collect();
        Ok(lines[lines.len().saturating_sub(LAST_LINES)..].to_vec())
    }

    /// One volume.
    pub async fn volume(&self, name: &str) -> Result<Option<Volume>, DockerError> {
        let what = format!("describe the volume {name}");
        there(self.call(&what, self.docker.inspect_volume(name)).await)
    }

    /// Makes a volume.
    pub async fn create_volume(&self, name: &str, labels: Labels) -> Result<(), DockerError> {
        let what = format!("make the volume {name}");
        let request = VolumeCreateRequest {
            name: Some(name.into()),
            labels: Some(labels),
            ..VolumeCreateRequest::default()
        };
        self.call(&what, self.docker.create_volume(request)).await.map(|_| ())
    }

    /// Removes a volume with all that is in it; one that is gone already is no error.
    pub async fn remove_volume(&self, name: &str) -> Result<(), DockerError> {
        let what = format!("remove the volume {name}");
        gone(self.call(&what, self.docker.remove_volume(name, None::<RemoveVolumeOptions>)).await)
    }
}

//! Hears that something happened in a room that we are in.

use std::time::Duration;

use fraktalia_engine::ObserveError;
use fraktalia_engine::watch::Bell;
use tokio::time::{Instant, sleep};

use crate::client::Client;

/// A homeserver that answers at once though nothing happened in a room is not asked again before this has passed.
const PACE: Duration = Duration::from_secs(1);

/// Rings for each change until the homeserver does not answer any more.
pub(crate) async fn follow(client: &Client, bell: &Bell) -> Result<(), ObserveError> {
    let mut since = client.position().await?;
    bell.listening();
    loop {
        let began = Instant::now();
        let (next, happened) = client.wait(&since).await?;
        since = next;
        if happened {
            bell.ring("something changed in a room");
        } else {
            sleep(PACE.saturating_sub(began.elapsed())).await;
        }
    }
}

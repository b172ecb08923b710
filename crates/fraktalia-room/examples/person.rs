//! A person's encrypted client for scripts and demonstrations: what is said in a room comes as JSON lines, and what is to be
//! said or reacted to goes in as JSON lines.
//!
//! ```text
//! MATRIX_PASSWORD=... person http://127.0.0.1:8008 ana '!room:server'
//! < {"say": "Hello"}
//! < {"react": "$event", "with": "✅"}
//! > {"event": "$event", "by": "@ana:server", "kind": "m.room.message", "body": "Hello", "edit": false}
//! ```

use std::io::Write as _;
use std::time::Duration;

use fraktalia_room::testing::{Device, Result};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;

/// How often it is looked whether something was said.
const PAUSE: Duration = Duration::from_millis(200);

#[derive(Deserialize)]
#[serde(untagged)]
enum Ask {
    Say { say: String },
    React { react: String, with: String },
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let mut next = |what: &str| args.next().ok_or(format!("{what} is missing: person HOMESERVER USER ROOM"));
    let (homeserver, user, room) = (next("HOMESERVER")?, next("USER")?, next("ROOM")?);
    let mut device = Device::log_in(&homeserver, &user, &std::env::var("MATRIX_PASSWORD")?).await?;
    device.bootstrap_cross_signing().await?;
    device.join(&room).await?;
    let mut asked = questions();
    loop {
        match tokio::time::timeout(PAUSE, asked.recv()).await {
            Ok(None) => return Ok(()),
            Ok(Some(line)) => match serde_json::from_str(&line)? {
                Ask::Say { say } => drop(device.say(&say).await?),
                Ask::React { react, with } => drop(device.react(&react, &with).await?),
            },
            Err(_) => {}
        }
        // A homeserver that is busy or away for a moment is asked again.
        for message in device.heard().await.unwrap_or_default() {
            let edit = message.content["m.relates_to"]["rel_type"] == "m.replace";
            let body = message.content["m.new_content"]["body"].as_str().unwrap_or(message.body());
            let line = json!({
                "event": message.event, "by": message.by, "kind": message.kind, "body": body, "edit": edit,
            });
            writeln!(std::io::stdout(), "{line}")?;
        }
    }
}

/// The lines that come in, until there are no more.
fn questions() -> mpsc::Receiver<String> {
    let (tell, told) = mpsc::channel(8);
    std::thread::spawn(move || {
        let lines = std::io::stdin().lines().map_while(std::result::Result::ok);
        lines.map(|line| tell.blocking_send(line)).take_while(std::result::Result::is_ok).for_each(drop);
    });
    told
}

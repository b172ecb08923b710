//! Drift: a `fraktalia watch` that only reports wakes us, and what is said is a plan made then.

use std::time::Duration;

use fraktalia_desk::{Plan, Planned};
use serde::Deserialize;
use tokio::sync::mpsc;

use crate::Hands;
use crate::child::{args, lines};

/// How long until a watch that ended is begun again, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(5));

/// How the live systems stand to the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Drift {
    /// They were changed by hand; this would put them back.
    Drifted(Plan),
    /// They are as we left them.
    Settled,
    /// It is not known, and why.
    Unknown(String),
}

#[derive(Deserialize)]
struct Line {
    happening: String,
    #[serde(default)]
    why: Option<String>,
}

impl Hands {
    /// Watches, as long as somebody listens. What was said last is not said again, and nothing is while a run of ours is at
    /// work.
    pub fn drift(&self) -> mpsc::Receiver<Drift> {
        let (say, heard) = mpsc::channel(1);
        let hands = self.clone();
        tokio::spawn(async move { hands.watch(say).await });
        heard
    }

    async fn watch(self, say: mpsc::Sender<Drift>) {
        let (wake, mut woken) = mpsc::channel::<Line>(16);
        let watching = {
            let hands = self.clone();
            tokio::spawn(async move { hands.keep_watching(&wake).await })
        };
        let mut last = None;
        loop {
            let line = tokio::select! {
                line = woken.recv() => line,
                () = say.closed() => None,
            };
            let Some(mut line) = line else { break };
            // Several things at once are one look.
            while let Ok(newer) = woken.try_recv() {
                line = newer;
            }
            if self.is_at_work() {
                // The same drift afterwards is another one.
                last = None;
                continue;
            }
            let drift = self.judged(&line).await;
            // A run may have begun meanwhile: what was seen may be its doing.
            if self.is_at_work() || last.as_ref() == Some(&drift) {
                continue;
            }
            last = Some(drift.clone());
            if say.send(drift).await.is_err() {
                break;
            }
        }
        watching.abort();
    }

    async fn judged(&self, line: &Line) -> Drift {
        if line.happening != "looked" {
            let why = line.why.clone().unwrap_or_else(|| "the manifest is invalid".into());
            return Drift::Unknown(crate::text::plain(&why));
        }
        match self.plan_drift("drift").await {
            Ok(Planned::Plan(plan)) if plan.empty => Drift::Settled,
            Ok(Planned::Plan(plan)) => Drift::Drifted(plan),
            Ok(Planned::Findings(_)) => Drift::Unknown("the manifest is invalid".into()),
            Ok(Planned::Unable(why)) | Err(why) => Drift::Unknown(why),
        }
    }

    async fn keep_watching(&self, wake: &mpsc::Sender<Line>) {
        let mut pause = PAUSES.0;
        loop {
            let every = format!("--every={}s", self.watch_every.as_secs().max(1));
            let mut asked = args(["watch", "--policy", "report", "--log-format", "json"]);
            asked.push(every.into());
            match self.stay(&asked) {
                Ok(mut child) => {
                    drop(child.stderr.take().map(|talk| tokio::spawn(sink(talk))));
                    let mut well = false;
                    lines(child.stdout.take(), &mut |text| {
                        if let Ok(line) = serde_json::from_str::<Line>(text)
                            && matches!(line.happening.as_str(), "looked" | "look_failed" | "bad_manifest")
                        {
                            well |= line.happening == "looked";
                            // One that waits already makes us look as well.
                            let _ = wake.try_send(line);
                        }
                    })
                    .await;
                    let _ = child.wait().await;
                    if well {
                        pause = PAUSES.0;
                    }
                }
                Err(why) => {
                    let _ = wake.try_send(Line { happening: "look_failed".into(), why: Some(why) });
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }
}

async fn sink(mut from: impl tokio::io::AsyncRead + Unpin) {
    let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
}

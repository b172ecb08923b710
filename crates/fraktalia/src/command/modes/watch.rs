//! Stays, and looks again. An event says only that there may be something to do: it is never believed, and one that is
//! lost costs a minute at most. Over sshfs none come at all.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{Config, Event, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use super::{Sum, Workspace, closing, complaint};
use crate::app::App;
use crate::error::Failure;
use crate::exit::Exit;
use crate::out;

/// Without any event, it is looked again after this long.
const SLOW: Duration = Duration::from_mins(1);
/// After a round we wait for so long at least, so that many events are one round.
const REST: Duration = Duration::from_millis(250);
/// A round may take this part of the time, however many events somebody makes.
const SHARE: u32 = 10;

/// Looks again and again, until it is asked to end.
pub async fn run(app: &App, mut workspaces: Vec<Workspace>) -> Result<Exit, Failure> {
    let signals = |what| Failure::Environment {
        what: format!("cannot listen for signals: {what}"),
        hint: "the process may have too few files: see `ulimit -n`".into(),
    };
    let mut term = signal(SignalKind::terminate()).map_err(signals)?;
    let mut int = signal(SignalKind::interrupt()).map_err(signals)?;
    let wake = Arc::new(Notify::new());
    let mut watcher = Watcher::new(&wake);
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    let mut last = Sum::default();
    loop {
        for workspace in &workspaces {
            watcher.follow(app, &workspace.path);
        }
        let began = Instant::now();
        let (sum, page) = tokio::task::block_in_place(|| round(app, &mut workspaces));
        // A service that repeats the same complaint every minute is one that nobody reads.
        if sum.complaints != last.complaints {
            out::talk(&sum.complaints);
        }
        last = sum;
        if out::data(&page)? == out::Reader::Gone {
            return Ok(Exit::OK);
        }
        let rest = REST.max(began.elapsed() * SHARE);
        let next = async {
            tokio::time::sleep(rest).await;
            let _ = tokio::time::timeout(SLOW, wake.notified()).await;
        };
        tokio::select! {
            () = next => {}
            _ = term.recv() => break,
            _ = int.recv() => break,
        }
    }
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    Ok(if last.failed { Exit::OBSERVE } else { Exit::OK })
}

fn round(app: &App, workspaces: &mut [Workspace]) -> (Sum, String) {
    let (mut sum, mut page) = (Sum::default(), String::new());
    for workspace in workspaces {
        sum.add(app, workspace, &mut page);
    }
    if sum.widened > 0 {
        closing(app, &sum, &mut page);
    }
    (sum, page)
}

/// The events of all workspaces; none, where the kernel gives us none.
struct Watcher {
    inner: Option<RecommendedWatcher>,
    why_not: Option<String>,
    /// Path, device and inode.
    followed: Vec<(PathBuf, (u64, u64))>,
}

impl Watcher {
    fn new(wake: &Arc<Notify>) -> Self {
        let wake = Arc::clone(wake);
        let heard = move |event: notify::Result<Event>| {
            if event.map_or(true, |event| is_change(event.kind)) {
                wake.notify_one();
            }
        };
        // Links lead out of the workspace: nothing there is ours to widen.
        let config = Config::default().with_follow_symlinks(false);
        let (inner, why_not) = match RecommendedWatcher::new(heard, config) {
            Ok(inner) => (Some(inner), None),
            Err(error) => (None, Some(error.to_string())),
        };
        Self { inner, why_not, followed: Vec::new() }
    }

    /// Follows a workspace, as soon as it is there.
    fn follow(&mut self, app: &App, path: &Path) {
        if let Some(why) = self.why_not.take() {
            slow(app, &why);
        }
        let Some(inner) = &mut self.inner else { return };
        let Ok(found) = std::fs::symlink_metadata(path) else { return };
        let now = (found.dev(), found.ino());
        if !found.is_dir() || self.followed.iter().any(|(old, seen)| old == path && *seen == now) {
            return;
        }
        // What was there before may be another directory.
        self.followed.retain(|(old, _)| old != path);
        self.followed.push((path.into(), now));
        if let Err(error) = inner.watch(path, RecursiveMode::Recursive) {
            slow(app, &format!("{}: {error}", path.display()));
        }
    }
}

fn slow(app: &App, why: &str) {
    let hint =
        "it is looked at once a minute all the same; `fs.inotify.max_user_watches` may be too low".into();
    out::talk(&complaint(app, &format!("changes are not seen at once: {why}"), Some(hint)));
}

/// Whether there may be a new file of 0600 now. Our own reading makes events too, and must not wake us.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(mode)) => mode == AccessMode::Write,
        EventKind::Access(_) | EventKind::Remove(_) => false,
        EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Other => true,
    }
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, MetadataKind, ModifyKind};

    use super::*;

    #[test]
    fn reading_is_no_change() {
        for kind in [AccessKind::Open(AccessMode::Any), AccessKind::Close(AccessMode::Read), AccessKind::Read]
        {
            assert!(!is_change(EventKind::Access(kind)), "{kind:?}");
        }
        assert!(is_change(EventKind::Access(AccessKind::Close(AccessMode::Write))));
        assert!(is_change(EventKind::Create(CreateKind::File)));
        assert!(is_change(EventKind::Modify(ModifyKind::Metadata(MetadataKind::Permissions))));
    }
}

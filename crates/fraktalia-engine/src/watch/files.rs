//! Hears when files change: written in place, renamed into place, removed, or a directory above them exchanged.
//!
//! What is followed is directories, since an editor that renames a new file into place leaves a watch on the old one. A
//! directory that is not there yet is followed by the nearest one above it that is.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{Config, Event, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use super::wake::Bell;
use crate::provider::ObserveError;

/// Something on disk whose change is of interest. Paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// A file or a directory itself.
    Path(PathBuf),
    /// A directory and the names in it.
    Names(PathBuf),
    /// A directory and all below it.
    Tree(PathBuf),
}

impl Target {
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Path(path) | Self::Names(path) | Self::Tree(path) => path,
        }
    }

    fn at(&self, path: PathBuf) -> Self {
        match self {
            Self::Path(_) => Self::Path(path),
            Self::Names(_) => Self::Names(path),
            Self::Tree(_) => Self::Tree(path),
        }
    }

    /// Whether a change of `path` is one of this. What is above counts: it may have been exchanged.
    fn is_touched_by(&self, path: &Path) -> bool {
        self.path().starts_with(path)
            || match self {
                Self::Path(_) => false,
                Self::Names(dir) => path.parent() == Some(dir),
                Self::Tree(dir) => path.starts_with(dir),
            }
    }
}

/// Follows targets until the watch is lost.
///
/// # Errors
/// When the kernel gives no events, or no more.
pub async fn follow(targets: BTreeSet<Target>, bell: &Bell) -> Result<(), ObserveError> {
    let events = FileEvents::new(bell)?;
    events.set(targets)?;
    bell.listening();
    events.keep_up().await
}

/// The events of a changing set of targets.
pub struct FileEvents {
    shared: Arc<Shared>,
    following: Mutex<Following>,
    bell: Bell,
}

/// Directories that never stop coming and going are left to the next event.
const MOST_LOOKS: usize = 100;

/// What the kernel was asked to tell of.
///
/// Never asked for something new while [`Shared::interest`] is held: the watcher answers from the thread on which it tells
/// of events, and that may be waiting for the interest.
struct Following {
    watcher: RecommendedWatcher,
    /// The directories that are followed, with device and inode, and whether all below is.
    dirs: BTreeMap<PathBuf, Followed>,
}

#[derive(Default)]
struct Shared {
    interest: Mutex<Interest>,
    /// Rung when a directory may have come or gone.
    moved: Notify,
}

#[derive(Default)]
struct Interest {
    /// As they were named.
    asked: BTreeSet<Target>,
    /// And as they are called once links are followed.
    all: BTreeSet<Target>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Followed {
    device: u64,
    inode: u64,
    deep: bool,
}

impl Shared {
    fn interest(&self) -> MutexGuard<'_, Interest> {
        self.interest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FileEvents {
    /// No target yet.
    ///
    /// # Errors
    /// When the kernel gives no events.
    pub fn new(bell: &Bell) -> Result<Self, ObserveError> {
        let shared = Arc::<Shared>::default();
        let (heard, ring) = (Arc::clone(&shared), bell.clone());
        let hear = move |event: notify::Result<Event>| heard.hear(event, &ring);
        // Links lead to what somebody else chose.
        let config = Config::default().with_follow_symlinks(false);
        let watcher = RecommendedWatcher::new(hear, config).map_err(|error| cannot(&error))?;
        let following = Mutex::new(Following { watcher, dirs: BTreeMap::new() });
        Ok(Self { shared, following, bell: bell.clone() })
    }

    /// Other targets from now on.
    ///
    /// # Errors
    /// When a directory cannot be followed.
    pub fn set(&self, targets: BTreeSet<Target>) -> Result<(), ObserveError> {
        self.shared.interest().asked = targets;
        self.arm().map(drop)
    }

    /// Follows directories that come and go; ends only when the kernel gives no more events.
    ///
    /// # Errors
    /// When a directory cannot be followed.
    pub async fn keep_up(&self) -> Result<(), ObserveError> {
        loop {
            self.shared.moved.notified().await;
            // What came into a new directory before it was followed made no event.
            if self.arm()? {
                self.bell.ring("a directory was exchanged");
            }
        }
    }

    /// Follows what is to be followed. Whether something was new.
    fn arm(&self) -> Result<bool, ObserveError> {
        let mut following = self.following.lock().unwrap_or_else(PoisonError::into_inner);
        let mut new = false;
        // What came into a directory before it was followed made no event: whenever one is new, there is another look.
        for _ in 0..MOST_LOOKS {
            let wanted = {
                let mut interest = self.shared.interest();
                interest.all = with_links(&interest.asked);
                directories(&interest.all)
            };
            following.leave_all_but(&wanted);
            if !following.follow(wanted)? {
                break;
            }
            new = true;
        }
        Ok(new)
    }
}

impl Following {
    fn leave_all_but(&mut self, wanted: &BTreeMap<PathBuf, Followed>) {
        let Self { watcher, dirs } = self;
        dirs.retain(|path, followed| {
            let stays = wanted.get(path) == Some(followed);
            if !stays {
                // The kernel may have let go of it by itself.
                let _ = watcher.unwatch(path);
            }
            stays
        });
    }

    /// Whether something was new.
    fn follow(&mut self, wanted: BTreeMap<PathBuf, Followed>) -> Result<bool, ObserveError> {
        let mut new = false;
        for (path, followed) in wanted {
            if self.dirs.contains_key(&path) {
                continue;
            }
            let mode = if followed.deep { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
            match self.watcher.watch(&path, mode) {
                Ok(()) => {
                    self.dirs.insert(path, followed);
                    new = true;
                }
                // It went meanwhile, which makes an event above it.
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(cannot(&error)),
            }
        }
        Ok(new)
    }
}

impl Shared {
    fn hear(&self, event: notify::Result<Event>, bell: &Bell) {
        let event = match event {
            Ok(event) if is_change(event.kind) || event.need_rescan() => event,
            Ok(_) => return,
            Err(_) => return self.lost(bell),
        };
        if event.need_rescan() || event.paths.is_empty() {
            return self.lost(bell);
        }
        let interest = self.interest();
        let touched = |path: &&PathBuf| interest.all.iter().any(|target| target.is_touched_by(path));
        let Some(path) = event.paths.iter().find(touched) else { return };
        // The name alone: it says enough, and paths are long.
        bell.ring(path.file_name().map_or_else(String::new, |name| changed(&name.to_string_lossy())));
        if !is_content(event.kind) {
            self.moved.notify_one();
        }
    }

    /// Events were lost: whatever was followed may have changed.
    fn lost(&self, bell: &Bell) {
        bell.ring("events were lost");
        self.moved.notify_one();
    }
}

fn changed(name: &str) -> String {
    format!("{} changed", name.escape_debug())
}

/// Each target, and what it is called when links on the way to it are followed.
fn with_links(asked: &BTreeSet<Target>) -> BTreeSet<Target> {
    let mut all = asked.clone();
    for target in asked {
        for above in target.path().ancestors() {
            let is_link = std::fs::symlink_metadata(above).is_ok_and(|found| found.is_symlink());
            // The link itself may come to say something else.
            if is_link {
                all.insert(Target::Path(above.to_path_buf()));
            }
        }
        if let Ok(real) = std::fs::canonicalize(target.path()) {
            all.insert(target.at(real));
        }
    }
    all
}

/// The directories that have to be followed to hear of all targets.
fn directories(targets: &BTreeSet<Target>) -> BTreeMap<PathBuf, Followed> {
    let mut wanted: BTreeMap<PathBuf, Followed> = BTreeMap::new();
    let mut want = |path: &Path, deep: bool| {
        let Some((path, found)) = nearest(path) else { return };
        let entry = Followed { device: found.dev(), inode: found.ino(), deep };
        wanted.entry(path).and_modify(|old| old.deep |= deep).or_insert(entry);
    };
    for target in targets {
        want(target.path().parent().unwrap_or(Path::new("/")), false);
        match target {
            Target::Names(dir) => want(dir, false),
            Target::Tree(dir) if dir.is_dir() => want(dir, true),
            Target::Path(_) | Target::Tree(_) => {}
        }
    }
    wanted
}

/// The directory, or the nearest one above it that is there.
fn nearest(path: &Path) -> Option<(PathBuf, std::fs::Metadata)> {
    path.ancestors().find_map(|above| {
        let found = std::fs::metadata(above).ok().filter(std::fs::Metadata::is_dir)?;
        Some((above.to_path_buf(), found))
    })
}

/// Our own reading makes events too, and must not wake us.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(mode)) => mode == AccessMode::Write,
        EventKind::Access(_) => false,
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    }
}

/// Whether only what stands in a file has changed, so that no directory can have come or gone.
fn is_content(kind: EventKind) -> bool {
    matches!(kind, EventKind::Access(_) | EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Metadata(_)))
}

fn is_absent(error: &notify::Error) -> bool {
    match &error.kind {
        notify::ErrorKind::PathNotFound => true,
        notify::ErrorKind::Io(error) => error.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

fn cannot(error: &notify::Error) -> ObserveError {
    ObserveError::new(format!("changes of files cannot be heard: {error}")).with_hint(
        "`fs.inotify.max_user_watches` or `fs.inotify.max_user_instances` may be too low: see `sysctl`",
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::super::wake::{Ears, bell};
    use super::*;

    const QUIET: Duration = Duration::from_millis(50);

    struct Followed {
        dir: tempfile::TempDir,
        ears: Ears,
        task: tokio::task::JoinHandle<()>,
    }

    impl Drop for Followed {
        fn drop(&mut self) {
            self.task.abort();
        }
    }

    /// Follows what `targets` names in a folder that `make` has filled.
    async fn following(make: impl Fn(&Path), targets: impl Fn(&Path) -> Vec<Target>) -> Followed {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path());
        let (bell, ears) = bell();
        let targets = targets(dir.path()).into_iter().collect();
        let ready = Arc::new(Notify::new());
        let told = Arc::clone(&ready);
        let bell = bell.of("files").with_hearing(move || told.notify_one());
        let task = tokio::spawn(async move {
            let ended = follow(targets, &bell).await;
            panic!("it ended: {ended:?}");
        });
        ready.notified().await;
        Followed { dir, ears, task }
    }

    impl Followed {
        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        /// What woke us; waits for ever when nothing does.
        async fn heard(&mut self) -> String {
            let wake = self.ears.next(QUIET, Duration::from_secs(1)).await;
            wake.causes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        }
    }

    fn one(dir: &Path) -> Vec<Target> {
        vec![Target::Path(dir.join("in/file"))]
    }

    fn with_file(dir: &Path) {
        fs::create_dir(dir.join("in")).unwrap();
        fs::write(dir.join("in/file"), "old").unwrap();
    }

    /// The watcher tells of events on the thread on which it also takes orders: each has to be free of the other.
    #[test]
    fn what_comes_and_goes_while_other_targets_are_followed_blocks_nobody() {
        let dir = tempfile::tempdir().unwrap();
        with_file(dir.path());
        let (bell, _ears) = bell();
        let events = FileEvents::new(&bell.of("files")).unwrap();
        let (one, all) = (one(dir.path()), vec![Target::Tree(dir.path().join("in"))]);
        let (came, stop) = (dir.path().join("in/came"), std::sync::atomic::AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    fs::create_dir(&came).unwrap();
                    fs::write(dir.path().join("in/file"), "new").unwrap();
                    fs::remove_dir(&came).unwrap();
                }
            });
            for targets in [&one, &all].into_iter().cycle().take(400) {
                events.set(targets.iter().cloned().collect()).unwrap();
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    }

    #[tokio::test]
    async fn a_file_is_heard_when_it_is_written_exchanged_removed_and_made_anew() {
        let mut files = following(with_file, one).await;
        fs::write(files.path("in/file"), "new").unwrap();
        assert_eq!(files.heard().await, "files: file changed");
        for round in 0..3 {
            fs::write(files.path("in/.file.swp"), format!("{round}")).unwrap();
            fs::rename(files.path("in/.file.swp"), files.path("in/file")).unwrap();
            assert_eq!(files.heard().await, "files: file changed");
        }
        fs::remove_file(files.path("in/file")).unwrap();
        assert_eq!(files.heard().await, "files: file changed");
        fs::write(files.path("in/file"), "again").unwrap();
        assert_eq!(files.heard().await, "files: file changed");
    }

    #[tokio::test]
    async fn a_neighbour_is_not_heard_and_reading_is_not_either() {
        let mut files = following(with_file, one).await;
        fs::write(files.path("in/other"), "x").unwrap();
        fs::read(files.path("in/file")).unwrap();
        // Events come in order: the first thing that is heard is the write after them.
        fs::write(files.path("in/file"), "new").unwrap();
        let wake = files.ears.next(QUIET, Duration::from_secs(1)).await;
        assert_eq!(wake.causes.len(), 1, "{wake:?}");
        assert!(wake.causes.first().unwrap().what.starts_with("file "), "{wake:?}");
    }

    #[tokio::test]
    async fn a_directory_that_comes_later_or_is_exchanged_is_followed() {
        let mut files = following(|_| {}, one).await;
        with_file(files.dir.path());
        files.heard().await;
        fs::rename(files.path("in"), files.path("out")).unwrap();
        files.heard().await;
        with_file(files.dir.path());
        files.heard().await;
        fs::write(files.path("in/file"), "in the new one").unwrap();
        assert_eq!(files.heard().await, "files: file changed");
    }

    #[tokio::test]
    async fn a_link_is_heard_when_it_leads_elsewhere_and_what_it_leads_to_when_it_changes() {
        let make = |dir: &Path| {
            for release in ["one", "two"] {
                fs::create_dir(dir.join(release)).unwrap();
                fs::write(dir.join(release).join("file"), release).unwrap();
            }
            std::os::unix::fs::symlink("one", dir.join("in")).unwrap();
        };
        let mut files = following(make, one).await;
        fs::write(files.path("one/file"), "changed").unwrap();
        assert_eq!(files.heard().await, "files: file changed");
        std::os::unix::fs::symlink("two", files.path("next")).unwrap();
        fs::rename(files.path("next"), files.path("in")).unwrap();
        files.heard().await;
        fs::write(files.path("two/file"), "changed").unwrap();
        assert!(files.heard().await.contains("file changed"));
    }

    #[tokio::test]
    async fn names_come_and_go_and_a_tree_is_followed_to_its_leaves() {
        let make = |dir: &Path| {
            fs::create_dir(dir.join("more")).unwrap();
            fs::create_dir_all(dir.join("image/bin")).unwrap();
        };
        let targets = |dir: &Path| vec![Target::Names(dir.join("more")), Target::Tree(dir.join("image"))];
        let mut files = following(make, targets).await;
        fs::write(files.path("more/b.yaml"), "").unwrap();
        assert_eq!(files.heard().await, "files: b.yaml changed");
        fs::write(files.path("image/bin/run"), "").unwrap();
        assert_eq!(files.heard().await, "files: run changed");
    }
}

//! How often the file is written: a count, which is the same on every machine.

mod support;

use std::mem::MaybeUninit;

use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use rustix::io::Errno;
use support::{World, both};

#[tokio::test]
async fn an_apply_writes_the_file_once_however_much_changes_in_it() {
    for (_, file) in both() {
        let mut world = World::new(file);
        for index in 0..50 {
            world.fractal(&format!("f{index}"));
        }
        let watch = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).expect("a watch");
        let changes = WatchFlags::MOVED_TO | WatchFlags::MODIFY;
        inotify::add_watch(&watch, world.dir.path(), changes).expect("a watch");
        world.applied().await;
        assert_eq!(changes_of(&watch, "openclaw.json"), 1);
    }
}

/// How often a file of this name was put in its place or written.
fn changes_of(watch: &rustix::fd::OwnedFd, name: &str) -> usize {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut events = Reader::new(watch, &mut buffer);
    let mut count = 0;
    loop {
        match events.next() {
            Ok(event) => {
                count +=
                    usize::from(event.file_name().is_some_and(|found| found.to_bytes() == name.as_bytes()));
            }
            Err(Errno::AGAIN) => return count,
            Err(error) => panic!("{error}"),
        }
    }
}

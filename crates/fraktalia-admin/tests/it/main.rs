//! The admin room on real systems: a homeserver, encrypted rooms, devices of people and agents, git, and the two built
//! programs.

mod api;
mod guide;
mod kills;
mod misuse;
mod scene;
mod story;

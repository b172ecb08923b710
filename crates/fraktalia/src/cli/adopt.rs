//! `adopt`: what is taken over, and whether it is written.

use clap::{Args, ValueEnum};

/// What `adopt --help` says at its end.
pub(super) const HELP: &str = "Examples:
  fraktalia adopt                          what lives and is not in the manifest, and what would be written
  fraktalia adopt --format yaml            the same as YAML
  fraktalia adopt --write                  adds it to the manifest
  fraktalia adopt mox --write              one agent with its room
  fraktalia adopt matrix/room/lounge       what is live is right: the manifest says what the room is like

It reads everything, and changes nothing live. Before anything is written, a plan with the new manifest is made: what
would change anything is left out and named with its reason. The manifest keeps its comments, its order and its layout,
and what it was before is kept beside our own files. The next `apply` leaves our marker in the rooms, after asking.

A thing that plan shows as drifted, or as being in the way, is taken over by its id: the manifest then says what lives.";

/// `adopt`
#[derive(Debug, Args)]
pub struct AdoptArgs {
    /// Only these: resource ids such as `matrix/room/lab`, or keys of fractals, rooms and users. Default: everything.
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
    /// Write the manifest.
    #[arg(short, long)]
    pub write: bool,
    /// Take over rooms too that our own user is not in. `apply` then enters them, which people in them see.
    #[arg(long)]
    pub enter: bool,
    /// Take over rooms too that carry the marker of this other realm.
    #[arg(long, value_name = "REALM")]
    pub from_realm: Option<String>,
    /// Shape of what is said.
    #[arg(long, value_enum, default_value_t)]
    pub format: AdoptFormat,
}

/// Shapes of what is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum AdoptFormat {
    /// For people.
    #[default]
    Text,
    /// As it goes into a manifest.
    Yaml,
    /// For programs.
    Json,
}

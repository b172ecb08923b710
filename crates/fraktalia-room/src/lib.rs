//! The encrypted room of the desk: a Matrix client of its own that hears what happens there, and says what it is told to.
//!
//! [`Room::enter`] gets a device and a place in the room, [`Room::listen`] turns events into [`What`], [`Room::say`] and
//! [`Room::edit`] do what the desk wants said. Nothing is decided here.
//!
//! # Nothing is lost
//! The caller keeps the position: a [`Batch`] carries the one to begin with when its events are on disk. Whoever is killed
//! before that hears the same events again; the desk counts an event once. Events are read from that position on and in
//! their order, however many there are. A message whose key is missing is kept by its id in the folder and tried again for
//! [`Settings::keys_within`]; then it is reported as [`Unread`].
//!
//! # Who is vouched for
//! Joined is who is a member now. Vouched for is:
//!
//! | room | event | identity of its sender | vouched |
//! |---|---|---|---|
//! | not encrypted | in clear | any | yes, on the homeserver's word |
//! | encrypted | message or edit in clear | any | no |
//! | encrypted | reaction or redaction in clear (clients always send them so) | none, or unchanged | yes, on the homeserver's word |
//! | encrypted | reaction or redaction in clear | changed since it was first seen, not trusted yet | no |
//! | any | encrypted, by a verified device | any but changed | yes |
//! | any | encrypted, by a device that its owner's identity has signed | unchanged | yes |
//! | any | encrypted, by a device that is not signed | none: such a user cannot sign any | yes |
//! | any | encrypted, by a device that is not signed | there is one | no |
//! | any | encrypted, anything | changed, or its verification is violated | no |
//! | any | encrypted, device unknown or key from an insecure source | any | no |
//! | any | encrypted, by a device of somebody else | any | no |
//!
//! "Changed" ends with [`Room::trust`]. A room whose encryption is not known counts as encrypted. What only the homeserver
//! may say (that somebody left, that an event was redacted) is taken from events in clear: inside of an encrypted event it
//! is a forgery and skipped. Our own events are passed on like any other.
//!
//! # Who can read what is said
//! Keys go to all devices of the members, signed or not (`CollectStrategy::AllDevices`): the bots of OpenClaw may have no
//! cross-signing, and would read nothing otherwise. In a room whose history is visible to `joined` only, members are those
//! who joined; in others those who are invited get keys as well, since they may read what was said before they joined.

mod attachment;
mod error;
mod files;
mod listen;
mod read;
mod room;
mod say;
mod server;
mod session;
#[cfg(feature = "testing")]
pub mod testing;
mod vouch;
mod waiting;

pub use error::RoomError;
pub use listen::{Batch, Listening, Unread, Why};
pub use room::{Room, Settings};

#[cfg(doc)]
use fraktalia_desk::What;

//! The nftables table that closes the networks of sandboxes.
//!
//! - [`ruleset`]: what the table says, as the text of one transaction; a pure function of [`Rules`]
//! - [`Nft`]: gives such a text to the kernel, and reads back what is there
//! - [`drift`]: whether what is there is what was given
//! - [`Guard`]: holds a table, and heals it when somebody else changes it
//! - [`Passage`]: whether the tables of others let through what ours does
//! - [`overlaps`]: which networks would share addresses

mod events;
mod guard;
mod listing;
mod nft;
mod passage;
mod rules;
mod text;

pub use guard::{Guard, GuardError};
pub use listing::{BadListing, Drift, Loaded, drift};
pub use nft::{Nft, NftError};
pub use passage::Passage;
pub use rules::{BRIDGE_PREFIX, BadRules, Dnat, Rules, Ruleset, Table, check_bridge, overlaps, ruleset};

//! What a manifest may say already, and this version cannot do yet. Nothing in a manifest is silently ignored.

use fraktalia_model::{Manifest, Note, Notes};

/// A note on each part of the manifest that no system takes on: an error where a plan would need it.
pub fn not_yet(manifest: &Manifest) -> Notes {
    let admin_room = manifest.admin_room.iter().map(|room| {
        Note::warning(
            "admin-room.not-yet",
            "the admin room is checked, but this version of fraktalia does not listen in it",
        )
        .at(&room.at)
        .hint("proposals in it are not answered")
    });
    admin_room.collect()
}

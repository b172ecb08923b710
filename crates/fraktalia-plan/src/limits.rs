//! What a manifest may say already, and this version cannot do yet. Nothing in a manifest is silently ignored.

use fraktalia_model::{Manifest, Note, Notes};

/// A note on each part of the manifest that no system takes on: an error where a plan would need it.
pub fn not_yet(manifest: &Manifest) -> Notes {
    let forwards = manifest.forwards.iter().map(|forward| {
        Note::error(
            "forwards.not-yet",
            format!(
                "port {} is to be forwarded, which this version of fraktalia cannot do",
                forward.host_port
            ),
        )
        .at(&forward.at)
        .hint("leave the forward out for now: everything else of the fractal works without it")
    });
    let admin_room = manifest.admin_room.iter().map(|room| {
        Note::warning(
            "admin-room.not-yet",
            "the admin room is checked, but this version of fraktalia does not listen in it",
        )
        .at(&room.at)
        .hint("proposals in it are not answered")
    });
    forwards.chain(admin_room).collect()
}

//! What reading a manifest and lowering it to resources takes grows as the manifest does: by a count of allocations, which
//! is the same on every machine.

use std::fmt::Write as _;

/// Bound rooms, members, bot names, sandboxes on one network, forwards, own accounts: all that one thing asks of another.
fn manifest(fractals: usize) -> String {
    let mut text = String::from(
        "version: 1\nrealm: home\n\
         matrix:\n  homeserver: http://127.0.0.1:8008\n  server_name: chat.home\n  admin_token: { env: TOKEN }\n  \
         bot: \"@agent:chat.home\"\n\
         openclaw: { config: openclaw.json, catch_all: felix, workspaces: workspaces }\n\
         networks: { garden: {} }\n\
         sandboxes:\n  standard: { image: { tag: \"sandbox:latest\" }, network: garden }\n\
         policy: { forward_ports: 2000-60000 }\n\
         users: { ana: {}, ben: {} }\nfractals:\n",
    );
    for number in 0..fractals {
        let account = if number % 4 == 0 { "own" } else { "shared" };
        let port = 2000 + number;
        let _ = writeln!(
            text,
            "  f{number}:\n    members: [ana, ben]\n    sandbox: standard\n    account: {account}\n    forwards: [{port}]"
        );
    }
    text
}

fn allocations(fractals: usize) -> u64 {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("fraktalia.yaml");
    std::fs::write(&path, manifest(fractals)).expect("a manifest");
    let measured = allocation_counter::measure(|| {
        let loaded = fraktalia_engine::load::load(&path);
        let manifest = loaded.manifest.unwrap_or_else(|| panic!("{:?}", loaded.notes));
        drop(fraktalia::registry::findings(&manifest));
    });
    measured.count_total
}

#[test]
fn ten_times_the_fractals_take_ten_times_the_allocations() {
    let (few, many) = (allocations(100), allocations(1_000));
    assert!(many <= 11 * few, "not linear: {few} allocations for 100 fractals, {many} for 1,000");
}

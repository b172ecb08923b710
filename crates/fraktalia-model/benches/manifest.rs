//! How long it takes to read, check and complete a manifest.

use std::fmt::Write as _;
use std::path::Path;

use divan::Bencher;
use fraktalia_model::files::MemoryFiles;
use fraktalia_model::manifest;

fn main() {
    divan::main();
}

/// Without optimisation only whether it runs is of interest.
fn sizes() -> &'static [usize] {
    if cfg!(debug_assertions) { &[10] } else { &[100, 1_000, 10_000] }
}

fn text(fractals: usize) -> String {
    let mut text = String::from(
        "version: 1\nrealm: home\nmatrix:\n  homeserver: http://127.0.0.1:8008\n  server_name: chat.home\n  admin_token: { env: TOKEN }\n  \
         bot: \"@agent:chat.home\"\nopenclaw: { config: /srv/openclaw.json, workspaces: /srv/agents }\nusers: { ana: {}, ben: {} }\nfractals:\n",
    );
    for index in 0..fractals {
        let _ = writeln!(
            text,
            "  f{index:05}:\n    purpose: Looks after number {index}.\n    members: [ana, ben]\n    model: anthropic/claude-sonnet-4-5\n    \
             workspace:\n      files:\n        USER.md: {{ content: \"Ana and Ben.\", keep: sync }}"
        );
    }
    text
}

#[divan::bench(args = sizes(), sample_count = 10, sample_size = 1)]
fn read(bencher: Bencher<'_, '_>, fractals: usize) {
    let files = MemoryFiles::new().with("/home/fraktalia.yaml", text(fractals));
    bencher.bench_local(|| {
        let loaded = manifest::load(Path::new("/home/fraktalia.yaml"), &files);
        assert!(loaded.manifest.is_some(), "{:?}", loaded.notes);
        loaded
    });
}

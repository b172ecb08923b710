//! The modes of what an agent writes: by OpenClaw's own write tool, through a real gateway, in a real sandbox; with what
//! the sandbox image brings for it and without.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use fraktalia_testkit::real::docker::{BUSYBOX, docker};
use fraktalia_testkit::real::{Cache, Docker, Person};
use fraktalia_tests::{PASSWORD, Stage, With};
use serde_json::json;

const LIMIT: Duration = Duration::from_mins(3);
/// What a shell makes: a file as any command does, and one by way of mktemp; by its path, since the shell of busybox takes
/// its own before any in PATH.
const SHELL: &str = "echo x > shell.md; m=/usr/local/bin/mktemp; [ -x $m ] || m=/usr/bin/mktemp; \
    f=$($m draft.XXXXXX); mv $f draft.md; ls -l";

const WISHES: &str = r#"users:
  ana: { display_name: Ana, password: { file: secrets/password } }
  ben: {}
sandboxes:
  shimmed: { image: { tag: "fraktalia-test/modes:shimmed" }, user: "996:1100", workspace_access: rw }
  plain: { image: { tag: "fraktalia-test/modes:plain" }, user: "996:1100", workspace_access: rw }
fractals:
  careful:
    members: [ana, ben]
    sandbox: shimmed
    workspace: { owner: "996:1100" }
  careless:
    members: [ana, ben]
    sandbox: plain
    workspace: { owner: "996:1100" }
"#;

/// A sandbox with a shell and this machine's Python; `shims`: and what docker/sandbox puts into an image.
async fn image(stage: &Stage, tag: &str, shims: bool) {
    let context = stage.path(tag);
    let script = r#"
        set -e
        python=$(readlink -f /usr/bin/python3)
        version=$(basename "$python")
        mkdir -p "$0/root/usr/bin" "$0/root/usr/lib/$version" "$0/root/usr/lib/python3/dist-packages" "$0/root/etc"
        cp "$python" "$0/root/usr/bin/python3"
        tar -C "/usr/lib/$version" --exclude=test --exclude=__pycache__ --exclude=sitecustomize.py -cf - . \
            | tar -C "$0/root/usr/lib/$version" -xf -
        { ldd "$python"; ldd "/usr/lib/$version"/lib-dynload/*.so; } | grep -v ':$' | grep -o '/[^ ]*\.so[^ ]*' | sort -u \
            | while read -r library; do cp -L --parents "$library" "$0/root"; done
        printf 'root:x:0:0::/root:/bin/sh\nagent:x:996:1100::/workspace:/bin/sh\n' > "$0/root/etc/passwd"
        ln -s /bin/busybox "$0/root/usr/bin/mktemp"
        if [ -n "$1" ]; then
            cp "$1/write_modes.py" "$1/write_modes.pth" "$0/root/usr/lib/python3/dist-packages/"
            mkdir -p "$0/root/etc/profile.d" "$0/root/usr/local/bin"
            cp "$1/umask.sh" "$0/root/etc/profile.d/"
            cp "$1/mktemp" "$0/root/usr/local/bin/mktemp"
            chmod 0755 "$0/root/usr/local/bin/mktemp"
            echo 'for file in /etc/profile.d/*.sh; do . "$file"; done' > "$0/root/etc/profile"
        fi
        printf 'FROM %s\nCOPY root/ /\n' "$2" > "$0/Dockerfile"
    "#;
    let sandbox = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docker/sandbox");
    let mut make = Command::new("sh");
    make.args(["-c", script]).arg(&context);
    make.arg(if shims { sandbox } else { PathBuf::new() }).arg(BUSYBOX);
    let made = make.output().expect("a shell");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let tag = format!("fraktalia-test/modes:{tag}");
    docker(&["build", "--quiet", "--tag", &tag, &context.display().to_string()]).await.expect("is built");
}

fn mode(stage: &Stage, name: &str) -> u32 {
    let path = stage.path("workspaces").join(name);
    let found = path.metadata().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    found.permissions().mode() & 0o7777
}

async fn wait_for(file: &Path, answer: &str) {
    let until = Instant::now() + LIMIT;
    while !file.exists() {
        assert!(Instant::now() < until, "{} was never written: {answer}", file.display());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn what_the_write_tool_makes_is_readable_with_the_shims_and_after_modes_without() {
    let Some(stage) = Stage::set(With::Gateway).await else { return };
    let cache = Cache::for_test().expect("tests of real systems are wanted");
    let engine = Docker::ensure(&cache).await.expect("an engine");
    engine.base_image(&cache, BUSYBOX).await.expect("an image");
    image(&stage, "plain", false).await;
    image(&stage, "shimmed", true).await;
    stage.manifest(WISHES);
    // No other story has its helper and its table.
    stage.set_realm("modes-story");
    let model = stage.model.as_ref().expect("a model");
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
    let ana = Person::log_in(&stage.synapse.base_url(), "ana", PASSWORD).await.expect("Ana's account works");
    for fractal in ["careful", "careless"] {
        let room = stage.room(fractal).await.expect("the room exists");
        for path in ["memory/note.md", ".ssh/id_test", "plan.md", "draft.md"] {
            match path {
                "draft.md" => model.run_command_on("Write", SHELL),
                path => {
                    model.call_tool_on("Write", "write", json!({ "path": path, "content": "by the tool\n" }));
                }
            }
            // An answer may still be about the question before; the file is not.
            let answer =
                ana.ask(&room, stage.bot.user_id(), "Write, please.", LIMIT).await.expect("an answer");
            wait_for(&stage.path("workspaces").join(fractal).join(path), &answer.body).await;
        }
    }
    let modes = |fractal: &str| {
        ["memory/note.md", "plan.md", "shell.md", "draft.md", ".ssh/id_test"]
            .map(|name| format!("{:o}", mode(&stage, &format!("{fractal}/{name}"))))
    };
    assert_eq!(modes("careful"), ["664", "664", "664", "664", "600"]);
    assert_eq!(modes("careless"), ["600", "600", "644", "600", "600"]);

    let ran = stage.run(&["modes", "--as-root", "careless"]).await.expect(0);
    assert!(ran.stdout.contains("3 files made readable"), "{}", ran.stdout);
    assert_eq!(modes("careless"), ["664", "664", "644", "664", "600"]);

    let _ = stage.run(&["rollback", "--yes"]).await.expect(0);
    for tag in ["fraktalia-test/modes:plain", "fraktalia-test/modes:shimmed"] {
        let _ = docker(&["image", "rm", tag]).await;
    }
    drop(stage);
    engine.stop().await.expect("ends");
}

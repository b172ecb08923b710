//! Both shapes that `openclaw.json` can have, with the release that goes with each as the judge of what is written.

use fraktalia_testkit::real::{Cache, OpenClaw, Version};
use fraktalia_tests::{Stage, With};

const WISHES: &str = "  cli: gateway/openclaw
users: { ana: {}, ben: {} }
rooms: { lounge: { members: [ana, ben] } }
sandboxes: { plain: { mode: all, memory: 512m, cpus: 1.5, workspace_access: rw } }
fractals:
  gardener:
    purpose: Looks after the garden plan.
    model: { primary: standin/echo, fallbacks: [standin/spare] }
    members: [ana, ben]
    sandbox: plain
    openclaw: { tools: { deny: [browser] } }
  cook:
    purpose: Knows what is in the larder.
    members: [ana, ben]
    account: own
bindings:
  - { agent: gardener, room: lounge }
  - { agent: felix, direct: ana }
";

/// A file of the older shape, as somebody keeps it.
const LIST: &str = r"// The agents of the house.
{
  agents: {
    defaults: { sandbox: { mode: 'off' } },
    list: [
      { id: 'felix', default: true }, // the first
      { id: 'mox', name: 'Mox' },
    ],
  },
  bindings: [
    { agentId: 'mox', match: { channel: 'matrix', peer: { kind: 'channel', id: '!mox:chat.stage' } } },
    { agentId: 'felix', match: { channel: 'matrix' } }, // everything else
  ],
  channels: { matrix: { enabled: true, groups: { '!mox:chat.stage': { enabled: true } } } },
}
";

/// The same in the newer shape.
const ENTRIES: &str = r"// The agents of the house.
{
  agents: {
    ownership: 'explicit',
    defaults: { sandbox: { mode: 'off' } },
    entries: {
      felix: {}, // the first
      mox: { name: 'Mox' },
    },
  },
  bindings: [
    { agentId: 'mox', match: { channel: 'matrix', peer: { kind: 'channel', id: '!mox:chat.stage' } } },
    { agentId: 'felix', match: { channel: 'matrix', accountId: '*' } }, // everything else
  ],
  channels: { matrix: { enabled: true, groups: { '!mox:chat.stage': { enabled: true } } } },
}
";

/// A stage with this file, and the command line of this release beside it.
async fn stage_with(version: Version, file: &str) -> Option<(Stage, OpenClaw)> {
    let cache = Cache::for_test()?;
    let stage = Stage::set(With::FileOnly).await?;
    let openclaw = OpenClaw::new(&cache, version, &stage.path("gateway")).expect("the release is installed");
    stage.write("gateway/openclaw.json", file);
    stage.manifest(WISHES);
    Some((stage, openclaw))
}

/// Applied, valid, in sync, and back again byte by byte. Returns what stood in the file meanwhile.
async fn there_and_back(version: Version, file: &str) -> Option<String> {
    let (stage, openclaw) = stage_with(version, file).await?;
    let before = stage.world().await;
    let _ = stage.run(&["plan", "--exit-code"]).await.expect(3);
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
    let text = stage.read("gateway/openclaw.json");
    let verdict = openclaw.validate(&text).await.expect("the release can be asked");
    assert!(verdict.valid, "{version:?}: {verdict:?}\n{text}");
    let _ = stage.run(&["plan", "--exit-code"]).await.expect(0);
    // Without our own record, what is there is recognised all the same.
    std::fs::rename(stage.path("state"), stage.path("elsewhere")).expect("the state moves away");
    let again = stage.run(&["plan"]).await.expect(0);
    assert!(!again.stdout.contains("  + agent"), "{}", again.stdout);
    let _ = std::fs::remove_dir_all(stage.path("state"));
    std::fs::rename(stage.path("elsewhere"), stage.path("state")).expect("the state comes back");
    let _ = stage.run(&["rollback", "--yes"]).await.expect(0);
    assert_eq!(stage.read("gateway/openclaw.json"), file, "{version:?}");
    assert_eq!(stage.world().await, before);
    Some(text)
}

/// Where a word stands, for an order of words.
fn place(text: &str, word: &str) -> usize {
    text.find(word).unwrap_or_else(|| panic!("there is no `{word}` in\n{text}"))
}

#[tokio::test]
async fn a_file_of_the_older_shape_keeps_it_and_comes_back_byte_by_byte() {
    let Some(text) = there_and_back(Version::List, LIST).await else { return };
    assert!(text.contains("id: 'gardener'") && !text.contains("entries"), "{text}");
    assert!(place(&text, "agentId: 'gardener'") < place(&text, "// everything else"), "{text}");
}

#[tokio::test]
async fn a_file_of_the_newer_shape_keeps_it_and_comes_back_byte_by_byte() {
    let Some(text) = there_and_back(Version::Entries, ENTRIES).await else { return };
    assert!(text.contains("gardener: {") && !text.contains("list"), "{text}");
    assert!(place(&text, "agentId: 'gardener'") < place(&text, "// everything else"), "{text}");
}

#[tokio::test]
async fn the_newer_release_takes_a_file_of_the_older_shape_as_we_leave_it() {
    let Some(text) = there_and_back(Version::Entries, LIST).await else { return };
    assert!(!text.contains("entries"), "we never convert: {text}");
}

#[tokio::test]
async fn one_agent_and_no_bindings_are_enough_to_start_from() {
    for (version, file) in [
        (Version::List, "{ agents: { list: [{ id: 'felix' }] } }\n"),
        (Version::Entries, "{\n  agents: { ownership: 'explicit', entries: { felix: {} } },\n}\n"),
        (Version::Entries, r#"{"agents":{"ownership":"explicit","entries":{"felix":{}}},"bindings":[]}"#),
    ] {
        let Some(text) = there_and_back(version, file).await else { return };
        assert!(text.contains("gardener") && text.contains("bindings"), "{text}");
    }
}

#[tokio::test]
async fn what_the_release_does_not_accept_is_never_written() {
    let strange = WISHES.replace("tools: { deny: [browser] }", "wings: 2");
    // A second agent needs a word on who answers where nothing is bound, and that is not ours to say.
    let alone = "{ agents: { entries: { felix: {} } } }\n";
    for (file, wishes, word) in [(ENTRIES, strange.as_str(), "wings"), (alone, WISHES, "agents.ownership")] {
        let Some((stage, _)) = stage_with(Version::Entries, file).await else { return };
        stage.manifest(wishes);
        let before = stage.world().await;
        let ran = stage.run(&["apply", "--yes"]).await.expect(20);
        assert!(ran.stderr.contains(word), "{}", ran.stderr);
        assert_eq!(stage.read("gateway/openclaw.json"), file);
        assert_eq!(stage.world().await, before);
    }
}

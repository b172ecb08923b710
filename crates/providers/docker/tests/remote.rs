//! An engine on another host: who may talk to it, who is believed, and what happens when it is lost.
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bollard::models::ContainerCreateBody;
use common::{Engine, World, tls};
use fraktalia_docker::DockerHost;
use fraktalia_docker::client::{Client, Endpoint};
use fraktalia_docker::error::DockerError;
use fraktalia_engine::event::Event;
use fraktalia_engine::journal::Outcome;
use fraktalia_engine::session::{Options, Session};
use fraktalia_engine::{ApplyOptions, Registry, StatePaths};
use fraktalia_model::manifest::HostPaths;
use fraktalia_plan::System as _;
use fraktalia_testkit::contract::{self, Subject as _};
use fraktalia_testkit::real::execution::{Authority, ExecutionOptions, Identity};
use fraktalia_testkit::real::{Cache, Execution};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const SHORT: Duration = Duration::from_secs(3);

fn write(dir: &Path, authority: &Authority, client: &Identity) {
    std::fs::write(dir.join("ca.pem"), authority.pem()).unwrap();
    std::fs::write(dir.join("cert.pem"), &client.cert).unwrap();
    std::fs::write(dir.join("key.pem"), &client.key).unwrap();
}

async fn refused(endpoint: Endpoint) -> DockerError {
    Client::connect_within(endpoint.named("mox"), SHORT).await.unwrap_err()
}

/// For whoever answers: a busy machine must not make that late.
async fn refused_in_time(endpoint: Endpoint) -> DockerError {
    Client::connect_within(endpoint.named("mox"), Duration::from_mins(1)).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_decide_on_both_sides_who_is_talked_to() {
    if Cache::for_test().is_none() {
        return;
    }
    let host = Execution::start_with(ExecutionOptions { plain: true }).await.unwrap();
    let endpoint = || Endpoint::new(host.endpoint());
    let client = Client::connect(endpoint().with_tls(tls(host.certificates()))).await.unwrap();
    assert_eq!(client.arch(), if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" });
    client.images().await.unwrap();

    let dir = tempfile::tempdir().unwrap();
    let stranger = Authority::new("somebody else", host.there().into()).unwrap();
    // Its authority is not ours: it is not believed, though our certificate is one that it would take.
    write(dir.path(), &stranger, &host.authority().client().unwrap());
    let error = refused(endpoint().with_tls(tls(dir.path()))).await;
    assert!(matches!(error, DockerError::Untrusted { .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains("mox") && text.contains(&host.endpoint()) && text.contains("not signed by"),
        "{text}"
    );
    // We believe it, but it does not take us.
    write(dir.path(), host.authority(), &stranger.client().unwrap());
    let error = refused(endpoint().with_tls(tls(dir.path()))).await;
    assert!(matches!(error, DockerError::Unwelcome { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("--tlscacert"));
    // Without any certificate.
    let error = refused(endpoint()).await;
    assert!(error.hint().unwrap().contains("give the host `tls`"), "{error:?}");
    let ca = format!("--tlscacert={}", host.certificates().join("ca.pem").display());
    let bare = host.docker(&["--tlsverify", &ca, "-H", &host.endpoint(), "version"]).await.unwrap_err();
    assert!(bare.to_string().contains("remote error: tls"), "{bare}");
    // Where nobody asks for one, it works, and `lint` warns.
    Client::connect(host.plain_endpoint()).await.unwrap().images().await.unwrap();
}

/// A server that shows `identity` to whoever comes, and takes anybody.
async fn serving(identity: Identity) -> String {
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use tokio_rustls::rustls::{ServerConfig, crypto::aws_lc_rs::default_provider};
    let chain = vec![CertificateDer::from_pem_slice(identity.cert.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    format!("tcp://{address}")
}

#[tokio::test]
async fn a_certificate_that_is_expired_or_of_another_host_is_named_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new("ours", "127.0.0.1".parse().unwrap()).unwrap();
    write(dir.path(), &authority, &authority.client().unwrap());
    let other = authority.server_at("10.9.9.9".parse().unwrap()).unwrap();
    for (identity, expected) in [(authority.expired_server().unwrap(), "expired"), (other, "another name")] {
        let url = serving(identity).await;
        let error = refused(Endpoint::new(url).with_tls(tls(dir.path()))).await;
        assert!(matches!(error, DockerError::Untrusted { .. }), "{error:?}");
        assert!(error.to_string().contains(expected) && error.hint().is_some(), "{error}");
    }
}

#[tokio::test]
async fn a_certificate_of_ours_that_cannot_be_used_is_named_with_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let files = || tls(dir.path());
    let endpoint = || Endpoint::new("tcp://127.0.0.1:1").with_tls(files());
    let error = refused(endpoint()).await.to_string();
    assert!(error.contains("ca.pem cannot be read"), "{error}");
    let authority = Authority::new("ours", "127.0.0.1".parse().unwrap()).unwrap();
    let (one, other) = (authority.client().unwrap(), authority.client().unwrap());
    write(dir.path(), &authority, &Identity { cert: one.cert.clone(), key: other.key });
    let error = refused(endpoint()).await.to_string();
    assert!(error.contains("key.pem does not fit"), "{error}");
    write(dir.path(), &authority, &Identity { cert: "hello".into(), key: one.key });
    let error = refused(endpoint()).await.to_string();
    assert!(error.contains("cert.pem holds no certificate"), "{error}");
}

/// A server that answers every connection in the same way.
async fn answering<F>(answer: impl Fn(tokio::net::TcpStream) -> F + Send + 'static) -> String
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    format!("tcp://{address}")
}

const ENGINE: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 39\r\n\r\n\
                      {\"ApiVersion\":\"1.41\",\"Arch\":\"amd64\"  }\n";

#[tokio::test]
async fn a_host_that_is_down_silent_or_talks_nonsense_is_told_apart() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = refused(Endpoint::new(format!("tcp://{closed}"))).await;
    assert!(matches!(error, DockerError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("(host mox)") && error.hint().is_some(), "{error}");
    let nowhere = refused(Endpoint::new("tcp://no-such-host.invalid:2375")).await;
    assert!(matches!(nowhere, DockerError::Unreachable { .. }), "{nowhere:?}");

    let silent = answering(|stream| async move {
        let _held = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let error = refused(Endpoint::new(&*silent)).await;
    assert!(matches!(error, DockerError::Late { .. }), "{error:?}");
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new("ours", "127.0.0.1".parse().unwrap()).unwrap();
    write(dir.path(), &authority, &authority.client().unwrap());
    let error = refused(Endpoint::new(&*silent).with_tls(tls(dir.path()))).await;
    assert!(matches!(error, DockerError::Unreachable { .. }), "{error:?}");

    let nonsense = answering(|mut stream| async move {
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await;
        let _ = stream.read(&mut [0; 64]).await;
    })
    .await;
    let error = refused_in_time(Endpoint::new(&*nonsense)).await;
    assert!(matches!(error, DockerError::Lost { .. }), "{error:?}");
    let error = refused_in_time(Endpoint::new(&*nonsense).with_tls(tls(dir.path()))).await;
    assert!(error.to_string().contains("not TLS"), "{error:?}");
}

/// Answers the first request as an engine would, and the others with `rest` without an end.
async fn endless(head: &'static str, rest: &'static [u8]) -> Endpoint {
    let url = answering(move |mut stream| async move {
        let mut asked = [0; 4096];
        for answer in [ENGINE, head] {
            if stream.read(&mut asked).await.is_ok_and(|read| read > 0) {
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        }
        let rest = rest.repeat(1024);
        while stream.write_all(&rest).await.is_ok() {}
    })
    .await;
    Endpoint::new(url)
}

#[tokio::test]
async fn an_answer_without_an_end_is_cut_off() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[\"";
    let client = Client::connect(endless(head, b"aaaa").await).await.unwrap();
    let error = client.images().await.unwrap_err();
    assert!(error.to_string().contains("larger than 32 MB"), "{error}");
    // Headers without an end are none either.
    let client = Client::connect(endless("HTTP/1.1 200 OK\r\n", b"X-A: b\r\n").await).await.unwrap();
    let error = client.images().await.unwrap_err();
    assert!(matches!(error, DockerError::Lost { .. }), "{error:?}");
    // The words of a refusal are shown, but not all of them, and none that colour a terminal.
    let head = "HTTP/1.1 500 Oh\r\nContent-Length: 100000\r\n\r\n\u{1b}[31mred\u{1b}[0m ";
    let client = Client::connect(endless(head, b"word ").await).await.unwrap();
    let error = client.images().await.unwrap_err().to_string();
    assert!(error.contains("red word") && !error.contains('\u{1b}') && error.len() < 3000, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_serves_many_calls() {
    let Some(engine) = Engine::remote().await else { return };
    let Engine::Remote(host) = &engine else { unreachable!() };
    let client = Client::connect(engine.endpoint()).await.unwrap();
    for _ in 0..20 {
        client.networks().await.unwrap();
    }
    assert_eq!(connections_to(host).await, 1, "twenty calls, one connection");
    // Many at once share a few.
    futures_util::future::try_join_all((0..50).map(|_| client.networks())).await.unwrap();
    let few = connections_to(host).await;
    assert!(few <= 4, "{few} connections for fifty calls at once");
}

/// Connections to the engine's port, open or closed a moment ago, as our kernel remembers them.
async fn connections_to(host: &Execution) -> usize {
    let there = format!("{}:2376", host.there());
    let mut list = tokio::process::Command::new("ss");
    let output = list.args(["-Htan", "dst", &there]).output().await.unwrap();
    assert!(output.status.success());
    String::from_utf8_lossy(&output.stdout).lines().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_was_restarted_is_found_again_by_the_same_client() {
    if Cache::for_test().is_none() {
        return;
    }
    let mut host = Execution::start().await.unwrap();
    let endpoint = Endpoint::new(host.endpoint()).with_tls(tls(host.certificates()));
    let client = Client::connect_within(endpoint, Duration::from_secs(20)).await.unwrap();
    client.networks().await.unwrap();
    host.kill_engine().await.unwrap();
    let error = client.networks().await.unwrap_err();
    assert!(matches!(error, DockerError::Unreachable { .. } | DockerError::Lost { .. }), "{error:?}");
    host.start_engine().await.unwrap();
    client.networks().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_in_a_container_gets_its_input_and_gives_its_output() {
    let Some(engine) = Engine::remote().await else { return };
    let world = World::on(engine).await;
    let client = Client::connect(world.engine.endpoint()).await.unwrap();
    let container = world.busybox("shell", &["sleep", "600"]).await;
    let run = |argv: &'static [&'static str], stdin: &'static [u8]| {
        let (client, container) = (client.clone(), container.clone());
        async move { client.exec(&container, argv, stdin, 100_000).await }
    };
    let echo = run(&["cat"], b"line\n\0\xff").await.unwrap();
    assert_eq!((echo.code, &*echo.stdout, &*echo.stderr), (0, &b"line\n\0\xff"[..], &b""[..]));
    let mixed = run(&["sh", "-c", "wc -c; echo oh >&2; exit 7"], b"12345").await.unwrap();
    assert_eq!((mixed.code, &*mixed.stdout, &*mixed.stderr), (7, &b"5\n"[..], &b"oh\n"[..]));
    // More than any buffer on the way holds, both ways at once.
    let big = vec![b'x'; 50_000];
    let back = client.exec(&container, &["cat"], &big, 100_000).await.unwrap();
    assert_eq!(back.stdout, big);
    // Not read at all.
    assert_eq!(client.exec(&container, &["true"], &big, 100).await.unwrap().code, 0);
    let error = run(&["yes"], b"").await.unwrap_err();
    assert!(error.to_string().contains("longer than 100000 bytes"), "{error}");
    let absent = run(&["no-such-program"], b"").await.unwrap();
    assert!([126, 127].contains(&absent.code), "{absent:?}");
    let hasty = Client::connect_within(world.engine.endpoint(), SHORT).await.unwrap();
    let error = hasty.exec(&container, &["sleep", "60"], b"", 10).await.unwrap_err();
    assert!(matches!(error, DockerError::Late { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_behind_ssh_works_as_any_other_and_its_host_key_is_never_guessed() {
    if Cache::for_test().is_none() {
        return;
    }
    let host = Execution::start().await.unwrap();
    let ssh = host.serve_ssh().await.unwrap();
    let endpoint = || Endpoint::new(ssh.url()).with_ssh_config(ssh.config());
    let client = Client::connect(endpoint()).await.unwrap();
    for _ in 0..5 {
        client.networks().await.unwrap();
    }
    assert_eq!(ssh.sessions(&host).await.unwrap(), 1, "one login serves all calls");
    host.base_image(&Cache::locate(), fraktalia_testkit::real::docker::BUSYBOX).await.unwrap();
    let name = "fkt-by-ssh";
    host.docker(&["run", "-d", "--name", name, fraktalia_testkit::real::docker::BUSYBOX, "sleep", "600"])
        .await
        .unwrap();
    let output = client.exec(name, &["wc", "-c"], &vec![b'x'; 70_000], 100).await.unwrap();
    assert_eq!((output.code, &*output.stdout), (0, &b"70000\n"[..]), "its input ends, and its output comes");
    drop(client);

    ssh.forget().unwrap();
    let error = refused(endpoint()).await;
    assert!(error.to_string().contains("Host key verification failed"), "{error}");
    assert!(error.hint().unwrap().contains("compare the fingerprint"), "{error:?}");
    ssh.trust("stranger").unwrap();
    let error = refused(endpoint()).await;
    assert!(error.to_string().contains("Host key verification failed"), "{error}");
    ssh.trust("host").unwrap();
    ssh.use_key("stranger").unwrap();
    let error = refused(endpoint()).await;
    assert!(error.to_string().contains("Permission denied"), "{error}");
    assert!(error.hint().unwrap().contains("authorized_keys"), "{error:?}");
}

/// Cuts the cable as soon as a run says something that contains `word`.
fn cut_at(host: &Arc<Execution>, word: &'static str) -> ApplyOptions {
    let (host, cut) = (Arc::clone(host), AtomicBool::new(false));
    let sink = move |event: &Event| {
        if format!("{event:?}").contains(word) && !cut.swap(true, Ordering::SeqCst) {
            host.cut().unwrap();
        }
    };
    ApplyOptions { sink: Arc::new(sink), ..contract::quiet() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_lost_in_mid_apply_is_said_and_the_run_is_taken_back_or_finished_later() {
    let Some(engine) = Engine::remote().await else { return };
    let Engine::Remote(host) = &engine else { unreachable!() };
    let host = Arc::clone(host);
    host.base_image(&Cache::locate(), fraktalia_testkit::real::docker::BUSYBOX).await.unwrap();
    // Lost in the middle of a build, while nothing is sent; lost when the network is about to be made.
    for word in ["in the middle", "make network"] {
        let mut world = World::on(engine.clone()).await;
        world.write(
            "Dockerfile",
            &format!(
                "FROM {}\nRUN echo in the middle && sleep 8 && echo late\n",
                fraktalia_testkit::real::docker::BUSYBOX
            ),
        );
        world.hash();
        let before = world.snapshot().await;
        let session = |world: &World| {
            let lost = DockerHost::new("local", world.engine.endpoint().named("mox")).within(SHORT);
            let paths = StatePaths::new(world.root.path().join("state"));
            Session::new(world.manifest.clone(), Registry::new().with(lost), paths)
        };
        let first = session(&world);
        let lock = first.lock().unwrap();
        let planned = first.plan(&Options::default(), true).await.unwrap();
        let ended = first.apply(&lock, planned.plan, &cut_at(&host, word)).await.unwrap();
        drop(lock);
        let why = format!("{ended:?}");
        assert!(matches!(ended.outcome, Some(Outcome::Incomplete { .. })), "{why}");
        assert!(
            why.contains("mox") && why.contains(&host.endpoint()),
            "{word}: it is said which host was lost: {why}"
        );
        let error = session(&world).plan(&Options::default(), true).await.unwrap_err();
        assert!(error.to_string().contains("mox"), "{error}");

        host.mend().unwrap();
        let again = session(&world);
        let (lock, run) = (again.lock().unwrap(), again.run(&ended.run).unwrap());
        let ended = again.roll_back_run(&lock, &run, &contract::quiet()).await.unwrap();
        drop(lock);
        assert!(matches!(ended.outcome, Some(Outcome::RolledBack { .. })), "{ended:?}");
        assert_eq!(world.snapshot().await, before);
        world.converge().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_is_compared_by_the_path_that_its_own_host_knows() {
    let Some(engine) = Engine::remote().await else { return };
    let mut world = World::on(engine).await;
    let here = world.root.path().join("agents");
    let there = PathBuf::from("/srv/agents");
    let paths = HostPaths { here: here.clone(), there: there.clone() };
    world.manifest.hosts.get_mut("local").unwrap().workspaces = Some(paths);
    world.converge().await;
    let bind = |path: &Path| {
        let bind = format!("{}:/workspace", path.display());
        move |body: &mut ContainerCreateBody| body.host_config.as_mut().unwrap().binds = Some(vec![bind])
    };
    let agent = world.agent();
    let right = world.openclaw_container("right", &agent, bind(&there.join("gardener"))).await;
    assert_eq!(contract::left(&world.session()).await, Vec::<String>::new(), "mounted as its host knows it");
    // The gateway's path is another directory there, made empty by the engine when it is mounted.
    let wrong = world.openclaw_container("wrong", &agent, bind(&here.join("gardener"))).await;
    let plan = world.plan().await.plan;
    let fields: Vec<_> =
        plan.changes.iter().flat_map(|change| &change.fields).map(|field| &*field.field).collect();
    assert_eq!(fields, ["workspace_access"]);
    world.converge().await;
    assert!(world.has_container(&right).await && !world.has_container(&wrong).await);
}

#[test]
fn a_plain_port_is_warned_about_and_refused_on_the_internet() {
    let manifest = fraktalia_testkit::manifest::empty("home", Path::new("/tmp"));
    let notes = |url: &str| {
        let mut manifest = manifest.clone();
        let network = fraktalia_model::manifest::Network {
            at: fraktalia_model::Span::default(),
            key: "garden".into(),
            fractal: None,
            host: "mox".into(),
            bridge: "fkt-garden".into(),
            subnet: "10.208.0.0/27".into(),
            internet: true,
            allow: Vec::new(),
            dns: Vec::new(),
        };
        manifest.networks.insert("garden".into(), network);
        let host = DockerHost::new("mox", Endpoint::new(url).named("mox"));
        let desired = host.lower(&manifest).unwrap();
        host.lint(&desired)
            .into_iter()
            .map(|note| (note.code.clone(), note.severity == fraktalia_model::Severity::Error))
            .collect::<Vec<_>>()
    };
    assert_eq!(notes("tcp://10.0.0.5:2375"), [("docker.plain-tcp".to_owned(), false)]);
    assert_eq!(notes("tcp://203.0.113.5:2375"), [("docker.open-to-all".to_owned(), true)]);
    assert_eq!(notes("ssh://-oProxyCommand=id"), [("docker.bad-endpoint".to_owned(), true)]);
    assert_eq!(notes("ssh://mox"), []);
}

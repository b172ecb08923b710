//! What others read of a watch: whether it lives, whether it can see, what it counts.

use std::net::SocketAddr;
use std::sync::Arc;

use fraktalia_plane::pages::{self, Exposition, Page};
use tokio::net::TcpListener;

use super::state::{Last, State, Total};
use super::teller::Scribe;
use crate::error::Failure;

/// Opens the port.
pub async fn open(at: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(at).await.map_err(|error| Failure::Environment {
        what: format!("cannot listen at {at}: {error}"),
        hint: "another program may have the port; --listen names another one".into(),
    })
}

/// Answers until it is dropped.
pub async fn serve(listener: TcpListener, scribe: Arc<Scribe>) {
    pages::serve(listener, move |path| {
        let page = page(&path, &scribe.state());
        async move { page }
    })
    .await;
}

fn page(path: &str, state: &State) -> Page {
    match path {
        // Whoever gets this from the process that watches knows that it lives.
        "/healthz" => Page::text(200, "ok\n"),
        "/readyz" if state.is_ready() => Page::text(200, "ok\n"),
        "/readyz" => Page::text(503, format!("{}\n", state.sentence())),
        "/metrics" => Page::metrics(metrics(state)),
        "/status" => match serde_json::to_string_pretty(state) {
            Ok(body) => Page { status: 200, mime: "application/json", body: body + "\n" },
            Err(error) => Page::text(503, format!("{error}\n")),
        },
        _ => Page::text(404, "there are /healthz, /readyz, /metrics and /status\n"),
    }
}

fn metrics(state: &State) -> String {
    let mut metrics = Exposition::default();
    let mut gauge = |name: &str, help: &str, value: u64| {
        metrics.family(name, "gauge", help);
        metrics.value(name, &[], value);
    };
    let ready = state.is_ready();
    gauge("fraktalia_watch_ready", "Whether the last look could see everything.", ready.into());
    let in_sync = ready && state.in_sync == Some(true);
    gauge("fraktalia_watch_in_sync", "Whether everything is as the manifest says.", in_sync.into());
    let good = state.manifest_good == Some(true);
    gauge("fraktalia_watch_manifest_good", "Whether the manifest on disk has no errors.", good.into());
    gauge("fraktalia_watch_blocked", "Whether something is in the way.", state.blocked.into());
    let waiting = state.waiting.len() as u64;
    gauge("fraktalia_watch_waiting_steps", "Steps that wait for a person.", waiting);
    let unfinished = state.unfinished.is_some().into();
    gauge("fraktalia_watch_unfinished_run", "Whether a run waits for a person.", unfinished);
    let given_up = state.given_up.is_some().into();
    gauge("fraktalia_watch_given_up", "Whether a plan is not tried any more.", given_up);
    commit(state, &mut metrics);
    systems(state, &mut metrics);
    last(&mut metrics, "look", state.last_look.as_ref());
    last(&mut metrics, "run", state.last_run.as_ref());
    totals(&mut metrics, "looks", "Looks, by how they ended.", &state.looks);
    totals(&mut metrics, "runs", "Runs, by how they ended.", &state.runs);
    let name = "fraktalia_watch_wakes_total";
    metrics.family(name, "counter", "Looks, by who woke the watch.");
    for (who, count) in &state.wakes {
        metrics.value(name, &[("by", who)], count);
    }
    metrics.text()
}

/// The commit as a label, as is usual for what is no number.
fn commit(state: &State, metrics: &mut Exposition) {
    if let Some(origin) = &state.commit {
        let name = "fraktalia_watch_commit_info";
        metrics.family(name, "gauge", "The commit that the manifest in force was read from.");
        let branch = origin.branch.as_deref().unwrap_or_default();
        metrics.value(name, &[("commit", &origin.commit), ("branch", branch)], 1);
    }
    if let Some(git) = &state.git {
        let mut gauge = |name: &str, help: &str, value: bool| {
            metrics.family(name, "gauge", help);
            metrics.value(name, &[], u64::from(value));
        };
        let reachable = git.reachable == Some(true);
        gauge("fraktalia_watch_git_reachable", "Whether the remote answered last.", reachable);
        let refused = git.refused.is_some();
        gauge("fraktalia_watch_git_refused", "Whether the newest commit is not used.", refused);
    }
}

fn systems(state: &State, metrics: &mut Exposition) {
    type Read = fn(&super::state::SystemState) -> u64;
    let families: [(&str, &str, Read); 5] = [
        ("up", "Whether the system could be read.", |system| system.up.into()),
        ("heard", "Whether the events of the system are heard.", |system| system.heard.into()),
        ("in_sync", "Whether the system is as the manifest says.", |system| {
            (system.up && system.drifted + system.pending == 0).into()
        }),
        ("drifted_resources", "Resources changed or removed by hand.", |system| system.drifted as u64),
        ("pending_resources", "Resources to be changed for another reason.", |system| system.pending as u64),
    ];
    for (name, help, read) in families {
        let name = format!("fraktalia_watch_system_{name}");
        metrics.family(&name, "gauge", help);
        for (system, seen) in &state.systems {
            metrics.value(&name, &[("system", system.as_str())], read(seen));
        }
    }
}

fn last(metrics: &mut Exposition, what: &str, last: Option<&Last>) {
    let Some(last) = last else { return };
    let name = format!("fraktalia_watch_last_{what}_timestamp_seconds");
    metrics.family(&name, "gauge", &format!("When the last {what} ended, in seconds since 1970."));
    metrics.value(&name, &[("outcome", last.outcome)], last.unix);
    let name = format!("fraktalia_watch_last_{what}_duration_seconds");
    metrics.family(&name, "gauge", &format!("How long the last {what} took."));
    metrics.value(&name, &[], last.seconds);
}

fn totals(
    metrics: &mut Exposition,
    what: &str,
    help: &str,
    totals: &std::collections::BTreeMap<&'static str, Total>,
) {
    let name = format!("fraktalia_watch_{what}_total");
    metrics.family(&name, "counter", help);
    for (outcome, total) in totals {
        metrics.value(&name, &[("outcome", outcome)], total.count);
    }
    let name = format!("fraktalia_watch_{what}_seconds_total");
    metrics.family(&name, "counter", "How long they took in all.");
    for (outcome, total) in totals {
        metrics.value(&name, &[("outcome", outcome)], total.seconds);
    }
}

#[cfg(test)]
mod tests {
    use fraktalia_engine::watch::Policy;

    use super::*;

    #[test]
    fn before_the_first_look_it_lives_and_is_not_ready() {
        let state = State::new(Policy::Report);
        assert_eq!(page("/healthz", &state).status, 200);
        let ready = page("/readyz", &state);
        assert_eq!((ready.status, ready.body.as_str()), (503, "nothing is known yet\n"));
        assert_eq!(page("/etc/passwd", &state).status, 404);
    }

    #[test]
    fn the_metrics_tell_each_system_apart() {
        let mut state = State::new(Policy::Full);
        let seen = super::super::state::SystemState { up: true, heard: true, drifted: 2, pending: 1 };
        state.systems.insert(fraktalia_model::SystemId::docker("mox"), seen);
        (state.in_sync, state.manifest_good) = (Some(false), Some(true));
        let text = page("/metrics", &state).body;
        for line in [
            "fraktalia_watch_ready 1",
            "fraktalia_watch_in_sync 0",
            "fraktalia_watch_system_in_sync{system=\"docker@mox\"} 0",
            "fraktalia_watch_system_drifted_resources{system=\"docker@mox\"} 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}

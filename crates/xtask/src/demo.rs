//! `cargo xtask demo`: the whole of fraktalia in two minutes, on real systems that nobody else uses.

mod admin;
mod bench;
mod folder;
mod manifest;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fraktalia_testkit::real::install::Component;
use fraktalia_testkit::real::{Cache, Person, Version};

use crate::error::TaskError;
use crate::{install, say, test};
use bench::{Bench, Show};
use manifest::Scene;

const ANSWER_LIMIT: Duration = Duration::from_mins(3);

/// Runs the demonstration from nothing to two agents that answer. `keep` leaves it running until Ctrl-C; the
/// steps of its plan are drawn into `svg`.
pub async fn run(cache: &Cache, keep: bool, svg: Option<&Path>) -> Result<(), TaskError> {
    let start = Instant::now();
    say::title("fraktalia: agents as code");
    say::faint(
        "A fractal is an agent with a room of its own. You write down which ones you want;\n\
         fraktalia makes it so in Matrix, OpenClaw and Docker, and takes it back when you say so.",
    );
    install(cache)?;
    let program = build()?;
    let bench = start_systems(cache, program, Show { wishes: manifest::WISHES, encrypts: false }).await?;
    let mut end = "Done";
    let outcome = tokio::select! {
        outcome = show(&bench, svg) => outcome,
        _ = tokio::signal::ctrl_c() => {
            end = "Stopped";
            Ok(())
        }
    };
    if outcome.is_ok() && end == "Done" && keep {
        look_around(&bench);
        let _ = tokio::signal::ctrl_c().await;
    }
    let outcome = match outcome {
        Ok(()) if end == "Done" && !keep => take_back(&bench).await,
        other => {
            say::begun("taking back what was applied");
            bench.take_back().await;
            other
        }
    };
    close(bench, outcome, end, start).await
}

/// The same for the admin room: an agent proposes another one, and Ana approves it.
pub async fn admin_room(cache: &Cache) -> Result<(), TaskError> {
    let start = Instant::now();
    say::title("fraktalia: the admin room");
    say::faint(
        "An agent that finds that another one would help says so in an encrypted room. Ana sees there\n\
         what exactly would happen, and answers with a reaction.",
    );
    install(cache)?;
    say::begun("building; the first time, the encrypted client takes many minutes");
    let programs = admin::Programs::build()?;
    let show = Show { wishes: manifest::ADMIN_WISHES, encrypts: true };
    let bench = start_systems(cache, programs.fraktalia.clone(), show).await?;
    let (mut end, mut outcome) = ("Stopped", Ok(()));
    tokio::select! {
        shown = admin::show(&bench, &programs) => (end, outcome) = ("Done", shown),
        _ = tokio::signal::ctrl_c() => {}
    }
    say::begun("taking back what was applied");
    bench.take_back().await;
    close(bench, outcome, end, start).await
}

async fn close(
    bench: Bench,
    outcome: Result<(), TaskError>,
    end: &str,
    start: Instant,
) -> Result<(), TaskError> {
    say::begun("ending what was started");
    if let Err(error) = outcome {
        say::faint(&format!("The logs are in {}.", bench.dir().display()));
        bench.stop().await?;
        return Err(error);
    }
    bench.end().await?;
    say::title(&format!(
        "{end} after {:.0} s. Everything that was started has ended, and its folder is gone.",
        start.elapsed().as_secs_f64()
    ));
    Ok(())
}

fn install(cache: &Cache) -> Result<(), TaskError> {
    let needed = [
        Component::Runtime,
        Component::OpenClaw(Version::Entries),
        Component::Engine,
        Component::Packets,
        Component::Busybox,
    ];
    install::components(cache, &needed)
}

fn build() -> Result<PathBuf, TaskError> {
    say::begun("building fraktalia; the first time, this takes minutes");
    test::build_program()
}

async fn start_systems(cache: &Cache, program: PathBuf, show: Show) -> Result<Bench, TaskError> {
    say::part(1, "An installation, as you may have one", "All of it on loopback, thrown away at the end.");
    let bench = Bench::start(cache, program, show).await?;
    say::faint("\nOne agent so far: felix, who answers wherever nobody else does.");
    Ok(bench)
}

async fn show(bench: &Bench, svg: Option<&Path>) -> Result<(), TaskError> {
    say::part(2, "What we want", "fraktalia.yaml, without its connection settings:");
    say::line(manifest::WISHES);
    say::part(3, "What would change", "A plan reads everything and changes nothing.");
    bench.fraktalia(&["plan", "--out", "first.plan"]).await?;
    if let Some(path) = svg {
        bench.draw("first.plan", path).await?;
    }
    say::part(
        4,
        "Make it so",
        "Exactly this plan, step by step, journaled, and taken back whole if anything fails.",
    );
    bench.fraktalia(&["apply", "first.plan", "--yes"]).await?;
    say::part(5, "Talk to them", "Ana writes into each new room. Who answers is up to OpenClaw alone.");
    let ana = bench.ana().await?;
    for scene in manifest::SCENES {
        converse(bench, &ana, &scene).await?;
    }
    say::part(6, "Once more", "What is as it should be is left alone: no change, no write.");
    bench.fraktalia(&["plan", "--exit-code"]).await
}

async fn converse(bench: &Bench, ana: &Person, scene: &Scene) -> Result<(), TaskError> {
    let alias = Bench::alias(scene.fractal);
    let Some(room) = ana.resolve(&alias).await? else {
        return Err(TaskError::Found(format!("there is no room {alias}")));
    };
    say::faint(&alias);
    say::said("Ana", scene.question);
    let answer = ana.ask(&room, bench.bot(), scene.question, ANSWER_LIMIT).await?;
    let called = ana.display_name_in(&room, &answer.sender).await?;
    // What a tool of the gateway answered to the model is nothing for people.
    let body = answer.body.split("\n{").next().unwrap_or_default();
    say::said(called.as_deref().unwrap_or(&answer.sender), body.trim_end_matches(':'));
    if let Some(container) = bench.container_in(&answer.body) {
        say::faint(&format!("{container} is the container that OpenClaw started for this command."));
    }
    Ok(())
}

async fn take_back(bench: &Bench) -> Result<(), TaskError> {
    say::part(7, "And back", "As if it had never been: rooms, entries, files, the network and its rules.");
    let outcome = bench.fraktalia(&["rollback", "--yes"]).await;
    if outcome.is_err() {
        bench.take_back().await;
    }
    outcome
}

fn look_around(bench: &Bench) {
    say::part(7, "Look around", "It keeps running until you press Ctrl-C.");
    for (label, text) in bench.addresses() {
        say::done(label, &text, None);
    }
    say::faint("\nIn another terminal:");
    say::command(&format!("cd {}", bench.dir().display()));
    say::command("export FRAKTALIA_STATE=$PWD/state");
    say::command(&format!("alias fraktalia={}", bench.program().display()));
    say::command("fraktalia status");
    say::faint(
        "Or change something in fraktalia.yaml, or by hand in a room, and see what `fraktalia plan` says.\n\
         `fraktalia rollback` takes all of it back.",
    );
}

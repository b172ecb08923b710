//! `cargo xtask demo`: the whole of fraktalia in two minutes, on real systems that nobody else uses.

mod bench;
mod manifest;

use std::time::{Duration, Instant};

use fraktalia_testkit::real::install::Component;
use fraktalia_testkit::real::{Cache, Person, Version};

use crate::error::TaskError;
use crate::{install, say, test};
use bench::{Bench, Shown};
use manifest::Scene;

const ANSWER_LIMIT: Duration = Duration::from_mins(3);

/// Runs the demonstration from nothing to two agents that answer. `keep` leaves it running until Ctrl-C.
pub async fn run(cache: &Cache, keep: bool) -> Result<(), TaskError> {
    let start = Instant::now();
    say::title("fraktalia: agents as code");
    say::faint(
        "A fractal is an agent with a room of its own. You write down which ones you want;\n\
         fraktalia makes it so in Matrix, OpenClaw and Docker, and takes it back when you say so.",
    );
    install(cache)?;
    let program = test::build_program()?;
    let bench = start_systems(cache, program).await?;
    let outcome = tokio::select! {
        outcome = show(&bench) => outcome,
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    if outcome.is_ok() && keep {
        look_around(&bench);
        let _ = tokio::signal::ctrl_c().await;
    }
    if let Err(error) = outcome {
        say::faint(&format!("The logs are in {}.", bench.dir().display()));
        bench.stop().await?;
        return Err(error);
    }
    bench.end().await?;
    say::title(&format!(
        "Done in {:.0} s. Everything that was started has ended.",
        start.elapsed().as_secs_f64()
    ));
    Ok(())
}

fn install(cache: &Cache) -> Result<(), TaskError> {
    let needed =
        [Component::Runtime, Component::OpenClaw(Version::Entries), Component::Engine, Component::Busybox];
    install::components(cache, &needed)
}

async fn start_systems(cache: &Cache, program: std::path::PathBuf) -> Result<Bench, TaskError> {
    say::part(1, "An installation, as you may have one", "All of it on loopback, thrown away at the end.");
    let bench = Bench::start(cache, program).await?;
    say::faint("\nOne agent so far: felix, who answers wherever nobody else does.");
    Ok(bench)
}

async fn show(bench: &Bench) -> Result<(), TaskError> {
    say::part(2, "What we want", "fraktalia.yaml, without its connection settings:");
    say::line(manifest::WISHES);
    say::part(3, "What would change", "A plan reads everything and changes nothing.");
    bench.fraktalia(&["plan", "--out", "first.plan"], Shown::All).await?;
    say::part(
        4,
        "Make it so",
        "Exactly this plan, step by step, journaled, and taken back whole if anything fails.\n\
         (It shows the plan once more, which is left out here.)",
    );
    bench.fraktalia(&["apply", "first.plan", "--yes"], Shown::Progress).await?;
    say::part(5, "Talk to them", "Ana writes into each new room. Who answers is up to OpenClaw alone.");
    let ana = bench.ana().await?;
    for scene in manifest::SCENES {
        converse(bench, &ana, &scene).await?;
    }
    say::part(6, "Once more", "What is as it should be is left alone: no change, no write.");
    bench.fraktalia(&["plan", "--exit-code"], Shown::All).await
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
    say::said(called.as_deref().unwrap_or(&answer.sender), &answer.body);
    Ok(())
}

fn look_around(bench: &Bench) {
    say::part(7, "Look around", "It keeps running until you press Ctrl-C.");
    for (label, text) in bench.addresses() {
        say::done(label, &text, None);
    }
    say::faint("\nTo go on with it in another terminal:");
    say::command(&format!("cd {}", bench.dir().display()));
    say::command(&format!("{} status --state state", bench.program().display()));
    say::faint("Change something in fraktalia.yaml, then `plan` and `apply` with the same --state.");
}

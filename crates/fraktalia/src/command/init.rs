//! `init`: from what is there to a manifest that passes `check`.

mod ask;
mod detect;
mod draft;
mod files;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use fraktalia_model::SecretSource;

use crate::app::App;
use crate::cli::{InitArgs, TokenSource};
use crate::error::Failure;
use crate::exit::Exit;
use crate::out;
use crate::render::init as render;
use detect::Found;
use draft::Draft;

pub use files::Written;

/// Looks around, asks what it cannot find, writes, and says what comes next.
pub async fn run(app: &App, args: &InitArgs) -> Result<Exit, Failure> {
    let path = app.path();
    if path.symlink_metadata().is_ok() {
        return Err(Failure::usage(
            format!("{} is there already, and is not overwritten", path.display()),
            "`fraktalia check` says how it is; -f names another file",
        ));
    }
    let asks = !args.yes;
    if asks && !std::io::stdin().is_terminal() {
        return Err(Failure::usage(
            "there is nobody to ask: stdin is no terminal",
            "say --yes to take what is found, and the rest by options",
        ));
    }
    let TokenSource(token) = args
        .admin_token
        .parse()
        .map_err(|hint: String| Failure::usage("--admin-token does not say where the token is", hint))?;
    let found = detect::detect(args).await;
    out::talk(&render::found(&sights(&found), &app.err));
    let mut draft = drafted(args, token, &found);
    if asks {
        draft = ask::complete(draft, path)?;
    }
    let loaded = draft.check(path);
    if loaded.manifest.is_none() {
        return Err(Failure::Manifest { path: path.into(), notes: loaded.notes, sources: loaded.sources });
    }
    if asks && !ask::confirm(&format!("Write {}?", path.display()))? {
        return Err(Failure::Declined);
    }
    let written = files::write(path, &draft)?;
    out::talk(&render::written(&written, &next(path, &draft, &written), &app.err));
    Ok(Exit::OK)
}

/// What was found, for people.
fn sights(found: &Found) -> Vec<render::Sight> {
    let homeserver = match &found.homeserver {
        Some(seen) => {
            let name = found.server_name.as_deref().map(|name| format!(", server name {name}"));
            render::Sight::there("Synapse", format!("{}{}", seen.url, name.unwrap_or_default()))
        }
        None => render::Sight::missing("Synapse", "no homeserver answers"),
    };
    let openclaw = match &found.openclaw {
        Some(Ok(seen)) => {
            let bot = seen.bot.as_deref().map(|bot| format!(", logged in as {bot}")).unwrap_or_default();
            let agents = crate::render::plan::number(seen.agents, "agent");
            render::Sight::there("OpenClaw", format!("{}: {agents}{bot}", seen.path.display()))
        }
        Some(Err(why)) => render::Sight::missing("OpenClaw", why),
        None => render::Sight::missing("OpenClaw", "no openclaw.json in the usual places"),
    };
    let docker = match &found.docker {
        Ok(url) => render::Sight::there("Docker", url.clone()),
        Err(why) => render::Sight::missing("Docker", why),
    };
    vec![homeserver, openclaw, docker]
}

/// What was said, or else found.
fn drafted(args: &InitArgs, admin_token: SecretSource, found: &Found) -> Draft {
    let seen = found.openclaw.as_ref().and_then(|openclaw| openclaw.as_ref().ok());
    let gateway = seen.map(|seen| {
        let usable = found.gateway && std::env::var_os(&seen.token_env).is_some();
        (seen.gateway.clone(), seen.token_env.clone(), usable)
    });
    let trimmed = |url: &String| url.trim_end_matches('/').to_owned();
    Draft {
        realm: args.realm.clone().unwrap_or_else(|| "home".into()),
        homeserver: args
            .homeserver
            .as_ref()
            .map(trimmed)
            .or_else(|| found.homeserver.as_ref().map(|seen| seen.url.clone())),
        server_name: args.server_name.clone().or_else(|| found.server_name.clone()),
        admin_token,
        bot: args.bot.clone().or_else(|| seen?.bot.clone()),
        config: args.openclaw_config.as_deref().or_else(|| Some(seen?.path.as_path())).map(at_home),
        cli: found.cli,
        gateway,
        catch_all: args.catch_all.clone().or_else(|| seen?.catch_all.clone()),
        user: seen.filter(|_| found.docker.is_ok()).map(|seen| format!("{}:{}", seen.owner.0, seen.owner.1)),
    }
}

/// A path as people write it: `~/...` below their home.
fn at_home(path: &Path) -> String {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    match home.and_then(|home| path.strip_prefix(home).ok().map(Path::to_owned)) {
        Some(rest) => format!("~/{}", rest.display()),
        None => path.display().to_string(),
    }
}

/// What to do now.
fn next(path: &Path, draft: &Draft, written: &[Written]) -> Vec<render::Next> {
    use clap::CommandFactory as _;
    let option = if path == Path::new("fraktalia.yaml") {
        String::new()
    } else {
        format!(" -f {}", fraktalia_engine::health::path_word(path))
    };
    let command = |name: &str| format!("fraktalia {name}{option}");
    let mut steps = Vec::new();
    if draft.homeserver.is_none()
        || draft.server_name.is_none()
        || draft.bot.is_none()
        || draft.config.is_none()
    {
        steps.push(render::Next::new(
            format!("fill in {}", path.display()),
            "what was not found is marked there",
        ));
    }
    match &draft.admin_token {
        SecretSource::File(file) if written.iter().any(|one| one.is_secret) => {
            let file = path.parent().unwrap_or(Path::new("")).join(file);
            let word = fraktalia_engine::health::path_word(&file);
            steps.push(render::Next::new(
                format!("cat > {word}"),
                "paste the access token of a Synapse administrator, then Ctrl-D",
            ));
        }
        SecretSource::Env(name) => steps.push(render::Next::new(
            format!("export {name}=..."),
            "the access token of a Synapse administrator",
        )),
        _ => {}
    }
    steps.push(render::Next::new(command("doctor"), "is everything as it should be?"));
    // It is offered where it is.
    if crate::cli::Cli::command().find_subcommand("adopt").is_some() {
        steps.push(render::Next::new(command("adopt"), "take over rooms and agents that are there"));
    }
    steps.push(render::Next::new(command("plan"), "what would change, and why"));
    steps
}

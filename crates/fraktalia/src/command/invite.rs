//! `invite`: a token for a friend, and what to send them with it.

use std::time::{SystemTime, UNIX_EPOCH};

use fraktalia_engine::Session;
use fraktalia_matrix::client::tokens::Registration;
use fraktalia_matrix::invitation::{self, Guest, Invitation, Standing};
use fraktalia_matrix::{Client, MatrixError};
use fraktalia_model::UserId;

use super::homeserver::{connect, section, unseen};
use crate::app::App;
use crate::cli::{Format, InviteArgs};
use crate::error::Failure;
use crate::exit::Exit;
use crate::out;
use crate::render::invite::{self, Letter};
use crate::render::note;
use crate::render::plan::number;

/// Invites, lists, or takes back.
pub async fn run(app: &App, args: &InviteArgs) -> Result<Exit, Failure> {
    let session = app.open()?.session;
    let client = connect(&session).await?;
    if args.list {
        let all = invitation::list(&client, now()).await.map_err(unseen)?;
        match args.format {
            Format::Json => out::json(&invite::document(&all))?,
            Format::Text => out::data(&invite::list(&all, &app.out))?,
        };
        return Ok(Exit::OK);
    }
    match (&args.revoke, &args.name) {
        (Some(which), _) => revoke(&client, which).await,
        (None, Some(guest)) => invite(app, args, &session, &client, guest).await,
        // The command line asks for one of the three.
        (None, None) => Ok(Exit::USAGE),
    }
}

async fn invite(
    app: &App,
    args: &InviteArgs,
    session: &Session,
    client: &Client,
    guest: &Guest,
) -> Result<Exit, Failure> {
    let matrix = section(session)?;
    let user = matrix.local(guest.as_str());
    free(client, &user, guest).await?;
    let homeserver = address(args, client, &matrix.homeserver).await?;
    say_registration(app, client.registration().await)?;
    say_open(app, client, guest).await?;
    let token = guest.token().map_err(|source| Failure::Environment {
        what: format!("the system has no randomness for a token: {source}"),
        hint: "see `dmesg`".into(),
    })?;
    let expires = now() + u64::try_from(args.expires.as_millis()).unwrap_or(u64::MAX / 2);
    client.create_registration_token(&token, args.uses, expires).await.map_err(unseen)?;
    let letter = Letter {
        name: guest.as_str(),
        user: &user.0,
        server: &matrix.server_name,
        homeserver: &homeserver,
        token: &token,
        uses: args.uses,
        expires,
    };
    match args.format {
        Format::Json => out::json(&invite::letter_document(&letter))?,
        Format::Text => out::data(&invite::letter(&letter))?,
    };
    out::talk(&invite::afterwards(&letter, &app.err));
    Ok(Exit::OK)
}

/// That nobody has the name.
async fn free(client: &Client, user: &UserId, guest: &Guest) -> Result<(), Failure> {
    let Some(account) = client.account(user).await.map_err(unseen)? else { return Ok(()) };
    let (what, hint) = if account.deactivated {
        let hint = "the homeserver gives that name to nobody again: choose another one".to_owned();
        (format!("{user} was a user here and is deactivated"), hint)
    } else {
        let hint =
            format!("`{}: {{}}` in `users` and the name in `members` lets them into rooms", guest.as_str());
        (format!("{user} is a user here already"), hint)
    };
    Err(Failure::Forbidden { what, hint })
}

/// Whoever invites twice may have lost the first text, or forgotten it.
async fn say_open(app: &App, client: &Client, guest: &Guest) -> Result<(), Failure> {
    let all = invitation::list(client, now()).await.map_err(unseen)?;
    let theirs = all.iter().filter(|one| one.guest.as_ref() == Some(guest));
    let open = theirs.filter(|one| one.standing == Standing::Open).count();
    if open > 0 {
        let name = guest.as_str();
        let hint = format!("`fraktalia invite --revoke {name}` takes all back, the new one too");
        say(app, &format!("{name} has {} already", number(open, "open invitation")), &hint);
    }
    Ok(())
}

/// Where a friend reaches the homeserver. Known before a token is made, which would be lost.
async fn address(args: &InviteArgs, client: &Client, ours: &str) -> Result<String, Failure> {
    if let Some(url) = &args.url {
        return Ok(url.clone());
    }
    let said = client.public_url().await.map_err(unseen)?;
    let address = said.unwrap_or_else(|| ours.to_owned());
    if is_reachable(&address) {
        return Ok(address);
    }
    Err(Failure::usage(
        format!("nothing says where a friend reaches the homeserver: {address} leads to this machine"),
        "say --url https://..., or set `public_baseurl` in homeserver.yaml",
    ))
}

/// Whether an address may lead here from elsewhere.
fn is_reachable(url: &str) -> bool {
    let host = url.split("://").nth(1).unwrap_or(url);
    !["127.", "localhost", "[::1]", "0.0.0.0", "[::]"].iter().any(|here| host.starts_with(here))
}

/// Whether the homeserver will ask for the token.
fn say_registration(app: &App, registration: Result<Registration, MatrixError>) -> Result<(), Failure> {
    const CURE: &str = "set `enable_registration: true` and `registration_requires_token: true` in homeserver.yaml, and restart it";
    match registration {
        Ok(Registration::ByToken) => {}
        Ok(Registration::Closed) => {
            return Err(Failure::Forbidden {
                what: "the homeserver lets nobody register".into(),
                hint: CURE.into(),
            });
        }
        Ok(Registration::Elsewhere) => {
            return Err(Failure::Forbidden {
                what: "accounts of this homeserver are not made by itself".into(),
                hint: "invite there: `mas-cli manage issue-user-registration-token` of the Matrix Authentication Service".into(),
            });
        }
        Ok(Registration::WithoutToken) => {
            say(
                app,
                "the homeserver asks nobody for a token: anybody can register, and the token is not needed",
                CURE,
            );
        }
        Ok(Registration::ByTokenOrOther) => {
            say(app, "one can register on this homeserver without a token, too", CURE);
        }
        // Only a warning depends on it.
        Err(error) => say(app, &format!("whether it asks for tokens is not known: {error}"), CURE),
    }
    Ok(())
}

fn say(app: &App, text: &str, hint: &str) {
    let mut page = String::new();
    note::warning(text, &app.err, &mut page);
    note::hint(hint, &app.err, &mut page);
    out::talk(&page);
}

async fn revoke(client: &Client, which: &str) -> Result<Exit, Failure> {
    let all = invitation::list(client, now()).await.map_err(unseen)?;
    let meant: Vec<&Invitation> = all.iter().filter(|one| one.is(which)).collect();
    if meant.is_empty() {
        // It may be a token that was mistyped: it is not repeated.
        return Err(Failure::usage(
            "nobody is invited by that name or token",
            "`fraktalia invite --list` says who is",
        ));
    }
    let mut gone = 0;
    for invitation in meant {
        gone += usize::from(invitation::revoke(client, invitation).await.map_err(unseen)?);
    }
    out::talk(&format!("{} taken back.\n", number(gone, "invitation")));
    Ok(Exit::OK)
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or_default()
}

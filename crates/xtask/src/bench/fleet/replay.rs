//! The floor of an apply: the very calls that it made, by a bare client on a homeserver that is fresh as well.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::Method;
use fraktalia_testkit::real::{Person, encode};
use futures_util::{StreamExt as _, stream};
use tokio::sync::watch;

use super::reads::AT_ONCE;
use super::record::{Call, made_by};
use super::server::{Asked, Server};
use crate::error::TaskError;

/// A single call; a room with its members takes a second on a busy machine.
const DEADLINE: Duration = Duration::from_mins(2);

/// What the bare client needed.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// From the first call to the last answer, in seconds.
    pub wall: f64,
    /// Of the homeserver.
    pub asked: Asked,
    /// Calls that were answered with another status than before.
    pub different: usize,
}

/// What became of a call so far.
#[derive(Clone, Debug, PartialEq)]
enum Progress {
    Pending,
    Done {
        /// The room or token that it made.
        made: Option<String>,
    },
}

/// A call with what it has to wait for.
struct Step<'a> {
    call: &'a Call,
    /// Rooms in its path or body, and its token, as far as earlier calls made them: here they are others.
    named: Vec<&'a str>,
    /// Earlier calls about the same that had ended when it began.
    after: Vec<usize>,
}

/// Makes the calls again, in the same order, each after those about its room that it came after.
pub async fn replay(server: &Server, calls: &[Call]) -> Result<Replayed, TaskError> {
    let steps = steps(calls);
    let done: Vec<watch::Sender<Progress>> =
        calls.iter().map(|_| watch::Sender::new(Progress::Pending)).collect();
    let makers: BTreeMap<&str, usize> = makers(calls);
    let target = (server.admin().clone(), server.base_url());
    let mark = server.mark().await?;
    let start = Instant::now();
    let runs: Vec<_> =
        steps.iter().zip(0..).map(|(step, index)| run(&target, step, index, &done, &makers)).collect();
    let outcomes: Vec<Result<bool, TaskError>> = stream::iter(runs).buffer_unordered(AT_ONCE).collect().await;
    let wall = start.elapsed().as_secs_f64();
    let same: Vec<bool> = outcomes.into_iter().collect::<Result<_, _>>()?;
    let different = same.iter().filter(|same| !**same).count();
    Ok(Replayed { wall, asked: server.since(mark).await?, different })
}

/// Which call made which room or token.
fn makers(calls: &[Call]) -> BTreeMap<&str, usize> {
    calls.iter().zip(0..).filter_map(|(call, index)| Some((call.made.as_deref()?, index))).collect()
}

fn steps(calls: &[Call]) -> Vec<Step<'_>> {
    let makers = makers(calls);
    let mut about: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let mut steps = Vec::with_capacity(calls.len());
    for (index, call) in calls.iter().enumerate() {
        let body = String::from_utf8_lossy(&call.body);
        let is_named =
            |made: &&str| call.token == **made || call.path.contains(&encode(made)) || body.contains(*made);
        let named: Vec<&str> = makers.keys().copied().filter(is_named).collect();
        let earlier = named.iter().flat_map(|made| about.get(made).into_iter().flatten());
        let after = earlier.copied().filter(|other| calls[*other].ended < call.began).collect();
        for made in named.iter().copied().chain(call.made.as_deref()) {
            about.entry(made).or_default().push(index);
        }
        steps.push(Step { call, named, after });
    }
    steps
}

async fn run(
    target: &(Person, String),
    step: &Step<'_>,
    index: usize,
    done: &[watch::Sender<Progress>],
    makers: &BTreeMap<&str, usize>,
) -> Result<bool, TaskError> {
    for other in &step.after {
        // The sender lives as long as we do, so waiting cannot fail.
        let _ = done[*other].subscribe().wait_for(|progress| *progress != Progress::Pending).await;
    }
    let call = step.call;
    let (mut path, mut body) = (call.path.clone(), String::from_utf8_lossy(&call.body).into_owned());
    let mut token = target.0.token().to_owned();
    for old in &step.named {
        let Progress::Done { made: Some(new) } = done[makers[old]].borrow().clone() else { continue };
        path = path.replace(&encode(old), &encode(&new));
        body = body.replace(*old, &new);
        if call.token == **old {
            token = new;
        }
    }
    let answered = send(target, &call.method, &path, (body.into(), &token)).await;
    let made = answered.as_ref().ok().and_then(|(_, made)| made.clone());
    done[index].send_replace(Progress::Done { made });
    let (status, _) = answered?;
    Ok(status == call.status)
}

async fn send(
    (client, base): &(Person, String),
    method: &Method,
    path: &str,
    (body, token): (Bytes, &str),
) -> Result<(u16, Option<String>), TaskError> {
    let failed = |error: reqwest::Error| TaskError::Found(format!("{method} {path}: {error}"));
    let mut request = client.http().request(method.clone(), format!("{base}{path}")).bearer_auth(token);
    if !body.is_empty() {
        request = request.header("content-type", "application/json").body(body);
    }
    let answer = request.timeout(DEADLINE).send().await.map_err(failed)?;
    let status = answer.status().as_u16();
    let bytes = answer.bytes().await.map_err(failed)?;
    Ok((status, made_by(path, &bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(path: &str, made: Option<&str>, began: usize, ended: usize) -> Call {
        let (path, made, token) = (path.to_owned(), made.map(str::to_owned), "the admin's".to_owned());
        Call { method: Method::POST, path, body: Bytes::new(), token, status: 200, made, began, ended }
    }

    #[test]
    fn a_call_waits_for_what_it_waited_for_and_not_for_what_ran_beside_it() {
        let join = |room: &str| format!("/_synapse/admin/v1/join/{}", encode(room));
        let calls = [
            call("/_matrix/client/v3/createRoom", Some("!one"), 0, 2),
            call("/_matrix/client/v3/createRoom", Some("!two"), 1, 3),
            call(&join("!one"), None, 4, 6),
            call(&join("!one"), None, 5, 7),
            call(&join("!two"), None, 8, 9),
            call(&join("!one"), None, 10, 11),
        ];
        let steps = steps(&calls);
        let after: Vec<&[usize]> = steps.iter().map(|step| &step.after[..]).collect();
        assert_eq!(after, [&[][..], &[], &[0], &[0], &[1], &[0, 2, 3]]);
    }

    #[test]
    fn a_token_is_made_before_it_is_used_and_used_before_it_is_given_back() {
        let with = |token: &str, call: Call| Call { token: token.to_owned(), ..call };
        let calls = [
            call("/_synapse/admin/v1/users/%40bot/login", Some("syt_bot"), 0, 1),
            with("syt_bot", call("/_matrix/client/v3/profile", None, 2, 3)),
            with("syt_bot", call("/_matrix/client/v3/logout", None, 4, 5)),
        ];
        let steps = steps(&calls);
        assert_eq!(steps[2].named, ["syt_bot"]);
        assert_eq!((&steps[1].after[..], &steps[2].after[..]), (&[0][..], &[0, 1][..]));
    }
}

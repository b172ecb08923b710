//! Looks at what a helper holds.

use fraktalia_engine::ObserveError;
use fraktalia_model::{Note, SystemId, id};
use fraktalia_plan::{Observed, Owner, Seen};
use fraktalia_plane::protocol::{Answer, Link, LinkError, Request, View};

use crate::state::State;

/// Asks the helper. Where there is none, nothing is held.
pub async fn observe(link: &dyn Link, host: &str) -> Result<Observed<State>, ObserveError> {
    match link.ask(&Request::Look).await {
        Ok(Answer::Holding(view)) => Ok(seen(&view, host)),
        Ok(Answer::Refused { what, hint }) => {
            let error =
                ObserveError::new(format!("the helper of `{host}` does not say what it holds: {what}"));
            Err(match hint {
                Some(hint) => error.with_hint(hint),
                None => error,
            })
        }
        Err(LinkError::Absent { .. }) => Ok(Observed { how: "no helper yet".into(), ..Observed::default() }),
        Err(LinkError::Failed { what, hint }) => {
            Err(ObserveError::new(format!("host `{host}`: {what}")).with_hint(hint))
        }
    }
}

fn seen(view: &View, host: &str) -> Observed<State> {
    let mut observed = Observed { how: how(view), ..Observed::default() };
    let mut found = |id, state| observed.found.insert(id, Seen { state, owner: Owner::Ours });
    for (name, rules) in &view.config.networks {
        found(id::isolation(host, name), State::Isolation { rules: rules.clone(), closed: view.closed });
    }
    for (at, to) in &view.config.forwards {
        let listen = std::net::SocketAddr::new(at.address, at.port);
        let listening = view.carried(at).is_some_and(|carried| carried.listening);
        found(id::forward(host, listen), State::Forward { listen, to: to.clone(), listening });
    }
    let about = SystemId::plane(host);
    observed.notes.extend(view.problems.iter().take(10).map(|problem| {
        Note::warning("plane.problem", format!("the helper of {about} says: {problem}"))
            .hint("`fraktalia status` asks it again")
    }));
    observed
}

/// How many of the forwards lead somewhere: a container comes and goes as its agent is asked for.
fn how(view: &View) -> String {
    let all = view.config.forwards.len();
    let live = view.forwards.values().filter(|carried| carried.listening && carried.target.is_some()).count();
    if all == 0 { "asked its helper".into() } else { format!("{live} of {all} forwards live") }
}

//! How a helper is: whether it answers, its rules are in force, and its ports listen.

use fraktalia_engine::health::{Checklist, Cure};
use fraktalia_model::Manifest;
use fraktalia_plane::protocol::{Answer, LinkError, Request, View};

use crate::spec::{self, Spec};
use crate::system::Plane;

impl Plane {
    /// Notes down how the helper is; `held` says whether our record has it hold something.
    pub async fn examine(&self, list: &Checklist, manifest: &Manifest, held: bool) {
        let wanted = spec::lower(manifest, self.host()).unwrap_or_default();
        if wanted.is_empty() && !held {
            return;
        }
        let (code, title) = ("plane.helper", "helper");
        match self.link().ask(&Request::Look).await {
            Ok(Answer::Holding(view)) => {
                list.ok(code, title, "answers");
                rules(list, &view);
                forwards(list, &view, wanted.iter().map(|one| &one.spec));
                problems(list, &view);
            }
            Ok(Answer::Refused { what, hint }) => list.note(list.failure(code, title, what).hint(hint)),
            Err(LinkError::Absent { what }) if held => {
                let text =
                    format!("{what}: no forwarded port leads anywhere, and no changed rule is put back");
                list.note(list.failure(code, title, text).cure(Cure::run("fraktalia apply")));
            }
            Err(LinkError::Absent { what }) => list.note(list.unknown(code, title, format!("{what} yet"))),
            Err(LinkError::Failed { what, hint }) => {
                list.note(list.failure(code, title, what).cure(Cure::edit(hint)));
            }
        }
    }
}

fn rules(list: &Checklist, view: &View) {
    let (code, title) = ("plane.rules", "closed networks");
    let number = view.config.networks.len();
    if number == 0 {
        return;
    }
    if !view.closed {
        let text = "the rules are not in force: containers of agents reach what they must not";
        let check = list.failure(code, title, text).cure(Cure::run("nft list ruleset"));
        return list.note(check.cure(Cure::run("fraktalia apply")));
    }
    if view.healed > 0 {
        let text =
            format!("in force; somebody took the rules away {} times, and they were put back", view.healed);
        let cure = Cure::edit("is it `nftables.service` or a firewall that flushes the whole ruleset?");
        return list.note(list.warning(code, title, text).cure(cure));
    }
    list.ok(code, title, format!("{number}, their rules in force"));
}

fn forwards<'a>(list: &Checklist, view: &View, wanted: impl Iterator<Item = &'a Spec>) {
    let (code, title) = ("plane.forwards", "forwards");
    let mut fine = 0;
    let mut live = 0;
    for spec in wanted {
        let Spec::Forward { listen, .. } = spec else { continue };
        // One that it was not told of yet is a matter of the next plan.
        let Some(carried) = view.carried(&spec::listen(listen)) else { continue };
        if carried.listening {
            fine += 1;
            live += u32::from(carried.target.is_some());
            continue;
        }
        let text = format!("{listen} does not listen: somebody else has the port");
        let cure = Cure::run(format!("ss -ltnp 'sport = {}'", listen.port()));
        list.note(list.failure(code, title, text).cure(cure));
    }
    if fine > 0 {
        list.ok(code, title, format!("{fine} listen, {live} of them lead to a running container"));
    }
}

fn problems(list: &Checklist, view: &View) {
    for problem in view.problems.iter().take(10) {
        let text: String = problem.chars().take(400).collect();
        list.note(list.warning("plane.problem", "helper", format!("it says: {text}")));
    }
}

//! What programs file through the API. It becomes a case like any other, or is answered without the room hearing of it.

use fraktalia_model::manifest::{ApiScope, nearest};

use super::Desk;
use crate::act::{Act, Approval};
use crate::audit::Happened;
use crate::case::{Case, Choice, End, Kind, Stage, Yes};
use crate::conduct::{DAY_S, REMIND_S, Why};
use crate::filed::{Ask, Filed, Filing, Reply};
use crate::fragment::check;
use crate::heard::Plan;
use crate::ids::{Applicant, CaseId, EventId, Moment};
use crate::policy::Policy;

/// How many that were refused at once are remembered.
const REFUSED: usize = 32;
/// Findings that are kept of one.
const NOTES: usize = 20;

/// What a filing becomes.
enum Becomes {
    /// A case, with the hash of its fragment.
    Case(Kind, Option<String>),
    /// The end of a proposal.
    Withdrawal(CaseId),
}

impl Desk {
    /// A program filed something. The same again changes nothing.
    pub(super) fn filed(&mut self, filing: &Filing, policy: &Policy) -> Vec<Act> {
        let now = self.now;
        // With the time: once it is forgotten, the same origin begins something else, with other keys.
        let id = CaseId::of(&format!("{} {}", filing.origin, now.0));
        if self.cases.contains_key(&id) {
            return Vec::new();
        }
        if let Some(case) = self.case_of(&filing.origin) {
            let passing =
                case.filed.as_ref().and_then(|filed| filed.reply.as_ref()).is_some_and(Reply::passes);
            if !passing {
                return Vec::new();
            }
            let before = case.id.clone();
            self.cases.remove(&before);
        }
        let by = Applicant::Token(filing.token.clone());
        let becomes = self.weigh(filing, &by, policy);
        let kind = match &becomes {
            Ok(Becomes::Case(kind, _)) => kind.clone(),
            // What was refused has no name that anybody vouches for.
            _ => Kind::Removal { name: String::new() },
        };
        let mut case = Case::new(id.clone(), kind, now.after_s(policy.expires_s));
        case.by = Some(by.clone());
        case.filed = Some(Filed {
            origin: filing.origin.clone(),
            digest: filing.digest.clone(),
            may_apply: filing.may_apply,
            notice: None,
            reply: None,
        });
        let acts = match becomes {
            Ok(Becomes::Case(_, sha256)) => {
                if let Some(conduct) = self.conduct(&by) {
                    conduct.proposed(now);
                }
                let (origin, name) = (filing.origin.clone(), case.name().unwrap_or_default().to_owned());
                vec![case.record(now, Happened::Filed { by, origin, name, sha256 }), case.ask()]
            }
            Ok(Becomes::Withdrawal(other)) => {
                case.reply(Reply::Withdrawn);
                case.close(now, End::Applied);
                let other = self.cases.get_mut(&other);
                other.map_or_else(Vec::new, |other| other.void(now, &format!("{by} has taken it back")))
            }
            Err(reply) => self.in_vain(&mut case, &by, reply, policy),
        };
        self.cases.insert(id, case);
        acts
    }

    /// What a filing becomes, or why nothing.
    fn weigh(&mut self, filing: &Filing, by: &Applicant, policy: &Policy) -> Result<Becomes, Reply> {
        let (now, per_day) = (self.now, policy.allow.per_day);
        let scope = if filing.may_apply { ApiScope::Apply } else { ApiScope::Propose };
        if !policy.token_may(&filing.token, scope, now) {
            return Err(Reply::Forbidden(format!("the token `{}` may not do that", filing.token)));
        }
        if let Ask::Remove { name } = &filing.ask
            && let Some(case) = self.same_name(name, None)
            && case.by.as_ref() == Some(by)
            && !case.is_at_work()
            && matches!(case.kind, Kind::Proposal { .. })
        {
            return Ok(Becomes::Withdrawal(case.id.clone()));
        }
        if !self.conduct(by).is_some_and(|conduct| conduct.may_propose(now, per_day)) {
            let text = format!("{per_day} in 24 hours are what one token has");
            return Err(Reply::TooMany { text, wait_s: DAY_S });
        }
        let becomes = match &filing.ask {
            Ask::Add { fragment } => {
                let checked = check(fragment, policy).map_err(|mut notes| {
                    notes.truncate(NOTES);
                    Reply::Findings(notes)
                })?;
                (Kind::Proposal { name: checked.name, fragment: checked.text }, Some(checked.sha256))
            }
            Ask::Remove { name } => {
                removable(name, policy).map_err(|(why, text)| match why {
                    "no-such" => Reply::NoSuch(text),
                    _ => Reply::Fixed(text),
                })?;
                (Kind::Removal { name: name.clone() }, None)
            }
        };
        let name = match &becomes.0 {
            Kind::Proposal { name, .. } | Kind::Removal { name } => name.clone(),
            Kind::Rollback | Kind::Drift => String::new(),
        };
        if let Some(case) = self.same_name(&name, None) {
            let state = if case.is_at_work() { "is being done" } else { "waits for an answer" };
            return Err(Reply::Clash(format!("something else about `{name}` {state}")));
        }
        let most = policy.allow.open;
        if self.open_of(by) >= most as usize {
            let text = format!("{most} of one token may be under way at once");
            return Err(Reply::TooMany { text, wait_s: 60 });
        }
        Ok(Becomes::Case(becomes.0, becomes.1))
    }

    /// Answers what is not taken up. The audit hears of so many a day, and then of one in an hour.
    fn in_vain(&mut self, case: &mut Case, by: &Applicant, reply: Reply, policy: &Policy) -> Vec<Act> {
        let now = self.now;
        let counted = !matches!(reply, Reply::TooMany { .. });
        let (mut reply, mut heard) = (reply, false);
        if let Some(conduct) = self.conduct(by) {
            heard = counted && conduct.tried(now, policy.allow.per_day);
            if counted && !heard {
                let text = "too many faulty ones today: no more are looked into".into();
                reply = Reply::TooMany { text, wait_s: REMIND_S };
            }
            heard = heard || conduct.tell(Why::Tries, now);
        }
        let acts = if heard {
            let origin = case.filed.as_ref().map(|filed| filed.origin.clone()).unwrap_or_default();
            let why = word(&reply).to_owned();
            vec![case.record(now, Happened::FiledInVain { by: by.clone(), origin, why })]
        } else {
            Vec::new()
        };
        case.reply(reply);
        case.close(now, End::Refused);
        acts
    }

    /// Forgets the oldest of those that were refused at once.
    pub(super) fn forget_refused(&mut self) {
        let mut refused: Vec<(Moment, CaseId)> = (self.cases.values())
            .filter(|case| case.filed.is_some() && case.name() == Some(""))
            .filter_map(|case| match case.stage {
                Stage::Closed { at, .. } => Some((at, case.id.clone())),
                _ => None,
            })
            .collect();
        refused.sort_unstable();
        // The newest stays for as long as whoever filed it may ask.
        for (_, id) in refused.iter().rev().skip(REFUSED) {
            self.cases.remove(id);
        }
    }

    /// The case whose run a message tells of that nobody was asked about.
    pub(super) fn case_of_notice(&mut self, message: &EventId) -> Option<&mut Case> {
        let shows = |case: &&mut Case| {
            case.filed.as_ref().is_some_and(|filed| filed.notice.as_ref() == Some(message))
        };
        self.cases.values_mut().filter(|case| case.is_alive()).find(shows)
    }
}

/// Whether a fractal can be removed; otherwise a word for it, and a sentence.
pub(super) fn removable(name: &str, policy: &Policy) -> Result<(), (&'static str, String)> {
    let fractals = &policy.known.fractals;
    match fractals.get(name) {
        Some(true) => Ok(()),
        Some(false) => {
            let text = format!(
                "`{name}` was not written by an approved proposal, as a file of its own: take it out of the manifest by hand"
            );
            Err(("fixed", text))
        }
        None => {
            let meant = nearest(name, fractals.keys().map(String::as_str));
            let hint = meant.map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
            Err(("no-such", format!("there is no fractal `{name}`{hint}")))
        }
    }
}

/// A token that may do it without anybody's answer has its plan: it waits for its turn.
pub(super) fn approve(case: &mut Case, now: Moment, token: &str, plan: &Plan) -> Vec<Act> {
    let fingerprint = plan.fingerprint.clone();
    case.fingerprint = Some(fingerprint.clone());
    let of = Approval::Token { name: token.into(), fingerprint: fingerprint.clone() };
    case.yes = Some(Yes { of, at: now, choice: Choice::Yes });
    case.stage = Stage::Waiting { not_before: now };
    vec![
        case.record(now, Happened::Planned { fingerprint: fingerprint.clone() }),
        case.record(now, Happened::ApprovedByToken { token: token.into(), fingerprint }),
    ]
}

/// A word for the audit.
fn word(reply: &Reply) -> &'static str {
    match reply {
        Reply::Forbidden(_) => "forbidden",
        Reply::Findings(_) => "findings",
        Reply::Clash(_) => "same-name",
        Reply::NoSuch(_) => "no-such",
        Reply::Fixed(_) => "fixed",
        Reply::TooMany { .. } => "too-many",
        Reply::Unable(_) => "unable",
        Reply::Nothing => "nothing",
        Reply::Void(_) => "void",
        Reply::Failed(_) => "failed",
        Reply::Withdrawn => "withdrawn",
    }
}

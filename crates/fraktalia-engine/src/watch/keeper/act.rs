//! Does what the policy allows, and takes note of how it went.

use super::{
    Arc, Duration, Fingerprint, Happening, Instant, Judged, Keeper, Options, Plan, Session, SessionError,
    Stop, Wake, chain, fingerprint, policy, stopped, watch,
};
use crate::applier::OnFailure;
use crate::event::{Event, EventSink};
use crate::journal::Outcome;
use crate::session::{ApplyOptions, Ended};
use crate::watch::failures::{self, May, Next};

/// How often a plan is narrowed to what may be done.
const NARROWINGS: usize = 4;

impl Keeper {
    pub(super) async fn act(
        &mut self,
        session: &Session,
        plan: &Plan,
        judged: &Judged,
        stop: &watch::Receiver<Stop>,
        wake: &Wake,
    ) -> Option<Duration> {
        let to_record = !plan.records.is_empty() || !plan.forgotten.is_empty();
        let nothing = judged.allowed.is_empty() && !(plan.is_empty() && to_record);
        if !self.settings.policy.acts() || plan.is_blocked() || nothing {
            return None;
        }
        let work = failures::work(plan);
        match self.failures.may(&work) {
            May::Now => {}
            May::After(pause) => return Some(pause),
            May::Never => return None,
        }
        let lock = match session.lock() {
            Ok(lock) => lock,
            Err(error) => return Some(self.not_locked(wake, &error)),
        };
        let plan = tokio::select! {
            biased;
            () = stopped(stop.clone()) => return None,
            plan = self.allowed(session) => plan,
        };
        let plan = match plan {
            Ok(plan) => plan?,
            Err(error) => return Some(self.look_failed(wake, &error)),
        };
        if !plan.is_empty() {
            let (origin, waiting) = (session.origin(), &judged.waiting);
            self.teller.tell(&Happening::Applying { plan: &plan, origin, waiting });
        }
        let silent = plan.is_empty();
        let options = self.options(stop);
        let began = Instant::now();
        let ended = session.apply(&lock, plan, &options).await;
        drop(lock);
        if silent && ended.is_ok() {
            return None;
        }
        let applied = ended.as_ref().is_ok_and(|ended| ended.outcome == Some(Outcome::Applied));
        if applied && judged.waiting.is_empty() {
            // The run itself has looked again, and found nothing more to do.
            self.told.plan = Some(nothing_to_tell());
        }
        let again = self.ended(&work, ended, began, stop, wake);
        // What is left for a person is said as it is now.
        if applied && !judged.waiting.is_empty() { again.or(Some(Duration::ZERO)) } else { again }
    }

    /// A plan, made while nobody else can write, of all that may be done.
    async fn allowed(&self, session: &Session) -> Result<Option<Plan>, SessionError> {
        let mut options = Options::default();
        for _ in 0..NARROWINGS {
            let plan = session.plan(&options, false).await?.plan;
            let judged = policy::judge(self.settings.policy, &plan);
            if plan.is_blocked() {
                return Ok(None);
            }
            if judged.waiting.is_empty() {
                return Ok(Some(plan));
            }
            if judged.allowed.is_empty() {
                return Ok(None);
            }
            options.targets = judged.allowed.iter().map(ToString::to_string).collect();
        }
        Ok(None)
    }

    pub(super) fn options(&self, stop: &watch::Receiver<Stop>) -> ApplyOptions {
        let teller = Arc::clone(&self.teller);
        let sink: Arc<dyn EventSink> = Arc::new(move |event: &Event| teller.tell(&Happening::Run(event)));
        ApplyOptions { on_failure: OnFailure::RollBack, sink, stop: stop.clone() }
    }

    /// Tells how a run ended; when there is to be another round.
    pub(super) fn ended(
        &mut self,
        work: &Fingerprint,
        ended: Result<Ended, SessionError>,
        began: Instant,
        stop: &watch::Receiver<Stop>,
        wake: &Wake,
    ) -> Option<Duration> {
        let ended = match ended {
            Ok(ended) => ended,
            Err(error) => {
                let next = self.failures.failed(work, self.settings.patience);
                self.look_failed(wake, &error);
                return self.after_failure(next, &chain(&error));
            }
        };
        let took = began.elapsed();
        let well = matches!(ended.outcome, Some(Outcome::Applied | Outcome::Superseded));
        let asked = *stop.borrow() != Stop::No;
        let next = (!well && !asked).then(|| self.failures.failed(work, self.settings.patience));
        let again = match next {
            Some(Next::Again(pause)) => Some(pause),
            _ => None,
        };
        self.teller.tell(&Happening::Ended { ended: &ended, took, again });
        let why = ended.why.unwrap_or_else(|| "a second plan is not empty".into());
        match next {
            Some(next) => self.after_failure(next, &why),
            None if well => self.after_success(work),
            None => None,
        }
    }

    fn after_failure(&mut self, next: Next, why: &str) -> Option<Duration> {
        match next {
            Next::Again(pause) => Some(pause),
            Next::GiveUp(times) => {
                self.teller.tell(&Happening::GaveUp { times, why });
                None
            }
        }
    }

    fn after_success(&mut self, work: &Fingerprint) -> Option<Duration> {
        let times = self.failures.applied(work)?;
        if self.told.gave_up.as_ref() != Some(work) {
            self.told.gave_up = Some(work.clone());
            let times = u32::try_from(times).unwrap_or(u32::MAX);
            self.teller.tell(&Happening::GaveUp { times, why: "somebody else changes it back each time" });
        }
        None
    }
}

fn nothing_to_tell() -> Fingerprint {
    let (changes, blockers): ([(); 0], [(); 0]) = ([], []);
    fingerprint(&(changes, blockers))
}

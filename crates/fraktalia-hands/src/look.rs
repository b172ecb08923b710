//! What operators ask: the commands' own answers, bounded.

use std::ffi::OsString;

use fraktalia_desk::commands::Question;

use crate::Hands;
use crate::child::{args, meaning};
use crate::text::{bounded, plain, reason};

impl Hands {
    /// Finds out what an operator asks. There is always an answer, and it is never longer than a message may be.
    pub async fn look(&self, question: &Question) -> String {
        let (asked, shown) = match question {
            Question::Status => (args(["status"]), "fraktalia status".to_owned()),
            Question::Plan => (args(["plan"]), "fraktalia plan".to_owned()),
            Question::History(count) => {
                let count = count.to_string();
                (args(["history", "--limit", &count]), format!("fraktalia history -n {count}"))
            }
            Question::Drift => match self.drifted().await {
                Ok(ids) if ids.is_empty() => return "Nothing was changed by hand.".into(),
                Ok(ids) => {
                    let targets = ids.iter().take(400).map(|id| OsString::from(format!("--target={id}")));
                    (args(["plan"]).into_iter().chain(targets).collect(), "fraktalia status".to_owned())
                }
                Err(why) => return bounded(&why, "fraktalia status"),
            },
        };
        let text = match self.ask(&asked).await {
            Ok(said) if said.code == Some(0) => format!("{}{}", said.text(), plain(&said.talk)),
            Ok(said) => {
                let code = said.code.unwrap_or(-1);
                format!(
                    "{}{}\n(`{shown}`: {}, code {code})\n",
                    said.text(),
                    reason(&said.talk),
                    meaning(code)
                )
            }
            Err(why) => why,
        };
        bounded(&text, &shown)
    }
}

//! Invitations: the text for a friend, and the list of who is invited.

use fraktalia_matrix::invitation::{Guest, Invitation, Standing};
use fraktalia_model::SecretText;
use serde::Serialize;

use super::json::FORMAT;
use super::line::Line;
use super::look::{Look, Tone};
use super::quantity::{instant, moment};

/// All that a friend needs to know.
pub struct Letter<'a> {
    /// The beginning of their address.
    pub name: &'a str,
    /// Their address.
    pub user: &'a str,
    /// The server name.
    pub server: &'a str,
    /// Where a client finds it.
    pub homeserver: &'a str,
    /// What they have to enter.
    pub token: &'a SecretText,
    /// For how many accounts it is good.
    pub uses: u32,
    /// When it ends, in milliseconds since 1970.
    pub expires: u64,
}

impl Letter<'_> {
    fn good(&self) -> String {
        let times = match self.uses {
            1 => "one account".to_owned(),
            uses => format!("{uses} accounts"),
        };
        format!("It is good for {times}, until {}.", moment(self.expires))
    }
}

/// The text to send. It is not folded: it is pasted into a message.
pub fn letter(letter: &Letter<'_>) -> String {
    format!(
        "You are invited to {server}, a chat of our own.\n\
         \n\
         1. Install Element (https://element.io/download) or another Matrix client.\n\
         2. Choose \"Create account\", change the homeserver and enter: {homeserver}\n\
         3. Choose the name {name} and a password that you use nowhere else.\n\
         4. When you are asked for a registration token, enter: {token}\n\
         \n\
         {good} Your address will be {user}: say when you are there.\n",
        server = letter.server,
        homeserver = letter.homeserver,
        name = letter.name,
        token = letter.token.expose(),
        good = letter.good(),
        user = letter.user,
    )
}

/// What is left to do for who invites.
pub fn afterwards(letter: &Letter<'_>, look: &Look) -> String {
    let mut page = String::from("\n");
    let text = format!(
        "The token is not shown again. Once {} is there: `{}: {{}}` in `users`, the name in the `members` of rooms, and `fraktalia apply`.",
        letter.user, letter.name
    );
    Line::new().text(Tone::Faint, &text).write(look, &mut page);
    page
}

/// An invitation with its token, which is the only time that it is shown.
#[derive(Serialize)]
pub struct LetterDocument<'a> {
    format: u16,
    name: &'a str,
    user: &'a str,
    homeserver: &'a str,
    token: &'a str,
    uses: u32,
    expires: Option<String>,
    text: String,
}

/// For programs.
pub fn letter_document<'a>(of: &Letter<'a>) -> LetterDocument<'a> {
    LetterDocument {
        format: FORMAT,
        name: of.name,
        user: of.user,
        homeserver: of.homeserver,
        token: of.token.expose(),
        uses: of.uses,
        expires: instant(of.expires),
        text: letter(of),
    }
}

/// The list of invitations in a document for programs.
#[derive(Serialize)]
pub struct ListDocument<'a> {
    format: u16,
    invitations: Vec<InvitationDocument<'a>>,
}

#[derive(Serialize)]
struct InvitationDocument<'a> {
    /// `null` for a token that was not made by `invite`.
    name: Option<&'a str>,
    standing: &'static str,
    accounts: u64,
    uses: Option<u64>,
    expires: Option<String>,
}

/// For programs.
pub fn document(all: &[Invitation]) -> ListDocument<'_> {
    let invitations = all
        .iter()
        .map(|invitation| InvitationDocument {
            name: invitation.guest.as_ref().map(Guest::as_str),
            standing: word(invitation.standing).0,
            accounts: invitation.completed,
            uses: invitation.uses,
            expires: invitation.expires.and_then(instant),
        })
        .collect();
    ListDocument { format: FORMAT, invitations }
}

/// Who is invited.
pub fn list(all: &[Invitation], look: &Look) -> String {
    let mut page = String::new();
    if all.is_empty() {
        Line::new().plain("Nobody is invited.").write(look, &mut page);
    }
    let name = |invitation: &Invitation| {
        invitation.guest.as_ref().map_or("(by hand)".to_owned(), |guest| guest.as_str().to_owned())
    };
    let width = all.iter().map(|one| name(one).len()).max().unwrap_or_default();
    for invitation in all {
        let (text, tone) = word(invitation.standing);
        let uses = invitation.uses.map_or("any number".to_owned(), |uses| uses.to_string());
        let until =
            invitation.expires.map_or("without end".to_owned(), |end| format!("until {}", moment(end)));
        Line::new()
            .text(Tone::Strong, &name(invitation))
            .to_column(width + 2, 2)
            .text(tone, text)
            .to_column(width + 12, 2)
            .hang()
            .plain(&format!("{} of {uses} came", invitation.completed))
            .to_column(width + 28, 2)
            .text(Tone::Faint, &until)
            .write(look, &mut page);
    }
    page
}

fn word(standing: Standing) -> (&'static str, Tone) {
    match standing {
        Standing::Open => ("open", Tone::Add),
        Standing::InUse => ("in use", Tone::Change),
        Standing::Used => ("used", Tone::Faint),
        Standing::Expired => ("expired", Tone::Faint),
    }
}

#[cfg(test)]
mod tests {
    use fraktalia_matrix::client::tokens::RegistrationToken;

    use super::*;
    use crate::render::testing::plain;

    const END: u64 = 1_774_105_320_000;

    fn of(token: &SecretText, uses: u32) -> Letter<'_> {
        let (name, user, server, homeserver) =
            ("ana", "@ana:chat.home", "chat.home", "https://matrix.chat.home");
        Letter { name, user, server, homeserver, token, uses, expires: END }
    }

    fn found(token: &str, uses: Option<u64>, completed: u64, end: Option<u64>) -> Invitation {
        let token = SecretText::new(token);
        let found = RegistrationToken { token, uses_allowed: uses, pending: 0, completed, expiry_time: end };
        Invitation::new(found, END - 1)
    }

    #[test]
    fn a_friend_is_told_all_that_they_need() {
        let token = SecretText::new("ana-7k2m9x4pqr0t5vwz3a8c");
        let (one, five) = (of(&token, 1), of(&token, 5));
        let text = format!("{}{}\n{}", letter(&one), afterwards(&one, &plain(80)), letter(&five));
        insta::assert_snapshot!(text);
    }

    #[test]
    fn the_list_says_who_came_and_no_token() {
        let all = [
            found("summer-party", None, 7, None),
            found("ana-7k2m9x4pqr0t5vwz3a8c", Some(1), 1, Some(END)),
            found("ben-7k2m9x4pqr0t5vwz3a8c", Some(2), 0, Some(END)),
            found("carla-7k2m9x4pqr0t5vwz3a8c", Some(1), 0, Some(END - 1)),
        ];
        let programs = serde_json::to_string_pretty(&document(&all)).expect("JSON");
        let text = format!("{}\n{}\n{programs}", list(&all, &plain(80)), list(&[], &plain(80)));
        assert!(!text.contains("7k2m") && !text.contains("summer"));
        insta::assert_snapshot!(text);
    }
}

//! Says in a room what happened.
//!
//! The gateway's bot says it, with a token of its own that our admin user mints and that ends with us: the bot is in the
//! rooms of the agents already, no person has to lend an account, and the gateway does not answer to its own user. Our
//! own user would have to join a room for it, which is a change that no plan names.

use fraktalia_engine::{SecretError, Secrets};
use fraktalia_model::{Manifest, RoomId, SecretSource, SecretText, UserId};

use crate::client::{Client, Limits};
use crate::error::{MatrixError, code};

/// Where something is to be said, by whom, and through which homeserver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    homeserver: String,
    admin_token: SecretSource,
    bot: UserId,
    /// An id or a full alias.
    room: String,
    /// As it was named.
    named: String,
}

/// Something that cannot be said.
#[derive(Debug, thiserror::Error)]
pub enum HeraldError {
    /// The manifest has no `matrix`.
    #[error("the manifest has no `matrix` section")]
    NoMatrix,
    /// The room's name is none.
    #[error("`{0}` is no room of the manifest, no alias and no room id")]
    NoName(String),
    /// There is no such room.
    #[error("there is no room {0}")]
    NoRoom(String),
    /// The bot is not in the room.
    #[error("{bot} is not in {room}")]
    NotMember {
        /// Who.
        bot: UserId,
        /// Where.
        room: String,
    },
    /// What we write there would stand open between what is encrypted.
    #[error("{0} is end-to-end encrypted, and what is said there would not be")]
    Encrypted(String),
    /// See [`SecretError`].
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// See [`MatrixError`].
    #[error(transparent)]
    Matrix(#[from] MatrixError),
}

impl HeraldError {
    /// Whether it was refused, rather than lost on the way.
    pub fn is_refusal(&self) -> bool {
        !matches!(self, Self::Matrix(error) if !matches!(error, MatrixError::Refused { .. }))
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoMatrix | Self::Secret(_) => return None,
            Self::NoName(_) => "write a key of `rooms` or `fractals`, or `#alias:server`, or `!id`".into(),
            Self::NoRoom(_) => "`fraktalia apply` makes the rooms of the manifest".into(),
            Self::NotMember { bot, .. } => format!("name {bot} among the members of the room"),
            Self::Encrypted(_) => "name a room that is not encrypted".into(),
            Self::Matrix(error) => return error.hint(),
        })
    }
}

impl Address {
    /// The room that is called `room`: a key of the manifest, `#alias:server` or `!id`.
    ///
    /// # Errors
    /// When there is nothing that is called so.
    pub fn of(manifest: &Manifest, room: &str) -> Result<Self, HeraldError> {
        let matrix = manifest.matrix.as_ref().ok_or(HeraldError::NoMatrix)?;
        let address = if room.starts_with(['!', '#']) {
            room.to_owned()
        } else {
            let found = manifest.rooms.get(room).ok_or_else(|| HeraldError::NoName(room.into()))?;
            found.address(matrix)
        };
        Ok(Self {
            homeserver: matrix.homeserver.clone(),
            admin_token: matrix.admin_token.clone(),
            bot: matrix.bot.clone(),
            room: address,
            named: room.into(),
        })
    }
}

/// Speaks as the bot. Call [`Herald::end`] when all is said.
pub struct Herald {
    address: Address,
    client: Client,
    token: SecretText,
    room: RoomId,
}

impl Herald {
    /// Goes to the room.
    ///
    /// # Errors
    /// When it cannot be found, or the homeserver does not let us speak as the bot.
    pub async fn go(address: Address, secrets: &Secrets) -> Result<Self, HeraldError> {
        let admin = secrets.resolve(&address.admin_token).await?;
        let limits = Limits { total: std::time::Duration::from_mins(1), ..Limits::default() };
        let client = Client::new(&address.homeserver, admin, limits)?;
        let room = if address.room.starts_with('!') {
            RoomId(address.room.clone())
        } else {
            let found = client.resolve(&address.room).await?;
            found.ok_or_else(|| HeraldError::NoRoom(address.room.clone()))?
        };
        let token = client.login_as(&address.bot).await?;
        Ok(Self { address, client, token, room })
    }

    /// Where it speaks.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Says it, as text and as HTML. With the same `transaction` twice, it is said once.
    ///
    /// # Errors
    /// When the room is encrypted by now, the bot is not in it, or the homeserver does not take it.
    pub async fn say(&self, transaction: &str, text: (&str, &str)) -> Result<(), HeraldError> {
        let not_member = |error: MatrixError| {
            let (bot, room) = (self.address.bot.clone(), self.address.named.clone());
            if error.is(code::FORBIDDEN) { HeraldError::NotMember { bot, room } } else { error.into() }
        };
        if self.client.is_encrypted(&self.room, &self.token).await.map_err(not_member)? {
            return Err(HeraldError::Encrypted(self.address.named.clone()));
        }
        self.client.notice(&self.room, &self.token, transaction, text).await.map_err(not_member)
    }

    /// Gives the token back.
    pub async fn end(self) {
        // One that stays is one that the bot's own list of sessions shows.
        let _ = self.client.logout(&self.token).await;
    }
}

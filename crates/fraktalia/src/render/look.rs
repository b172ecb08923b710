//! How much room there is, whether colours are welcome, and how much is wanted.

use std::io::IsTerminal;

use anstream::ColorChoice;
use owo_colors::{OwoColorize, Style};

/// Width where there is no terminal to ask.
const PIPE_WIDTH: usize = 110;
/// Below this, columns make no sense any more.
const MIN_WIDTH: usize = 40;
/// Wider lines are hard to read.
const MAX_WIDTH: usize = 140;

/// How much is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// What a person needs to decide.
    #[default]
    Brief,
    /// Steps, reasons and ids as well.
    Full,
}

/// The stream that something is shown on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Data.
    Out,
    /// Talk.
    Err,
}

/// How to show something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Whether colours repeat what the symbols say.
    pub colour: bool,
    /// Columns of the terminal.
    pub width: usize,
    /// How much is wanted.
    pub detail: Detail,
}

impl Look {
    /// What suits a stream of this process: `NO_COLOR`, `CLICOLOR_FORCE` and `TERM=dumb` are honoured, and a pipe gets
    /// plain text.
    pub fn of(stream: Stream, detail: Detail) -> Self {
        let (choice, terminal) = match stream {
            Stream::Out => {
                (anstream::AutoStream::choice(&std::io::stdout()), std::io::stdout().is_terminal())
            }
            Stream::Err => {
                (anstream::AutoStream::choice(&std::io::stderr()), std::io::stderr().is_terminal())
            }
        };
        let columns = terminal.then(terminal_size::terminal_size).flatten();
        let width = columns.map_or(PIPE_WIDTH, |(columns, _)| usize::from(columns.0));
        Self { colour: choice != ColorChoice::Never, width: width.clamp(MIN_WIDTH, MAX_WIDTH), detail }
    }

    /// `text` in the colour of `tone`, or as it is.
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        if self.colour && tone != Tone::Plain { text.style(tone.style()).to_string() } else { text.into() }
    }
}

/// What a piece of text means. Colours are chosen here and nowhere else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Ordinary.
    #[default]
    Plain,
    /// A heading or a name.
    Strong,
    /// Of less weight.
    Faint,
    /// Comes.
    Add,
    /// Changes.
    Change,
    /// Goes.
    Remove,
    /// Becomes ours, or stops to be.
    Own,
    /// Not known yet, or a reference.
    Late,
    /// Worth a second look.
    Warn,
    /// In the way.
    Bad,
    /// What to do next.
    Hint,
}

impl Tone {
    fn style(self) -> Style {
        let style = Style::new();
        match self {
            Self::Plain => style,
            Self::Strong => style.bold(),
            Self::Faint => style.dimmed(),
            Self::Add => style.green(),
            Self::Change | Self::Warn => style.yellow(),
            Self::Remove => style.red(),
            Self::Own | Self::Hint => style.cyan(),
            Self::Late => style.magenta(),
            Self::Bad => style.red().bold(),
        }
    }
}

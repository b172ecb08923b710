//! The shapes in which something can be said.

use clap::ValueEnum;

/// Text for people, or JSON for programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Shapes of a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    /// For people.
    #[default]
    Text,
    /// A versioned document for programs.
    Json,
    /// A comment for a pull request.
    Markdown,
}

/// Shapes of what is said during a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum RunFormat {
    /// For people.
    #[default]
    Text,
    /// One event a line, for programs.
    Jsonl,
}

/// Kinds of pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    /// Drawn here; opens in any browser.
    #[default]
    Svg,
    /// For Markdown that draws Mermaid.
    Mermaid,
    /// For Graphviz.
    Dot,
}

/// What to do when a step fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OnFailure {
    /// Take everything back.
    #[default]
    Rollback,
    /// Leave the run open.
    Stop,
}

impl From<OnFailure> for fraktalia_engine::OnFailure {
    fn from(wish: OnFailure) -> Self {
        match wish {
            OnFailure::Rollback => Self::RollBack,
            OnFailure::Stop => Self::Stop,
        }
    }
}

/// Shapes of what a service says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A line for each thing, for people.
    #[default]
    Text,
    /// A JSON document a line, for programs.
    Json,
}

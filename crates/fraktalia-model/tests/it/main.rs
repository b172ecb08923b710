//! The manifest from text to its validated form, through the public door only.

mod complete;
mod example;
mod findings;
mod hostile;

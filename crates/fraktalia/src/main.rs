//! The `fraktalia` command.

fn main() {}
